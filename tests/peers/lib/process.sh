# shellcheck shell=bash
# Processes, ports, deadlines and test certificates.

# peers_begin: makes PEERS_RUN, a folder for everything of this run, and sees to
# it that the end of the shell is the end of all that was started.
peers_begin() {
  PEERS_RUN=$(mktemp -d "${TMPDIR:-/tmp}/assay.XXXXXX") || return
  if [ ${#PEERS_RUN} -gt 60 ]; then # a socket's path ends at 107 bytes
    rmdir "$PEERS_RUN"
    echo "peers: TMPDIR is too long for sockets: $TMPDIR" >&2
    return 1
  fi
  export PEERS_RUN
  : >"$PEERS_RUN/processes"
  : >"$PEERS_RUN/ports"
  trap 'peers_end $?' EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

# peers_end [STATUS]: stops what runs, newest first, and removes PEERS_RUN. After
# a failure it shows the last lines of every log first. PEERS_KEEP=1 keeps all.
peers_end() {
  local status=${1:-0} name log
  [ -n "${PEERS_RUN:-}" ] && [ -d "$PEERS_RUN" ] || return "$status"
  for name in $(tac "$PEERS_RUN/processes" | cut -d' ' -f1); do peer_stop "$name"; done
  if [ "$status" != 0 ]; then
    for log in "$PEERS_RUN"/*.out "$PEERS_RUN"/*.err; do
      [ -s "$log" ] || continue
      echo "--- the end of $(basename "$log")" >&2
      tail -n 8 "$log" | cut -c1-600 >&2
    done
  fi
  if [ -n "${PEERS_KEEP:-}" ]; then
    echo "peers: kept $PEERS_RUN" >&2
  else
    rm -rf "$PEERS_RUN"
  fi
  PEERS_RUN=
  return "$status"
}

# peer_run NAME PROGRAM ARGUMENTS...: starts a program (not a shell function) in
# the background. Its output goes to $PEERS_RUN/NAME.out and NAME.err, its pid to
# PEER_PID. Variables set in front of the call are in its environment.
peer_run() {
  local name=$1
  shift
  if peer_alive "$name"; then
    echo "peers: $name runs already" >&2
    return 1
  fi
  "$@" >"$PEERS_RUN/$name.out" 2>"$PEERS_RUN/$name.err" </dev/null &
  PEER_PID=$!
  # With the time of its birth, so that a pid used again is not mistaken for it.
  printf '%s %s %s\n' "$name" "$PEER_PID" "$(_born "$PEER_PID")" >>"$PEERS_RUN/processes"
}

# peer_alive NAME: whether it runs.
peer_alive() {
  local pid born
  read -r _ pid born < <(grep "^$1 " "$PEERS_RUN/processes" | tail -n 1) || return 1
  [ -n "$born" ] && [ "$(_born "$pid")" = "$born" ]
}

# peer_stop NAME [SECONDS]: SIGTERM, and SIGKILL after SECONDS (10). Fine if it
# has ended already.
peer_stop() {
  local name=$1 patience=${2:-10} pid
  if peer_alive "$name"; then
    pid=$(_pid "$name")
    kill -TERM "$pid" 2>/dev/null
    if ! wait_for "$patience" _ended "$name" 2>/dev/null; then
      echo "peers: $name does not stop, killing it" >&2
      kill -KILL "$pid" 2>/dev/null
      wait_for 5 _ended "$name"
    fi
  fi
  sed -i "/^$name /d" "$PEERS_RUN/processes"
}

# wait_for SECONDS [--while NAME] COMMAND...: tries COMMAND until it succeeds.
# Gives up at the deadline, or at once when the process NAME has ended.
wait_for() {
  local end name=''
  end=$(($(_millis) + $1 * 1000))
  shift
  if [ "$1" = --while ]; then
    name=$2
    shift 2
  fi
  until "$@" >/dev/null 2>&1; do
    if [ -n "$name" ] && ! peer_alive "$name"; then
      "$@" >/dev/null 2>&1 && return # it may have ended with what we wait for
      echo "peers: $name ended while waiting for: $*" >&2
      return 1
    fi
    if [ "$(_millis)" -ge "$end" ]; then
      echo "peers: given up waiting for: $*" >&2
      return 1
    fi
    sleep 0.05
  done
}

# wait_line NAME SECONDS REGEX: until NAME has printed a line like REGEX.
wait_line() { wait_for "$2" --while "$1" grep -qE -- "$3" "$PEERS_RUN/$1.out"; }

# pick_ports VARIABLE...: sets each to a free port of 127.0.0.1, never the same
# twice in a run. They lie below the range from which the kernel takes ports for
# outgoing connections, so nobody is given one by chance before it is bound.
pick_ports() {
  local picked
  picked=$(python3 - "$PEERS_RUN/ports" $# <<'PYTHON'
import random, socket, sys
file, count = sys.argv[1], int(sys.argv[2])
with open("/proc/sys/net/ipv4/ip_local_port_range") as limits:
    low = int(limits.read().split()[0])
high = low - 1 if low > 12000 else 32767
taken = {int(line) for line in open(file)}
held = []
while len(held) < count:
    port = random.randint(10000, high)
    sock = socket.socket()
    try:
        if port not in taken:
            sock.bind(("127.0.0.1", port))
            held.append(sock)
            taken.add(port)
    except OSError:
        sock.close()
ports = [str(sock.getsockname()[1]) for sock in held]
with open(file, "a") as out:
    out.write("\n".join(ports) + "\n")
print(*ports)
PYTHON
  ) || return
  # shellcheck disable=SC2229  # the arguments are names
  read -r "$@" <<<"$picked"
}

# test_ca NAME: a private CA in $PEERS_RUN: NAME.pem and NAME.key.
test_ca() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
    -subj "/CN=$1" -addext basicConstraints=critical,CA:TRUE \
    -addext keyUsage=critical,keyCertSign,cRLSign \
    -keyout "$PEERS_RUN/$1.key" -out "$PEERS_RUN/$1.pem" 2>"$PEERS_RUN/openssl.log" ||
    { cat "$PEERS_RUN/openssl.log" >&2 && return 1; }
}

# test_cert CA NAME [SAN [USAGE]]: a certificate by that CA: NAME.pem, NAME.key.
# SAN is as openssl writes it, by default localhost and 127.0.0.1; USAGE is
# serverAuth (the default) or clientAuth.
test_cert() {
  local ca="$PEERS_RUN/$1" out="$PEERS_RUN/$2"
  {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$2" \
      -keyout "$out.key" -out "$out.csr" &&
      openssl x509 -req -in "$out.csr" -CA "$ca.pem" -CAkey "$ca.key" -days 2 -out "$out.pem" \
        -extfile <(printf '%s\n' "subjectAltName=${3:-DNS:localhost,IP:127.0.0.1}" \
          "extendedKeyUsage=${4:-serverAuth}" keyUsage=critical,digitalSignature \
          basicConstraints=critical,CA:FALSE)
  } 2>"$PEERS_RUN/openssl.log" || { cat "$PEERS_RUN/openssl.log" >&2 && return 1; }
}

# put_token FILE: writes stdin to FILE in one step (rename), no newline at the
# end, so that a reader sees the old token or the new one.
put_token() {
  local text
  text=$(cat)
  [ -n "$text" ] || { echo "peers: there is no token for $1" >&2 && return 1; }
  (umask 077 && printf %s "$text" >"$1.new") && mv "$1.new" "$1"
}

# The rest is for this file only.

_pid() { grep "^$1 " "$PEERS_RUN/processes" | tail -n 1 | cut -d' ' -f2; }

# When a process was born, in clock ticks since boot; nothing if it is no more or
# waits to be buried.
_born() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
  # shellcheck disable=SC2086  # fields, after the name in parentheses
  set -- ${stat##*) }
  [ "$1" = Z ] || echo "${20}"
}

_ended() { ! peer_alive "$1"; }

_millis() { echo $(($(date +%s%N) / 1000000)); }
