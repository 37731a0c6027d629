# shellcheck shell=bash
# The Temporal server, and workers and starters of two SDKs.

# temporal_start JWKS_URL [--name NAME] [--namespaces A,B] [--audience TEXT]
#   [--refresh 1s] [--jwks-ca FILE]
# Sets TEMPORAL_ADDRESS (gRPC, plaintext), TEMPORAL_URL (HTTP) and TEMPORAL_NAME.
# The key set should be up before: a server that started without one refuses
# everything until its next refresh.
temporal_start() {
  local url=$1 name=temporal namespaces=payments,orders audience='' refresh=1s ca='' program try
  local grpc http p1 p2 p3 p4 p5 p6 p7
  shift
  while [ $# -gt 0 ]; do
    case "$1" in
      --name) name=$2 ;;
      --namespaces) namespaces=$2 ;;
      --audience) audience=$2 ;;
      --refresh) refresh=$2 ;;
      --jwks-ca) ca=$2 ;;
      *) echo "temporal_start: what is $1?" >&2 && return 2 ;;
    esac
    shift 2
  done
  program=$(peer_program temporal temporal-peer) || return

  for try in 1 2 3; do
    pick_ports grpc http p1 p2 p3 p4 p5 p6 p7 || return
    PEER_JWKS_URL=$url PEER_JWKS_REFRESH=$refresh PEER_AUDIENCE=$audience PEER_LOG_LEVEL=error \
      PEER_FRONTEND_PORT=$grpc PEER_FRONTEND_HTTP_PORT=$http PEER_FRONTEND_RING_PORT=$p1 \
      PEER_HISTORY_PORT=$p2 PEER_HISTORY_RING_PORT=$p3 \
      PEER_MATCHING_PORT=$p4 PEER_MATCHING_RING_PORT=$p5 \
      PEER_INTERNAL_PORT=$p6 PEER_INTERNAL_RING_PORT=$p7 \
      SSL_CERT_FILE=${ca:-${SSL_CERT_FILE:-}} \
      peer_run "$name" "$program" -config "$PEERS_DIR/temporal/server.yaml" -namespaces "$namespaces"
    if wait_line "$name" 60 '^READY '; then
      echo "127.0.0.1:$grpc http://127.0.0.1:$http" >"$PEERS_RUN/$name.at"
      temporal_use "$name"
      return
    fi
    grep -qs 'address already in use' "$PEERS_RUN/$name".{out,err} || break
    echo "temporal_start: lost a port, try $try" >&2
    peer_stop "$name"
  done
  tail -n 5 "$PEERS_RUN/$name".{out,err} >&2
  return 1
}

# temporal_use NAME: makes TEMPORAL_* describe another server of this run.
temporal_use() {
  read -r TEMPORAL_ADDRESS TEMPORAL_URL <"$PEERS_RUN/$1.at" && TEMPORAL_NAME=$1
}

# temporal_stop [NAME]
temporal_stop() { peer_stop "${1:-temporal}"; }

# temporal_get TOKEN_FILE PATH: the HTTP status of a GET; TOKEN_FILE may be "".
temporal_get() {
  { [ -z "$1" ] || printf 'Authorization: Bearer %s\n' "$(cat "$1")"; } |
    curl --silent --output /dev/null --write-out '%{http_code}\n' --noproxy '*' \
      --max-time 10 --header @- "$TEMPORAL_URL$2"
}

# temporal_sees TOKEN_FILE NAMESPACE: whether DescribeNamespace is answered.
temporal_sees() { [ "$(temporal_get "$1" "/api/v1/namespaces/$2")" = 200 ]; }

# temporal_reasons [NAME]: why tokens were refused, counted. The client is never
# told; the server's log is the only place.
temporal_reasons() {
  grep -h '"Authorization error"' "$PEERS_RUN/${1:-$TEMPORAL_NAME}.out" |
    sed -E 's/.*"error":"(([^"\\]|\\.)*)".*/\1/' | sort | uniq -c
}

# worker_start NAME SDK NAMESPACE QUEUE [TOKEN_FILE]: a worker of the python or go
# SDK, until it polls. The python one prints ROTATED n to $PEERS_RUN/NAME.out for
# each new token. Without TOKEN_FILE it sends none (for a proxy that adds it).
# TEMPORAL_ADDRESS says where to.
worker_start() {
  local name=$1
  _sdk "$2" worker "$3" "$4" "${5:-}" || return
  peer_run "$name" "${_SDK[@]}"
  wait_line "$name" 30 '^READY'
}

# workflow SDK NAMESPACE QUEUE [TOKEN_FILE [SECONDS]]: starts a workflow, waits
# for its end and prints RESULT ..., or STATUS and a gRPC status, FAILED or
# TIMEOUT, and fails. The workflow sleeps SECONDS (0) before its activity.
workflow() {
  local pause=${5:-0}
  _sdk "$1" start "$2" "$3" "${4:-}" || return
  [ "$1" = python ] || pause+=s
  "${_SDK[@]}" -"${_SDK_DASH}pause" "$pause"
}

# probe ARGUMENTS...: clients/probe.py against TEMPORAL_ADDRESS.
probe() { py probe --address "$TEMPORAL_ADDRESS" "$@"; }

_sdk() {
  local program
  case "$1" in
    python)
      program=$(peer_program python bin/python) || return
      _SDK=("$program" "$PEERS_DIR/clients/$2.py") _SDK_DASH=-
      ;;
    go)
      program=$(peer_program goworker goworker) || return
      _SDK=("$program" "$2") _SDK_DASH=
      ;;
    *) echo "peers: no SDK \"$1\"; there are python and go" >&2 && return 2 ;;
  esac
  local dash=-$_SDK_DASH
  _SDK+=("${dash}address" "$TEMPORAL_ADDRESS" "${dash}namespace" "$3" "${dash}task-queue" "$4")
  [ -z "$5" ] || _SDK+=("${dash}token-file" "$5")
}
