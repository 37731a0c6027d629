# shellcheck shell=bash
# OAuth libraries that people already use, as shipped: they find the endpoint by
# discovery, and what they get is a token that Temporal accepts.

oauth() {
  local client
  check "oauth: an SVID in a file" svid /ns/payments/sa/worker
  for client in "${OAUTH_CLIENTS[@]}"; do
    check "oauth: $client exchanges it" exchanged_by "$client"
    check "oauth: $client has a token that Temporal accepts" \
      temporal_sees "$PEERS_RUN/oauth-$client" payments
  done
}

exchanged_by() {
  local token="$PEERS_RUN/oauth-$1"
  SUBJECT_TOKEN_FILE=$SVID AUDIENCE=main SCOPE='' oauth_exchange "$1" >"$token.got" || return
  # These libraries do not say which request it was; the token does.
  echo "- $(cat "$token.got")" >>"$PEERS_RUN/received"
  put_token "$token" <"$token.got"
}
