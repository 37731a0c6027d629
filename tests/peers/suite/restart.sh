# shellcheck shell=bash
# Assay stops and starts again: its keys are the same, and so is what they signed.

restart() {
  local keys token="$PEERS_RUN/restart"
  check "restart: an SVID" svid /ns/payments/sa/worker
  check "restart: a token" exchange "$token" "$SVID" main
  keys=$(key_ids main)
  check "restart: SIGTERM ends it, with 0" ends_well
  check "restart: Temporal accepts the token while Assay is away" temporal_sees "$token" payments
  must "restart: it starts again" broker_start
  check "restart: the key set is the same" is "$keys" key_ids main
  check "restart: a Temporal server that never saw the first one" temporal_start \
    "$ASSAY_ISSUER/targets/main/jwks.json" --name late --jwks-ca "$ASSAY_CA" --audience temporal-main
  check "restart: accepts the token" temporal_sees "$token" payments
  check "restart: and a new one" exchange "$token" "$SVID" main
  check "restart: by the same key" is "$keys" said "$token" kid
  check "restart: accepts that too" temporal_sees "$token" payments
  # What it answered just before it was killed must be in the audit all the same:
  # the end of the run holds one against the other.
  check "restart: a token just before it is killed" exchange "$token" "$SVID" main
  check "restart: SIGKILL" killed
  must "restart: it starts once more" broker_start
  check "restart: accepts that token too" temporal_sees "$token" payments
  check "restart: the key set is the same still" is "$keys" key_ids main
  temporal_stop late
  temporal_use temporal
}

ends_well() {
  kill -TERM "$ASSAY_PID" && wait_for 10 _ended assay && wait "$ASSAY_PID" || return
  keep_log
}

killed() { kill -KILL "$ASSAY_PID" && wait_for 10 _ended assay && keep_log; }

# The next process begins its log anew.
keep_log() { cat "$PEERS_RUN/assay.err" >>"$PEERS_RUN/assay-before.err"; }
