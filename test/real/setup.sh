#!/usr/bin/env bash
# Gets every real part that the tests in test/ run against. Safe to run twice and at the same time; takes
# seconds when all is there. Exits non-zero, and says which part, when one of them can't be had.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# The quick ones first: side by side they would only get in the compiler's way.
failed=
for part in redis envoy promtool nginx caddy chromium h2spec kustomize helm keycloak kubernetes; do
  bash "$here/setup-$part.sh" || failed+=" $part"
done

if [ -n "$failed" ]; then
  echo "test/real/setup.sh: not set up:$failed" >&2
  exit 1
fi
