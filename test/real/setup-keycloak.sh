#!/usr/bin/env bash
# Fetches Keycloak from Maven Central, augments it for production mode with an H2 file database, and boots it
# once so that the schema, the master realm and its administrator exist. That database is kept: every start
# in a test works on a copy of it, in a third of the time. From nothing: two to four minutes; 220 MiB are kept.
part=keycloak
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

java_major() {
  java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p'
}

need_java() {
  command -v java >/dev/null || apt_install openjdk-17-jdk-headless
  [ "$(java_major)" -ge "$JAVA_MINIMUM" ] || fail "Java $JAVA_MINIMUM or newer is needed, the PATH has $(java_major)"
}

fetch() {
  local out=$1 archive=keycloak-quarkus-dist-$KEYCLOAK_VERSION.tar.gz
  command -v mvn >/dev/null || apt_install maven
  say "fetching $archive from Maven Central"
  quiet mvn --batch-mode --no-transfer-progress "org.apache.maven.plugins:maven-dependency-plugin:$MAVEN_DEPENDENCY_PLUGIN_VERSION:copy" \
    -Dartifact="org.keycloak:keycloak-quarkus-dist:$KEYCLOAK_VERSION:tar.gz" -DoutputDirectory="$out" ||
    fail "Maven could not fetch $archive"
  tar -xzf "$out/$archive" -C "$out" --strip-components 1
  rm "$out/$archive"
}

build() {
  local out=$1
  fetch "$out"
  cp "$real_dir/keycloak/jvm.options" "$out/jvm.options"
  say "augmenting"
  JAVA_OPTS='-Xms64m -Xmx512m -XX:+UseSerialGC' quiet "$out/bin/kc.sh" build --db=dev-file --health-enabled=true || fail "kc.sh build failed"
  first_boot "$out"
}

# Runs Keycloak until it listens, then ends it by TERM and keeps its database as h2-initial.
first_boot() {
  local out=$1 log=$1/first-boot.log pid waited=0
  say "booting once, for the schema and the master realm"
  KC_BOOTSTRAP_ADMIN_USERNAME=admin KC_BOOTSTRAP_ADMIN_PASSWORD=admin \
    java "@$out/jvm.options" "-Dkc.home.dir=$out" "-Djboss.server.config.dir=$out/conf" -cp "$out/lib/quarkus-run.jar" \
    io.quarkus.bootstrap.runner.QuarkusEntryPoint start --optimized --cache=local --http-enabled=true --http-host=127.0.0.1 \
    --http-port=0 --http-management-host=127.0.0.1 --http-management-port=0 --hostname-strict=false >"$log" 2>&1 &
  pid=$!
  # Whatever ends this script early ends the server too.
  trap 'kill -KILL '"$pid"' 2>/dev/null' EXIT
  until grep -q 'Listening on' "$log"; do
    kill -0 "$pid" 2>/dev/null || { cat "$log" >&2; fail "Keycloak ended while it was starting"; }
    [ "$waited" -lt 300 ] || { cat "$log" >&2; fail "Keycloak was not up after 300 s"; }
    sleep 1
    waited=$((waited + 1))
  done
  kill -TERM "$pid"
  wait "$pid" || true
  trap - EXIT
  mv "$out/data/h2" "$out/h2-initial"
  rm -rf "$out/data"
}

need_java
install_once "keycloak-$KEYCLOAK_VERSION" build
