# shellcheck shell=bash
# The OAuth clients, and Python for whoever wants it.

# shellcheck disable=SC2034  # for the scripts that source this
OAUTH_CLIENTS=(google_auth authlib requests_oauth2client oauth4webapi)

# py NAME ARGUMENTS...: clients/NAME.py with the libraries of requirements.txt.
py() {
  local python name=$1
  python=$(peer_program python bin/python) || return
  shift
  "$python" "$PEERS_DIR/clients/$name.py" "$@"
}

# oauth_exchange CLIENT: a token exchange by a stock library, one of
# OAUTH_CLIENTS; prints the access token. In the environment: ASSAY_ISSUER,
# ASSAY_CA, SUBJECT_TOKEN_FILE, SUBJECT_TOKEN_TYPE (a JWT), AUDIENCE, SCOPE ("").
oauth_exchange() {
  local script
  if [ "$1" = oauth4webapi ]; then
    script=$(peer_program node oauth_oauth4webapi.mjs) || return
    node "$script"
  else
    py "oauth_$1"
  fi
}
