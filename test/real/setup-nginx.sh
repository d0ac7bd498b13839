#!/usr/bin/env bash
# Takes the server out of Debian's package `nginx`, with auth_request in it; 1 MiB. The libraries that it needs are
# those that every Debian has, or are installed.
part=nginx
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

unpack() { unpack_debian nginx usr/sbin/nginx "$1"; }

install_once nginx-debian unpack
nginx=$cache/nginx-debian/nginx
if ldd "$nginx" | grep -q 'not found'; then apt_install libpcre2-8-0 libssl3 zlib1g libcrypt1; fi
"$nginx" -V 2>&1 | grep -q -- --with-http_auth_request_module || fail "Debian's nginx has no auth_request"
