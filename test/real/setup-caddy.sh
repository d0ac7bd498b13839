#!/usr/bin/env bash
# Takes the server out of Debian's package `caddy`; 37 MiB.
part=caddy
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

unpack() { unpack_debian caddy usr/bin/caddy "$1"; }

install_once caddy-debian unpack
