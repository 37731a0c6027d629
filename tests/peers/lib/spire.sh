# shellcheck shell=bash
# SPIRE: one or more trust domains, each a server and, if wanted, an agent.
#
# The variables SPIRE_* describe the trust domain started last, or the one that
# spire_use chose: SPIRE_NAME, SPIRE_TRUST_DOMAIN, SPIRE_DIR,
# SPIRE_SERVER_SOCKET, SPIRE_WORKLOAD_SOCKET (paths), SPIRE_BUNDLE_URL, and
# SPIRE_BUNDLE_CA (a PEM file; what https_web is to be verified with).

# spire_start TRUST_DOMAIN [OPTIONS of spire_server_start]: server and agent.
spire_start() { spire_server_start "$@" && spire_agent_start; }

# spire_server_start TRUST_DOMAIN [--name NAME] [--profile https_web|https_spiffe]
#   [--jwt-issuer URL] [--jwt-key ec-p256|rsa-2048] [--jwt-ttl 5m]
#   [--x509-ttl 1h] [--ca-ttl 24h] [--federates-with TRUST_DOMAIN URL]
# A server is enough for spire_mint_jwt and spire_mint_x509.
spire_server_start() {
  local name=spire profile=https_web issuer='' key=ec-p256 jwt_ttl=5m x509_ttl=1h ca_ttl=24h
  local domain=$1 peer='' peer_url='' program try api bundle
  shift
  while [ $# -gt 0 ]; do
    case "$1" in
      --name) name=$2 ;;
      --profile) profile=$2 ;;
      --jwt-issuer) issuer=$2 ;;
      --jwt-key) key=$2 ;;
      --jwt-ttl) jwt_ttl=$2 ;;
      --x509-ttl) x509_ttl=$2 ;;
      --ca-ttl) ca_ttl=$2 ;;
      --federates-with) peer=$2 peer_url=$3 && shift ;;
      *) echo "spire_server_start: what is $1?" >&2 && return 2 ;;
    esac
    shift 2
  done
  program=$(peer_program spire spire-server) || return
  local dir="$PEERS_RUN/$name"
  mkdir -p "$dir/server" "$dir/agent"

  for try in 1 2 3; do
    pick_ports api bundle || return
    cat >"$dir/env" <<ENV
SPIRE_NAME=$name
SPIRE_TRUST_DOMAIN=$domain
SPIRE_DIR=$dir
SPIRE_SERVER_SOCKET=$dir/server.sock
SPIRE_WORKLOAD_SOCKET=$dir/workload.sock
SPIRE_API_PORT=$api
SPIRE_BUNDLE_URL=https://localhost:$bundle
SPIRE_BUNDLE_CA=$PEERS_RUN/$name-web-ca.pem
ENV
    spire_use "$name"
    test_ca "$name-web-ca" && test_cert "$name-web-ca" "$name-web" || return
    SPIRE_BUNDLE_PORT=$bundle SPIRE_JWT_ISSUER=$issuer SPIRE_JWT_KEY_TYPE=$key \
      SPIRE_JWT_TTL=$jwt_ttl SPIRE_X509_TTL=$x509_ttl SPIRE_CA_TTL=$ca_ttl \
      SPIRE_PROFILE=$(_spire_profile "$profile" "$name") \
      SPIRE_FEDERATION=$(_spire_federation "$peer" "$peer_url") \
      peer_run "$name-server" "$program" run -config "$PEERS_DIR/spire/server.conf" -expandEnv
    if wait_for 60 --while "$name-server" spire_server healthcheck; then
      spire_server bundle show >"$dir/bootstrap.pem"
      return
    fi
    grep -qs 'address already in use' "$PEERS_RUN/$name-server".{out,err} || break
    echo "spire_server_start: lost a port, try $try" >&2
    peer_stop "$name-server"
  done
  tail -n 5 "$PEERS_RUN/$name-server".{out,err} >&2
  return 1
}

# spire_agent_start: an agent for the trust domain in use, by a fresh join token.
# Also the way back after peer_stop "$SPIRE_NAME-agent": its keys are in memory.
spire_agent_start() {
  local program
  program=$(peer_program spire spire-agent) || return
  SPIRE_JOIN_TOKEN=$(spire_server token generate -ttl 600 \
    -spiffeID "spiffe://$SPIRE_TRUST_DOMAIN/node" | sed -n 's/^Token: //p')
  SPIRE_JOIN_TOKEN=$SPIRE_JOIN_TOKEN \
    peer_run "$SPIRE_NAME-agent" "$program" run -config "$PEERS_DIR/spire/agent.conf" -expandEnv
  wait_for 60 --while "$SPIRE_NAME-agent" spire_agent healthcheck
}

# spire_stop [NAME]: agent, then server.
spire_stop() { peer_stop "${1:-spire}-agent" && peer_stop "${1:-spire}-server"; }

# spire_use NAME: makes SPIRE_* describe another trust domain of this run.
spire_use() {
  [ -e "$PEERS_RUN/$1/env" ] || { echo "spire_use: no \"$1\" was started" >&2 && return 1; }
  set -a
  # shellcheck disable=SC1090,SC1091
  . "$PEERS_RUN/$1/env"
  set +a
}

