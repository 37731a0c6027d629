# shellcheck shell=bash
# SPIRE's own signing key for JWTs changes, and the old one is revoked: Assay
# follows both without a restart. The bundle says how often it wants to be read
# (10 s), which is the time that a revocation may take; a key that is unknown is
# asked for at once.

authority() {
  local old="$PEERS_RUN/svid-by-old" new="$PEERS_RUN/svid-by-new" token="$PEERS_RUN/authority"
  check "authority: an SVID by the present key" minted_svid_to "$old"
  check "authority: is exchanged" exchange "$token" "$old" main
  check "authority: SPIRE prepares another key" spire_authority jwt prepare
  check "authority: and signs with it" spire_authority jwt activate
  check "authority: an SVID by the new key" minted_svid_to "$new"
  check "authority: it is another key" refuses is "$(said "$old" kid)" said "$new" kid
  check "authority: is exchanged, at the first try" exchange "$token" "$new" main
  check "authority: what it was exchanged for works" temporal_sees "$token" payments
  check "authority: one by the old key is good still" exchange "$token" "$old" main

  check "authority: SPIRE taints the old key" spire_authority jwt taint
  check "authority: its agent hands out SVIDs by the new one" \
    wait_for 20 agent_has_left "$(said "$old" kid)"
  check "authority: SPIRE revokes the old key" spire_authority jwt revoke
  check "authority: one by the old key is refused in time" \
    wait_for 13 refused KEY_UNKNOWN "$old" main
  check "authority: the agent's are good" exchange "$token" "$PEERS_RUN/svid-by-agent" main
  check "authority: all of it in one process" same_process
}

minted_svid_to() { minted_svid /ns/payments/sa/worker && mv "$SVID" "$1"; }

agent_has_left() {
  spire_jwt /ns/payments/sa/worker "$ASSAY_ISSUER" | put_token "$PEERS_RUN/svid-by-agent" &&
    [ "$(said "$PEERS_RUN/svid-by-agent" kid)" != "$1" ]
}
