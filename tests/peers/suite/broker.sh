# shellcheck shell=bash
# Assay itself: its plan, its process, its command line.

# broker_program: sets ASSAY_BIN, built here unless it was given.
broker_program() {
  local root target
  if [ -z "${ASSAY_BIN:-}" ]; then
    root=$(cd "$PEERS_DIR/../.." && pwd)
    (cd "$root" && cargo build --locked --bin assay) >&2 || return
    target=$(cd "$root" && cargo metadata --locked --no-deps --format-version 1 |
      python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])') || return
    ASSAY_BIN=$target/debug/assay
  fi
  export ASSAY_BIN
  [ -x "$ASSAY_BIN" ] || { echo "ASSAY_BIN is no program: $ASSAY_BIN" >&2 && return 1; }
}

assay() { "$ASSAY_BIN" "$@"; }

# broker_plan: writes the plan in plan/ out for this run, and checks it. Sets
# ASSAY_ISSUER, ASSAY_CONFIG, ASSAY_CA and ASSAY_DOMAIN (the file of SPIRE's
# trust domain).
broker_plan() {
  local port folder="$PEERS_RUN/plan" target
  pick_ports port || return
  mkdir -p "$folder/trust-domains"
  : >"$PEERS_RUN/received"
  : >"$PEERS_RUN/refusals"
  test_ca assay-ca && test_cert assay-ca assay-tls || return
  cp "$PEERS_RUN/assay-tls.pem" "$PEERS_RUN/assay-tls.key" "$folder/"
  (umask 077 && openssl rand -hex 32 >"$folder/key-encryption.key")
  export ASSAY_ISSUER=https://localhost:$port ASSAY_CA=$PEERS_RUN/assay-ca.pem
  export ASSAY_CONFIG=$folder/assay.yaml
  ASSAY_DOMAIN=$folder/trust-domains/prod.yaml

  _fill assay.yaml >"$ASSAY_CONFIG"
  _fill prod.yaml >"$ASSAY_DOMAIN"
  for target in main twin; do
    sed "s|TARGET|$target|g" "$SUITE/plan/shapes.yaml" >"$folder/trust-domains/shapes-$target.yaml"
  done
  cp "$SUITE/plan/workers.yaml" "$SUITE/plan/brief.yaml" "$folder/trust-domains/"
  assay check --config "$ASSAY_CONFIG"
}

# broker_start: until it answers. Sets ASSAY_PID.
broker_start() {
  rm -f "$PEERS_RUN/ready.json"
  peer_run assay "$ASSAY_BIN" serve --config "$ASSAY_CONFIG" --ready-file "$PEERS_RUN/ready.json"
  ASSAY_PID=$PEER_PID
  wait_for 20 --while assay test -s "$PEERS_RUN/ready.json" &&
    wait_for 10 --while assay key_ids main
}

# same_process: whether it is the one that broker_start started.
same_process() { peer_alive assay && kill -0 "$ASSAY_PID"; }

# broker_says REGEX: whether its log has a line like that.
broker_says() { grep -qE -- "$1" "$PEERS_RUN/assay.err" "$PEERS_RUN/assay.out"; }

# key_ids TARGET: of the key set that a Temporal server reads, in order.
key_ids() { fetch "/targets/$1/jwks.json" | python3 -c '
import json, sys
print(*sorted(key["kid"] for key in json.load(sys.stdin)["keys"]))'; }

# fetch PATH
fetch() {
  curl --silent --show-error --fail --noproxy '*' --max-time 10 --cacert "$ASSAY_CA" "$ASSAY_ISSUER$1"
}

_fill() {
  sed -e "s|PORT|${ASSAY_ISSUER##*:}|" -e "s|BUNDLE_URL|$SPIRE_BUNDLE_URL|" \
    -e "s|BUNDLE_CA|$SPIRE_BUNDLE_CA|" "$SUITE/plan/$1"
}
