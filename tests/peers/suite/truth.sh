# shellcheck shell=bash
# What Temporal lets each kind of token do was measured (clients/truth.json). Here
# it is held against Assay's own: every shape of permissions that it can mint, and
# each of them expired, of another target's key, and for another audience.

# A role of the plan is TARGET-SHAPE; beside each shape, its row of the table.
SHAPES=(
  "read read"
  "write write"
  "worker write"
  "admin admin"
  "two read+other-write"
  "system-read system-read"
  "system-write system-write"
  "system-admin system-admin"
)

truth() {
  local shape row
  mkdir -p "$PEERS_RUN/truth"
  check "truth: one identity for all shapes" minted_svid /ns/ops/sa/shapes
  check "truth: which without a scope is asked to choose" refused SCOPE_AMBIGUOUS "$SVID" main
  # The short-lived ones first, so that they are dead when their turn comes.
  check "truth: tokens of every shape that live $TRUTH_LIFE s" minted_shapes dead main \
    "requested_expires_in=$TRUTH_LIFE"
  check "truth: tokens of every shape for main" minted_shapes main main
  check "truth: and for twin, a target with the same namespaces" minted_shapes twin twin
  check "truth: twin has a server of its own" temporal_start \
    "$ASSAY_ISSUER/targets/twin/jwks.json" --name twin --jwks-ca "$ASSAY_CA" --audience temporal-main
  check "truth: and main a second one, for another audience" temporal_start \
    "$ASSAY_ISSUER/targets/main/jwks.json" --name elsewhere --jwks-ca "$ASSAY_CA" --audience elsewhere

  while read -r shape row; do
    check "truth: $shape" answers temporal main "$shape" "$row"
    check "truth: $shape, of twin at twin" answers twin twin "$shape" "$row"
    check "truth: $shape, of twin at main: refused" answers temporal twin "$shape" refused
    check "truth: $shape, for another audience: refused" answers elsewhere main "$shape" refused
  done < <(printf '%s\n' "${SHAPES[@]}")
  check "truth: it was the audience" grep -i audience <(temporal_reasons elsewhere)

  check "truth: the short-lived are dead" wait_for "$((TRUTH_LIFE + 5))" all_dead
  while read -r shape row; do
    check "truth: $shape, expired: refused" answers temporal dead "$shape" refused
  done < <(printf '%s\n' "${SHAPES[@]}")
  check "truth: it was their age" grep 'Token is expired' <(temporal_reasons temporal)

  temporal_stop twin
  temporal_stop elsewhere
  temporal_use temporal
}

TRUTH_LIFE=30 # no credential lives less

# minted_shapes KIND TARGET [NAME=VALUE...]: to truth/KIND-SHAPE.
minted_shapes() {
  local shape kind=$1 target=$2
  shift 2
  for shape in "${SHAPES[@]%% *}"; do
    exchange "$PEERS_RUN/truth/$kind-$shape" "$SVID" "$target" "scope=$target-$shape" "$@" || return
  done
}

# answers SERVER KIND SHAPE ROW: whether all fourteen calls do. Tasks are made by
# the write token that the server accepts.
answers() {
  local helper=main
  temporal_use "$1"
  [ "$1" != twin ] || helper=twin
  probe --token-file "$PEERS_RUN/truth/$2-$3" --expect "$4" \
    --helper-token-file "$PEERS_RUN/truth/$helper-write"
}

all_dead() {
  local token
  for token in "$PEERS_RUN"/truth/dead-*; do dead "$token" || return; done
}
