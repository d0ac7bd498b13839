# One image for every program of tiergate: `docker run IMAGE authorizer`, `issuer`, `registrar`, ...
# Runs as any non-root user on a read-only root file system: it writes nothing but to its sockets and stdout.

FROM node:26.13.0-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY src src
RUN npm run build && npm prune --omit=dev --no-audit --no-fund

FROM node:26.13.0-bookworm-slim
WORKDIR /app
ENV NODE_ENV=production
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY protos protos
COPY package.json LICENSE ./
# A number, so that Kubernetes' runAsNonRoot can tell; it owns no file, and needs none.
USER 65532:65532
# Authorizer: gRPC, ops, HTTP, console. Issuer: API, ops. Registrar: ops.
EXPOSE 9090 9091 9092 9093 8080 8081 8082
ENTRYPOINT ["node", "dist/main.js"]
