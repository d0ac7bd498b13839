#!/usr/bin/env bash
# Takes promtool out of Debian's package `prometheus`. From nothing: some seconds; 50 MiB are kept.
part=promtool
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

unpack() { unpack_debian prometheus usr/bin/promtool "$1"; }

install_once promtool-debian unpack
