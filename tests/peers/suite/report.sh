# shellcheck shell=bash
# What was proved, line by line.

PASSED=0 FAILED=0

# check WHAT COMMAND...: one line, and the story after a failure.
check() {
  local what=$1 began
  began=$(_millis)
  shift
  if "$@" >"$PEERS_RUN/check.out" 2>"$PEERS_RUN/check.err" </dev/null; then
    PASSED=$((PASSED + 1))
    printf 'ok %s (%d ms)\n' "$what" $(($(_millis) - began))
    return
  fi
  FAILED=$((FAILED + 1))
  printf 'FAIL %s (%d ms)\n' "$what" $(($(_millis) - began))
  story check assay
  [ -z "${TEMPORAL_NAME:-}" ] || temporal_reasons | sed "s/^/     $TEMPORAL_NAME refused /"
  return 1
}

# must WHAT COMMAND...: the same, where without it there is no going on.
must() { check "$@" || report_end; }

# story NAME...: the end of what each said.
story() {
  local name log
  for name; do
    for log in "$PEERS_RUN/$name".{out,err}; do
      [ -s "$log" ] || continue
      printf '     --- the end of %s\n' "$(basename "$log")"
      tail -n 6 "$log" | cut -c1-300 | sed 's/^/     /'
    done
  done
}

# report_end: stops everything, says how it went, and ends the run.
report_end() {
  peers_end
  printf '%d passed, %d failed\n' "$PASSED" "$FAILED"
  [ "$FAILED" = 0 ]
  exit
}

# give_up WHY: before anything could be tested.
give_up() {
  printf '\ntests/peers/run: %s\n\n' "$1" >&2
  printf '0 passed, 1 failed\n'
  exit 1
}

# Small words to check with.

# is TEXT COMMAND...: whether it prints that and nothing else.
is() { [ "$("${@:2}")" = "$1" ]; }

# line REGEX COMMAND...: whether it prints a line like that.
line() {
  local all
  all=$("${@:2}") && echo "$all" && grep -qE -- "$1" <<<"$all"
}

# exits STATUS COMMAND...: whether it ends with that.
exits() {
  "${@:2}"
  [ $? = "$1" ]
}

# refuses COMMAND...: whether it fails.
refuses() { ! "$@"; }
