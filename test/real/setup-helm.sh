#!/usr/bin/env bash
# Builds helm from its Go modules (helm/go.mod). From nothing: some minutes, 500 MiB in Go's own caches; 60 MiB are kept.
part=helm
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

build() {
  build_tool "$1" helm helm.sh/helm/v4 "$HELM_VERSION" /cmd/helm
}

install_once "helm-$HELM_VERSION" build
