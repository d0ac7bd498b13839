#!/usr/bin/env bash
# Builds Vault from its Go modules (vault/go.mod), for `npm run test:vault` only: it costs about twelve
# minutes of CPU and 500 MB of downloads, and its licence (BUSL-1.1) allows to run it here, not to ship it.
part=vault
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

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
