# shellcheck shell=bash
# Where a peer's program is. `install` writes there and lib.sh reads there; the
# folder's name is a hash of what the peer is made from, so a program of other
# sources is never picked up and an unchanged one is never built again.

PEERS_DIR="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
PEERS_CACHE="${ASSAY_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/assay-peers}"
PEERS_ALL=(goworker python node temporal spire)

# peer_sources PEER: the files that PEER is made from, below PEERS_DIR.
peer_sources() {
  case "$1" in
    temporal | goworker) echo "$1/go.mod $1/go.sum $1/main.go" ;;
    spire) echo "spire/go.mod spire/go.sum" ;;
    python) echo "clients/requirements.txt" ;;
    node) echo "clients/package.json clients/package-lock.json clients/oauth_oauth4webapi.mjs" ;;
    *) echo "peers: there is no peer \"$1\"; there are: ${PEERS_ALL[*]}" >&2 && return 2 ;;
  esac
}

# peer_home PEER: the folder of PEER in the cache, built or not.
peer_home() {
  local sources key
  sources=$(peer_sources "$1") || return
  # shellcheck disable=SC2086  # a list of plain names
  key=$(
    cd "$PEERS_DIR" && {
      uname -sm
      [ "$1" != python ] || python3 --version
      sha256sum $sources
    } | sha256sum | cut -c1-16
  ) || return
  echo "$PEERS_CACHE/$1-$key"
}

# peer_installed PEER: whether it is there, whole.
peer_installed() {
  local home
  home=$(peer_home "$1") && [ -e "$home/.complete" ]
}

# peer_program PEER NAME: the path of one of its programs, or the reason why not.
peer_program() {
  local home
  home=$(peer_home "$1") || return
  if [ ! -e "$home/.complete" ]; then
    echo "peers: $1 is not installed (looked in $home); run: $PEERS_DIR/install $1" >&2
    return 1
  fi
  echo "$home/$2"
}
