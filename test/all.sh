#!/usr/bin/env bash
# Everything that can be checked on one machine (npm run test:all): types, lint, format, dead code, build, the
# hermetic tests, those of the built program, and those against the real parts, which are got in the background meanwhile.
# The last line is "N passed, N failed". A step or a set-up that fails is one more failed; so is a skipped test.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

results=$(mktemp -d)
durations=()
failed_steps=()
setup_pid=

clean_up() {
  # A process group of its own, so that its compilers end with it. Gone already in an undisturbed run.
  [ -n "$setup_pid" ] && kill -- "-$setup_pid" 2>/dev/null
  rm -rf "$results"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# step NAME COMMAND...: runs it, notes how long it took and whether it failed.
step() {
  local name=$1 started=$SECONDS status=0
  shift
  printf '\n== %s\n' "$name"
  "$@" || status=$?
  durations+=("$(printf '%-12s %4d s' "$name" $((SECONDS - started)))")
  if [ "$status" != 0 ]; then
    printf '== %s FAILED (exit %d)\n' "$name" "$status"
    failed_steps+=("$name")
  fi
  return "$status"
}

# vitest_projects NAME...: their results also go to a file, which is counted at the end.
vitest_projects() {
  npx --no-install vitest run "${@/#/--project=}" --reporter=default --reporter=json --outputFile.json="$results/$1.json"
}

wait_for_setup() {
  local status=0
  wait "$setup_pid" || status=$?
  setup_pid=
  cat "$results/setup.log"
  return "$status"
}

# Below the tests in priority: they have time limits, a compiler has none.
setsid nice -n 10 bash test/real/setup.sh >"$results/setup.log" 2>&1 </dev/null &
setup_pid=$!

step typecheck npm run --silent typecheck
step lint npm run --silent lint
step format npm run --silent format:check
step deadcode npm run --silent deadcode
step build npm run --silent build
step hermetic vitest_projects hermetic
step program vitest_projects program
if step set-up wait_for_setup; then
  step real vitest_projects real real-alone
else
  printf '\n== real: not run, the real parts could not be set up\n'
fi

printf '\n'
printf '%s\n' "${durations[@]}" "$(printf '%-12s %4d s' total $SECONDS)"
[ ${#failed_steps[@]} -gt 0 ] && printf 'failed: %s\n' "${failed_steps[*]}"
printf '\n'

node test/count-results.mjs "$results" "${failed_steps[@]}"
