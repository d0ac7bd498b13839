#!/usr/bin/env bash
# wrk, the closed-loop load of the benchmark: Debian's package.
part=wrk
. "$(dirname "${BASH_SOURCE[0]}")/../test/real/common.sh"
apt_install wrk
