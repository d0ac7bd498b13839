#!/usr/bin/env bash
# Redis is the one part that comes from the machine: Debian's package, where no server is on the PATH yet.
part=redis
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

exec 7>"$cache/.redis.lock"
flock 7

if ! command -v redis-server >/dev/null; then
  apt_install redis-server 7>&-
  # Debian may have started a server of its own, on the well-known port; nothing here needs that one.
  service redis-server stop >&2 7>&- || true
fi
command -v redis-cli >/dev/null || apt_install redis-tools 7>&-

found=$(redis-server --version | sed -n 's/.* v=\([0-9.]*\) .*/\1/p')
printf '%s\n%s\n' "$REDIS_MINIMUM" "$found" | sort -C -V || fail "Redis $REDIS_MINIMUM or newer is needed, the PATH has ${found:-none}"
