#!/usr/bin/env bash
# Builds kustomize from its Go modules (kustomize/go.mod). From nothing: a minute or two; 15 MiB are kept.
part=kustomize
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

build() {
  build_tool "$1" kustomize sigs.k8s.io/kustomize/kustomize/v5 "$KUSTOMIZE_VERSION"
}

install_once "kustomize-$KUSTOMIZE_VERSION" build
