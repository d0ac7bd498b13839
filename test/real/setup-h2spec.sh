#!/usr/bin/env bash
# Builds h2spec, the conformance suite of HTTP/2, from its Go modules (h2spec/go.mod). From nothing: some
# seconds; 7 MiB are kept.
part=h2spec
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

build() {
  # Older than Go's rule that a second major version has a path of its own.
  build_tool "$1" h2spec github.com/summerwind/h2spec "$H2SPEC_VERSION+incompatible" /cmd/h2spec
}

install_once "h2spec-$H2SPEC_VERSION" build
