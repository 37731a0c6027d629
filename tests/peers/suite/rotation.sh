# shellcheck shell=bash
# Assay's signing key changes while workers poll, and none of them notices. The
# tokens of target "brief" live 30 s and are renewed beside the workers. Its next
# key is published for 31 s before it signs, and the old one for 60 s after; all
# that time workflows are started, one after the other, on both workers.

rotation_begins() {
  local sdk
  check "rotation: a server that reads the keys of target brief" temporal_start \
    "$ASSAY_ISSUER/targets/brief/jwks.json" --name brief --jwks-ca "$ASSAY_CA" --audience temporal-brief
  for sdk in python go; do
    check "rotation: $sdk worker polls, its token renewed beside it" renewed_worker "$sdk"
    check "rotation: $sdk starts a workflow that outlives its token" long_workflow "$sdk" 45
  done
  OLD_KEY=$(key_ids brief)
  traffic
  check "rotation: both workers complete workflows before" wait_for 20 completed before
  check "rotation: assay keys rotate" assay keys --config "$ASSAY_CONFIG" rotate brief
  check "rotation: two keys are published" wait_for 10 key_count brief 2
  check "rotation: the old one still signs" signs_brief "$OLD_KEY"
  temporal_use temporal
}

rotation() {
  local sdk
  temporal_use brief
  check "rotation: both complete workflows by the new key, beside the old" wait_for 60 completed during
  check "rotation: and when the old one is withdrawn" wait_for 120 completed after
  check "rotation: not one of these workflows failed" no_failed_traffic
  for sdk in python go; do
    check "rotation: $sdk has the end of the one that lasted all the while" \
      wait_line "$sdk-long" 30 "^RESULT struck $sdk"
    check "rotation: $sdk worker was never refused" never_refused "$sdk-brief-worker"
    check "rotation: each of its renewals succeeded" silent "$sdk-renewal"
  done
  check "rotation: Temporal refused nothing" is '' temporal_reasons brief
  check "rotation: the Python worker took up token after token" \
    wait_line python-brief-worker 10 '^ROTATED 5'

  peer_stop traffic
  compromised
  for sdk in python go; do peer_stop "$sdk-renewal" && peer_stop "$sdk-brief-worker"; done
  temporal_stop brief
  temporal_use temporal
}

# The other way to rotate, when the key is in wrong hands: nothing that it signed
# is good any more, and what is renewed is.
compromised() {
  local token="$PEERS_RUN/brief-stolen"
  check "rotation: a token just before the key is known to be stolen" fresh_brief "$token"
  check "rotation: Temporal accepts it" temporal_sees "$token" payments
  check "rotation: assay keys rotate --compromised" \
    assay keys --config "$ASSAY_CONFIG" rotate brief --compromised
  check "rotation: Temporal accepts it no more, before its end" \
    wait_for 6 stolen_is_refused "$token"
  check "rotation: but one by the new key" wait_for 6 fresh_brief_is_seen
}

# Each renewal is what a workload would do: fetch the SVID, exchange it.
renewed_worker() {
  local sdk=$1 token="$PEERS_RUN/$1-brief"
  fresh_brief "$token" || return
  # shellcheck disable=SC2016  # expanded by that bash
  peer_run "$sdk-renewal" bash -c '
    for part in lib suite/report suite/tokens suite/rotation; do . "$0/$part.sh"; done
    while sleep 3; do fresh_brief "$1"; done' "$PEERS_DIR" "$token"
  worker_start "$sdk-brief-worker" "$sdk" payments "$sdk-brief" "$token"
}

fresh_brief() {
  spire_jwt /ns/payments/sa/worker "$ASSAY_ISSUER" | put_token "$1.svid" &&
    exchange "$1" "$1.svid" brief
}

# Each line: the worker's SDK, the key of the token that the workflow was started
# with, what came of it, and the keys that were published then.
traffic() {
  # shellcheck disable=SC2016
  TEMPORAL_ADDRESS=$TEMPORAL_ADDRESS peer_run traffic bash -c '
    for part in lib suite/report suite/broker suite/tokens suite/rotation; do . "$0/$part.sh"; done
    while sleep 1; do one_workflow python; one_workflow go; done' "$PEERS_DIR"
}

one_workflow() {
  local kid result token="$PEERS_RUN/$1-brief"
  kid=$(said "$token" kid)
  result=$(workflow go payments "$1-brief" "$token")
  echo "$1 $kid ${result// /-} $(key_ids brief)"
}

# completed before|during|after: whether each worker completed a workflow then.
completed() {
  awk -v when="$1" -v old="$OLD_KEY" '
    $3 == "RESULT-struck-go" {
      by_new = $2 != old
      published = 0
      for (i = 4; i <= NF; i++) if ($i == old) published = 1
      if (when == (by_new ? (published ? "during" : "after") : "before")) seen[$1] = 1
    }
    END { exit !("python" in seen && "go" in seen) }' "$PEERS_RUN/traffic.out"
}

no_failed_traffic() {
  wc -l "$PEERS_RUN/traffic.out"
  cat "$PEERS_RUN/traffic.err" >&2
  peer_alive traffic && ! grep -v ' RESULT-struck-go ' "$PEERS_RUN/traffic.out" >&2
}

# long_workflow SDK SECONDS
long_workflow() {
  local unit=''
  _sdk "$1" start payments "$1-brief" "$PEERS_RUN/$1-brief" || return
  [ "$1" = python ] || unit=s
  peer_run "$1-long" "${_SDK[@]}" "-${_SDK_DASH}pause" "$2$unit" "-${_SDK_DASH}timeout" "120$unit"
}

key_count() { [ "$(key_ids "$1" | wc -w)" = "$2" ]; }

signs_brief() { fresh_brief "$PEERS_RUN/brief" && is "$1" said "$PEERS_RUN/brief" kid; }

stolen_is_refused() { ! temporal_sees "$1" payments && ! dead "$1"; }

fresh_brief_is_seen() {
  fresh_brief "$PEERS_RUN/brief-new" && temporal_sees "$PEERS_RUN/brief-new" payments
}

never_refused() {
  peer_alive "$1" && ! grep -iE 'permission.?denied|unauthorized' "$PEERS_RUN/$1".{out,err} >&2
}

silent() { peer_alive "$1" && cat "$PEERS_RUN/$1.err" >&2 && [ ! -s "$PEERS_RUN/$1.err" ]; }