# spire_server COMMAND... / spire_agent COMMAND...: their command lines, on the
# sockets of the trust domain in use.
spire_server() { _spire spire-server "$SPIRE_SERVER_SOCKET" "$@"; }
spire_agent() { _spire spire-agent "$SPIRE_WORKLOAD_SOCKET" "$@"; }

# spire_entry PATH [ARGUMENTS of `entry create`]: registers PATH (/ns/a/sa/b) for
# all processes of this uid, or for the -selector given; waits until the agent
# serves it, if there is one and no selector was given.
spire_entry() {
  local path=$1 selector=(-selector "unix:uid:$(id -u)")
  shift
  case " $* " in *' -selector '*) selector=() ;; esac
  spire_server entry create -parentID "spiffe://$SPIRE_TRUST_DOMAIN/node" \
    -spiffeID "spiffe://$SPIRE_TRUST_DOMAIN$path" "${selector[@]}" "$@" >/dev/null || return
  if [ ${#selector[@]} -gt 0 ] && peer_alive "$SPIRE_NAME-agent"; then
    wait_for 30 --while "$SPIRE_NAME-agent" _spire_served "$path"
  fi
}

# spire_jwt PATH AUDIENCE: a JWT-SVID from the agent. The same audience gives the
# same token until half its life is over.
spire_jwt() {
  spire_agent api fetch jwt -audience "$2" -spiffeID "spiffe://$SPIRE_TRUST_DOMAIN$1" -output json |
    python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["svids"][0]["svid"])'
}

# spire_x509 PATH DIR: an X.509-SVID from the agent: svid.pem, key.pem, bundle.pem.
spire_x509() {
  local all="$2/all" file
  mkdir -p "$all" && spire_agent api fetch x509 -write "$all" >/dev/null || return
  for file in "$all"/svid.*.pem; do # in no order, so each is asked who it is
    if openssl x509 -in "$file" -noout -ext subjectAltName |
      grep -qx " *URI:spiffe://$SPIRE_TRUST_DOMAIN$1"; then
      cp "$file" "$2/svid.pem" && cp "${file%.pem}.key" "$2/key.pem" &&
        cp "$all/bundle.${file##*/svid.}" "$2/bundle.pem" && rm -r "$all"
      return
    fi
  done
  rm -r "$all"
  echo "spire_x509: the agent serves no $1" >&2
  return 1
}

# spire_mint_jwt PATH AUDIENCE [TTL]: a JWT-SVID by the server; no agent, no entry.
spire_mint_jwt() {
  spire_server jwt mint -spiffeID "spiffe://$SPIRE_TRUST_DOMAIN$1" -audience "$2" \
    -ttl "${3:-5m}" 2>/dev/null
}

# spire_mint_x509 PATH DIR [TTL]: svid.pem, key.pem and bundle.pem by the server.
spire_mint_x509() {
  mkdir -p "$2" && spire_server x509 mint -spiffeID "spiffe://$SPIRE_TRUST_DOMAIN$1" \
    -ttl "${3:-1h}" -write "$2/" >/dev/null 2>&1
}

# spire_bundle: the bundle document, as the https_web endpoint serves it.
spire_bundle() {
  curl --silent --show-error --fail --noproxy '*' --max-time 10 \
    --cacert "$SPIRE_BUNDLE_CA" "$SPIRE_BUNDLE_URL"
}

# spire_authority jwt|x509 prepare|activate|taint|revoke: one step of a forced
# rotation, in this order. Leave the agent some seconds between taint and revoke.
spire_authority() {
  local kind=$1 step=$2 slot id
  case "$step" in
    prepare) spire_server localauthority "$kind" prepare >/dev/null && return ;;
    activate) slot=prepared ;;
    taint | revoke) slot=old ;;
    *) echo "spire_authority: what is $step?" >&2 && return 2 ;;
  esac
  id=$(spire_server localauthority "$kind" show -output json |
    python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]]["authority_id"])' $slot) &&
    spire_server localauthority "$kind" "$step" -authorityID "$id" >/dev/null
}

# The rest is for this file only.

# The flags of both programs come after their commands, which are bare words.
_spire() {
  local program socket=$2 words=()
  program=$(peer_program spire "$1") || return
  shift 2
  while [ $# -gt 0 ] && [[ $1 != -* ]]; do words+=("$1") && shift; done
  "$program" "${words[@]}" -socketPath "$socket" "$@"
}

_spire_served() {
  spire_agent api fetch x509 -output json | grep -q "spiffe://$SPIRE_TRUST_DOMAIN$1\""
}

_spire_profile() {
  case "$1" in
    https_spiffe) echo 'profile "https_spiffe" {}' ;;
    https_web)
      cat <<BLOCK
profile "https_web" {
  serving_cert_file {
    cert_file_path     = "$PEERS_RUN/$2-web.pem"
    key_file_path      = "$PEERS_RUN/$2-web.key"
    file_sync_interval = "1s"
  }
}
BLOCK
      ;;
  esac
}

# Federation by https_spiffe; the first bundle is to be set by hand.
_spire_federation() {
  [ -n "$1" ] || return 0
  cat <<BLOCK
federates_with "$1" {
  bundle_endpoint_url = "$2"
  bundle_endpoint_profile "https_spiffe" {
    endpoint_spiffe_id = "spiffe://$1/spire/server"
  }
}
BLOCK
}
