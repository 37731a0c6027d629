# shellcheck shell=bash
# The exchange, as curl makes it, and a look into tokens.
#
# What came back is kept: "received" holds the tokens, "refusals" the request ids
# of refusals, so that the audit can be held against both at the end.

# svid PATH: a JWT-SVID of that workload from SPIRE's agent, to the file named
# like the workload (svid-ns-a-sa-b), which SVID is set to.
svid() {
  SVID=$(_svid_file "$1")
  spire_jwt "$1" "$ASSAY_ISSUER" | put_token "$SVID"
}

# minted_svid PATH: the same from SPIRE's server, which asks for no registration.
minted_svid() {
  SVID=$(_svid_file "$1")
  spire_mint_jwt "$1" "$ASSAY_ISSUER" | put_token "$SVID"
}

_svid_file() { echo "$PEERS_RUN/svid${1//\//-}"; }

# exchange FILE SVID_FILE TARGET [NAME=VALUE...]: a token of TARGET to FILE.
exchange() {
  local answer file=$1
  shift
  answer=$(_ask "$@") || return
  if ! answer=$(members request_id access_token <<<"$answer"); then
    echo "no token: $answer" >&2
    return 1
  fi
  printf '%s\n' "$answer" >>"$PEERS_RUN/received"
  put_token "$file" <<<"${answer#* }"
}

# refused REASON SVID_FILE TARGET [NAME=VALUE...]: whether there is no token, for
# that reason.
refused() {
  local answer reason=$1
  shift
  answer=$(_ask "$@") || return
  echo "$answer" >&2
  case "$answer" in *'"access_token"'*) return 1 ;; esac
  answer=$(members request_id reason <<<"$answer") &&
    printf '%s\n' "${answer% *}" >>"$PEERS_RUN/refusals" &&
    [ "${answer#* }" = "$reason" ]
}

_ask() {
  local parameter more=() svid=$1 target=$2
  shift 2
  for parameter; do more+=(--data-urlencode "$parameter"); done
  curl --silent --show-error --noproxy '*' --max-time 15 --cacert "$ASSAY_CA" \
    "$ASSAY_ISSUER/oauth2/token" \
    --data-urlencode grant_type=urn:ietf:params:oauth:grant-type:token-exchange \
    --data-urlencode subject_token_type=urn:ietf:params:oauth:token-type:jwt \
    --data-urlencode "subject_token@$svid" --data-urlencode "audience=$target" "${more[@]}"
}

# members NAME...: of the JSON object on stdin, in a line; or what it was.
members() {
  python3 -c '
import json, sys
text = sys.stdin.read()
try:
    print(*(json.loads(text)[name] for name in sys.argv[1:]))
except (KeyError, ValueError):
    sys.exit(print(text.strip()) or 1)' "$@"
}

# said FILE NAME: what the token in FILE says in a claim, or in its header.
said() {
  python3 - "$1" "$2" <<'PYTHON'
import base64, json, sys
header, claims = (
    json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    for part in open(sys.argv[1]).read().split(".")[:2]
)
value = (header | claims)[sys.argv[2]]
print(value if isinstance(value, (str, int)) else json.dumps(value))
PYTHON
}

# dead FILE: whether the token in FILE has expired.
dead() { [ "$(said "$1" exp)" -lt "$(date +%s)" ]; }
