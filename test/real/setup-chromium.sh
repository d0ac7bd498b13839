#!/usr/bin/env bash
# Chromium is Debian's package: the browser that test/console/ drives the console with. Taken from the machine where it is there.
part=chromium
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

exec 6>"$cache/.chromium.lock"
flock 6

command -v chromium >/dev/null || apt_install chromium 6>&-

found=$(chromium --version 2>/dev/null | sed -n 's/^Chromium \([0-9]*\)\..*/\1/p')
[ -n "$found" ] || fail "chromium does not tell its version"
[ "$found" -ge "$CHROMIUM_MINIMUM" ] || fail "Chromium $CHROMIUM_MINIMUM or newer is needed, the PATH has $found"
