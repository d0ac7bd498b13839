#!/usr/bin/env bash
# run.sh PROGRAM [ARGUMENT...]: sets up what the benchmark stands on, compiles it beside the program that it measures, and
# runs bench/PROGRAM.ts.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
program=$1
shift
for part in redis envoy; do bash "test/real/setup-$part.sh"; done
command -v wrk >/dev/null || bash bench/setup-wrk.sh
npm run --silent build
npx --no-install tsc -p tsconfig.bench.json
# What the compiled files look for beside themselves.
ln -sfn ../../protos dist/bench/protos
cp package.json dist/bench/
cp test/real/versions.env dist/bench/test/real/
cp bench/*.lua dist/bench/bench/
exec node "dist/bench/bench/$program.js" "$@"
