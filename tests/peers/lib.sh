# shellcheck shell=bash
# The real peers, for a test script in bash. Source this, say peers_begin, and
# start what is wanted; when the script ends, however it ends, exactly what it
# started is stopped and its folder is gone.
#
#   . tests/peers/lib.sh
#   peers_begin
#   spire_start prod.example && spire_entry /ns/pay/sa/worker
#   spire_jwt /ns/pay/sa/worker https://assay.test | put_token "$PEERS_RUN/svid"
#   temporal_start https://localhost:8443/targets/dev/jwks.json --jwks-ca ca.pem
#   ... exchange the one for a token of the other, into $PEERS_RUN/token ...
#   worker_start w1 python payments queue "$PEERS_RUN/token"
#   workflow go payments queue "$PEERS_RUN/token"            # RESULT struck go
#   probe --token-file "$PEERS_RUN/token" --expect write     # all fourteen calls
#
# Functions set variables rather than print, so call them in the shell itself and
# not in $(...) where the table says "sets". They return non-zero with the reason
# on stderr. Nothing has a fixed port, a fixed path or a bare sleep; everything
# listens on 127.0.0.1 only.
#
# The run and its processes (lib/process.sh)
#   peers_begin                          sets PEERS_RUN; traps EXIT, HUP, INT, TERM
#   peers_end [STATUS]                   called by the trap; PEERS_KEEP=1 keeps the folder
#   peer_run NAME PROGRAM ARGS...        sets PEER_PID; logs PEERS_RUN/NAME.out, .err
#   peer_alive NAME, peer_stop NAME [SECONDS]
#   wait_for SECONDS [--while NAME] COMMAND...
#   wait_line NAME SECONDS REGEX         a line of NAME.out
#   pick_ports VARIABLE...               sets each to a free port
#   test_ca NAME, test_cert CA NAME [SAN [USAGE]]     PEERS_RUN/NAME.pem, .key
#   put_token FILE                       stdin to FILE by a rename
# Temporal (lib/temporal.sh)
#   temporal_start JWKS_URL [--name N] [--namespaces A,B] [--audience T]
#     [--refresh 1s] [--jwks-ca FILE]    sets TEMPORAL_ADDRESS, TEMPORAL_URL, TEMPORAL_NAME
#   temporal_stop [NAME], temporal_use NAME
#   temporal_get TOKEN_FILE PATH         an HTTP status
#   temporal_sees TOKEN_FILE NAMESPACE   whether DescribeNamespace is answered
#   temporal_reasons [NAME]              why tokens were refused, from the log
#   worker_start NAME python|go NAMESPACE QUEUE [TOKEN_FILE]
#   workflow python|go NAMESPACE QUEUE [TOKEN_FILE [SECONDS]]
#   probe ARGS...                        clients/probe.py; --expect ROW of truth.json
# SPIRE (lib/spire.sh)
#   spire_start TRUST_DOMAIN [OPTIONS]   server and agent; sets SPIRE_*
#   spire_server_start TRUST_DOMAIN [--name N] [--profile https_web|https_spiffe]
#     [--jwt-issuer URL] [--jwt-key ec-p256|rsa-2048] [--jwt-ttl D] [--x509-ttl D]
#     [--ca-ttl D] [--federates-with TRUST_DOMAIN URL]
#   spire_agent_start, spire_stop [NAME], spire_use NAME
#   spire_server COMMAND..., spire_agent COMMAND...   their command lines
#   spire_entry PATH [ARGS]              for this uid, waits until it is served
#   spire_jwt PATH AUDIENCE, spire_x509 PATH DIR                from the agent
#   spire_mint_jwt PATH AUDIENCE [TTL], spire_mint_x509 PATH DIR [TTL]   no agent
#   spire_bundle                         the bundle document, over https_web
#   spire_authority jwt|x509 prepare|activate|taint|revoke
# OAuth clients (lib/clients.sh)
#   oauth_exchange CLIENT                google_auth, authlib, requests_oauth2client,
#                                        oauth4webapi (OAUTH_CLIENTS); see there for
#                                        the environment it reads
#   py NAME ARGS...                      clients/NAME.py
# Programs (lib/places.sh)
#   peer_installed PEER                  PEER: temporal goworker spire python node
#   peer_program PEER NAME               a path, or a failure that says what to run

export PYTHONDONTWRITEBYTECODE=1 # nothing is written beside the sources

for _part in places process temporal spire clients; do
  # shellcheck disable=SC1090
  . "$(dirname "${BASH_SOURCE[0]}")/lib/$_part.sh"
done
unset _part
