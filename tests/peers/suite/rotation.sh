# shellcheck shell=bash
# Assay's signing key changes while workers poll, and none of them notices. The
# tokens of target "brief" live 30 s; a new key is published for 11 s before it
# signs, and the old one for 60 s after its last token.

rotation_begins() {
  local sdk
  check "rotation: a server that reads the keys of target brief" temporal_start \
    "$ASSAY_ISSUER/targets/brief/jwks.json" --name brief --jwks-ca "$ASSAY_CA" --audience temporal-brief
  for sdk in python go; do
    check "rotation: $sdk worker polls, its token renewed beside it" renewed_worker "$sdk"
    check "rotation: $sdk completes a workflow before" brief_workflow "$sdk"
    background_workflow "$sdk" 35
  done
  BRIEF_KEY=$(key_ids brief)
  check "rotation: one key is published, and signs" is "$BRIEF_KEY" said "$PEERS_RUN/python-brief" kid
  check "rotation: assay keys rotate" assay keys --config "$ASSAY_CONFIG" rotate brief
  check "rotation: two keys are published" wait_for 10 key_count brief 2
  check "rotation: the old one still signs" signs_brief "$BRIEF_KEY"
  check "rotation: then the new one" wait_for 30 both_signed_by_other "$BRIEF_KEY"
  check "rotation: both are published" key_count brief 2
  for sdk in python go; do
    check "rotation: $sdk completes a workflow during" brief_workflow "$sdk"
  done
  temporal_use temporal
}

rotation() {
  local sdk
  temporal_use brief
  check "rotation: the old key is withdrawn in its time" wait_for 90 key_count brief 1
  check "rotation: it was the old one" refuses is "$BRIEF_KEY" key_ids brief
  for sdk in python go; do
    check "rotation: $sdk completes a workflow after" brief_workflow "$sdk"
    check "rotation: $sdk completed the workflow that lasted all the while" \
      wait_line "$sdk-long" 30 "^RESULT struck $sdk"
    check "rotation: $sdk worker was never refused" never_refused "$sdk-brief-worker"
    check "rotation: each of its renewals succeeded" silent "$sdk-renewal"
  done
  check "rotation: Temporal refused nothing" is '' temporal_reasons brief
  check "rotation: the Python worker took up token after token" \
    wait_line python-brief-worker 10 '^ROTATED 5'

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
    . "$0/lib.sh"; . "$0/suite/report.sh"; . "$0/suite/tokens.sh"; . "$0/suite/rotation.sh"
    while sleep 3; do fresh_brief "$1"; done' "$PEERS_DIR" "$token"
  worker_start "$sdk-brief-worker" "$sdk" payments "$sdk-brief" "$token"
}

fresh_brief() {
  spire_jwt /ns/payments/sa/worker "$ASSAY_ISSUER" | put_token "$1.svid" &&
    exchange "$1" "$1.svid" brief
}

brief_workflow() {
  is "RESULT struck $1" workflow "$1" payments "$1-brief" "$PEERS_RUN/$1-brief"
}

background_workflow() {
  local pause=$2
  _sdk "$1" start payments "$1-brief" "$PEERS_RUN/$1-brief" || return
  [ "$1" = python ] || pause+=s
  peer_run "$1-long" "${_SDK[@]}" -"${_SDK_DASH}pause" "$pause"
}

key_count() { [ "$(key_ids "$1" | wc -w)" = "$2" ]; }

signs_brief() { fresh_brief "$PEERS_RUN/brief" && is "$1" said "$PEERS_RUN/brief" kid; }

both_signed_by_other() {
  local sdk
  for sdk in python go; do
    [ "$(said "$PEERS_RUN/$sdk-brief" kid)" != "$1" ] || return
  done
}

stolen_is_refused() { ! temporal_sees "$1" payments && ! dead "$1"; }

fresh_brief_is_seen() {
  fresh_brief "$PEERS_RUN/brief-new" && temporal_sees "$PEERS_RUN/brief-new" payments
}

never_refused() {
  peer_alive "$1" && ! grep -iE 'permission.?denied|unauthorized' "$PEERS_RUN/$1".{out,err} >&2
}

silent() { peer_alive "$1" && cat "$PEERS_RUN/$1.err" >&2 && [ ! -s "$PEERS_RUN/$1.err" ]; }
