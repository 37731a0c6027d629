# shellcheck shell=bash
# What an administrator does to a running Assay: the kill switch, and the plan's
# files.

control() {
  check "control: an SVID" svid /ns/payments/sa/worker
  check "control: the kill switch is thrown" switch on
  check "control: within 5 s nothing is issued" wait_for 5 refused DISABLED "$SVID" main
  check "control: the kill switch is off" switch off
  check "control: within 5 s it goes on" wait_for 5 exchange "$PEERS_RUN/control" "$SVID" main

  check "control: an SVID that no rule is about" minted_svid /ns/late/sa/worker
  check "control: is refused" refused RULE_NO_MATCH "$SVID" main
  check "control: a rule is added, SIGHUP" reload "$(domain_with_rule late-comer)"
  check "control: now it is exchanged" wait_for 5 exchange "$PEERS_RUN/control" "$SVID" main
  check "control: the rule is taken away, and nobody says so" replaced "$(cat "$PEERS_RUN/domain")"
  check "control: the file is watched" wait_for 15 refused RULE_NO_MATCH "$SVID" main
  check "control: the rule is back" reload "$(domain_with_rule come-back)"
  check "control: and counts" wait_for 5 exchange "$PEERS_RUN/control" "$SVID" main

  check "control: a file that is broken, SIGHUP" reload "$(domain_with_rule 'x, no-such-key: 1')"
  check "control: the log says that the old plan stays" wait_for 10 broker_says 'no-such-key'
  check "control: assay check says why" exits 10 assay check --config "$ASSAY_CONFIG"
  check "control: and the old plan does stay" exchange "$PEERS_RUN/control" "$SVID" main
  check "control: a good file, SIGHUP" reload "$(cat "$PEERS_RUN/domain")"
  check "control: counts again" wait_for 5 refused RULE_NO_MATCH "$SVID" main
  check "control: all of it in one process" same_process
}

switch() { assay kill-switch --config "$ASSAY_CONFIG" "$1" trust-domain prod; }

# The trust domain's file with a rule more, by that name.
domain_with_rule() {
  [ -e "$PEERS_RUN/domain" ] || cp "$ASSAY_DOMAIN" "$PEERS_RUN/domain"
  sed "s|^  rules:|&\n    - { name: $1, match: { path: /ns/late/sa/worker }, grant: { role: payments-worker } }|" \
    "$PEERS_RUN/domain"
}

# replaced TEXT: makes that the trust domain's file, in one step.
replaced() { printf '%s\n' "$1" >"$ASSAY_DOMAIN.new" && mv "$ASSAY_DOMAIN.new" "$ASSAY_DOMAIN"; }

reload() { replaced "$1" && kill -HUP "$ASSAY_PID"; }
