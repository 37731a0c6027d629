# shellcheck shell=bash
# From SPIRE to Assay to Temporal: a workload that holds nothing but what its
# platform gives it gets to work, and only where it may.

journey() {
  local sdk token="$PEERS_RUN/journey" other="$PEERS_RUN/journey-other"
  check "journey: SPIRE's agent gives the workload a JWT-SVID" svid /ns/payments/sa/worker
  check "journey: Assay exchanges it for a token" exchange "$token" "$SVID" main
  check "journey: the token is for write on that namespace alone" \
    is '["payments:write"]' said "$token" permissions
  check "journey: the same SVID is good again" exchange "$token" "$SVID" main
  check "journey: but not for another's role" \
    refused RULE_NO_MATCH "$SVID" main scope=orders-worker
  check "journey: nor for more than its role" \
    refused SCOPE_BEYOND_ROLE "$SVID" main "scope=payments-worker payments:admin"
  check "journey: an SVID for another audience is refused" foreign_audience
  check "journey: another workload has its own SVID" svid /ns/orders/sa/worker
  check "journey: and gets its own token" exchange "$other" "$SVID" main

  check "journey: Temporal without a token, 403" is 403 temporal_get "" /api/v1/namespaces/payments
  check "journey: with the token, 200" is 200 temporal_get "$token" /api/v1/namespaces/payments
  check "journey: with the other's, 403" is 403 temporal_get "$other" /api/v1/namespaces/payments
  for sdk in python go; do
    check "journey: $sdk worker polls with nothing but the token" \
      worker_start "$sdk-worker" "$sdk" payments "$sdk-queue" "$token"
    check "journey: $sdk worker completes a workflow" \
      is "RESULT struck $sdk" workflow "$sdk" payments "$sdk-queue" "$token"
    peer_stop "$sdk-worker"
    check "journey: $sdk worker without a token is refused" turned_away "$sdk" ''
    check "journey: $sdk worker with the other's token is refused" turned_away "$sdk" "$other"
  done
}

foreign_audience() {
  local elsewhere="$PEERS_RUN/svid-elsewhere"
  spire_jwt /ns/payments/sa/worker https://elsewhere.test | put_token "$elsewhere" &&
    refused AUDIENCE_MISMATCH "$elsewhere" main
}

# turned_away SDK TOKEN_FILE: whether a worker in payments ends by a refusal, and
# a workflow cannot be started either.
turned_away() {
  local name="$1-turned-away"
  worker_start "$name" "$1" payments "$1-nobody" "$2"
  wait_line "$name" 20 '^STATUS PERMISSION_DENIED' && peer_stop "$name" &&
    [ "$(workflow "$1" payments "$1-nobody" "$2" 2>/dev/null)" = "STATUS PERMISSION_DENIED" ]
}
