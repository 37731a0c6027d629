//! `assay kill-switch`: stop an issuer, trust domain, rule, subject or target.

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use crate::{
    base::text,
    config::Plan,
    ledger::{Ledger as _, Record, Switch},
};

use super::{
    Outcome,
    output::{Exit, Failure, Output, unreachable},
    plan::{LedgerFile, now, runtime},
};

/// Options of `assay kill-switch`.
#[derive(Debug, Args)]
pub(super) struct KillSwitch {
    #[command(flatten)]
    ledger: LedgerFile,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show what is stopped
    List,
    /// Stop it: every running broker refuses it within 5 seconds
    On(What),
    /// Let it go on
    Off(What),
}

#[derive(Debug, Args)]
struct What {
    /// What kind of thing
    #[arg(value_enum)]
    kind: Kind,
    /// Its name; a rule is TRUST-DOMAIN/RULE, a subject its canonical name in the audit
    name: String,
    /// Why, for the audit
    #[arg(long, default_value = "")]
    reason: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Issuer,
    TrustDomain,
    Rule,
    Subject,
    Target,
}

#[derive(Serialize)]
struct Row {
    kind: &'static str,
    name: String,
}

impl What {
    fn switch(&self) -> Result<Switch, Failure> {
        let name = self.name.clone();
        Ok(match self.kind {
            Kind::Issuer => Switch::Issuer(name),
            Kind::TrustDomain => Switch::TrustDomain(name),
            Kind::Subject => Switch::Subject(name),
            Kind::Target => Switch::Target(name),
            Kind::Rule => {
                let (trust_domain, rule) = name.split_once('/').ok_or_else(|| {
                    Failure::new(Exit::Usage, "write a rule as TRUST-DOMAIN/RULE")
                })?;
                Switch::Rule {
                    trust_domain: trust_domain.to_owned(),
                    rule: rule.to_owned(),
                }
            }
        })
    }
}

impl KillSwitch {
    pub(super) fn run(self, output: &Output) -> Outcome {
        runtime()?.block_on(async {
            let change = match &self.action {
                Action::List => None,
                Action::On(what) => Some((what, true)),
                Action::Off(what) => Some((what, false)),
            };
            let ledger = match change {
                None => self.ledger.to_read(output)?,
                Some((what, on)) => {
                    let switch = what.switch()?;
                    let (ledger, plan) = self.ledger.to_write(output)?;
                    if let Some(plan) = plan
                        && on
                        && !is_known(&switch, &plan)
                    {
                        output.note(format_args!("warning: the configuration knows no {switch}"));
                    }
                    let record = record(&switch, &what.reason, on);
                    ledger
                        .set_switch(switch, on, record)
                        .await
                        .map_err(unreachable)?;
                    ledger
                }
            };
            for switch in &ledger.switches().on {
                let row = row(switch);
                match output.is_json() {
                    true => output.json(&row),
                    false => output.text(format_args!("{:12} {}", row.kind, row.name)),
                }
            }
            Ok(Exit::Ok)
        })
    }
}

fn row(switch: &Switch) -> Row {
    let (kind, name) = match switch {
        Switch::Issuer(name) => ("issuer", name.clone()),
        Switch::TrustDomain(name) => ("trust-domain", name.clone()),
        Switch::Subject(name) => ("subject", name.clone()),
        Switch::Target(name) => ("target", name.clone()),
        Switch::Rule { trust_domain, rule } => ("rule", format!("{trust_domain}/{rule}")),
    };
    Row { kind, name }
}

/// Whether there is such a thing; subjects come from outside and may be any.
fn is_known(switch: &Switch, plan: &Plan) -> bool {
    match switch {
        Switch::Subject(_) => true,
        Switch::Target(name) => plan.targets().iter().any(|t| t.name.as_str() == name),
        Switch::TrustDomain(name) => plan
            .domains()
            .iter()
            .any(|d| d.evidence.name.as_str() == name),
        Switch::Issuer(name) => plan
            .domains()
            .iter()
            .any(|d| d.evidence.issuer() == Some(name.as_str())),
        Switch::Rule { trust_domain, rule } => plan.policy().domains().iter().any(|domain| {
            domain.name.as_str() == trust_domain
                && domain.rules.iter().any(|r| r.name.as_str() == rule)
        }),
    }
}

/// The audit record of the change itself.
fn record(switch: &Switch, why: &str, on: bool) -> Record {
    let Row { kind, name } = row(switch);
    let line = serde_json::json!({
        "v": 1,
        "time": now().to_string(),
        "kind": "kill-switch",
        "outcome": if on { "on" } else { "off" },
        "switch": { "kind": kind, "name": text::display(&name, 256) },
        "why": text::display(why, 256),
    });
    Record {
        json: line.to_string(),
    }
}
