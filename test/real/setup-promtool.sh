#!/usr/bin/env bash
# Takes promtool out of Debian's package `prometheus`, without installing the package: no server is started, and
# nobody has to be root. From nothing: some seconds; 50 MiB are kept.
part=promtool
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

unpack() {
  local out=$1
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
    fail "apt-get and dpkg-deb are needed to get promtool out of Debian's package prometheus"
  (cd "$out" && quiet apt-get -qq download prometheus) || {
    # A machine that never asked for its lists has none.
    [ "$(id -u)" = 0 ] || fail "apt-get knows no package prometheus: run apt-get update as root"
    quiet apt-get -qq -o DPkg::Lock::Timeout=300 update || fail "apt-get update failed"
    (cd "$out" && quiet apt-get -qq download prometheus) || fail "apt-get could not download prometheus"
  }
  dpkg-deb --fsys-tarfile "$out"/prometheus_*.deb | tar -x -C "$out" --strip-components 3 ./usr/bin/promtool
  rm "$out"/prometheus_*.deb
  [ -x "$out/promtool" ] || fail "the package prometheus holds no promtool"
}

install_once promtool-debian unpack
