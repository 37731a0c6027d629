//! `assay keys`: the signing keys of each target.

use std::sync::Arc;

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::{
    base::text,
    ledger::{Entry, Ledger as _, Record},
    model::TargetName,
    signing::{KeyView, Rotate, Signing, SigningError},
};

use super::{
    Outcome,
    output::{Exit, Failure, Output},
    plan::{ConfigFile, now, open_existing, open_signing, runtime},
    serve::signing_exit,
};

/// Options of `assay keys`.
#[derive(Debug, Args)]
pub(super) struct Keys {
    #[command(flatten)]
    file: ConfigFile,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show every key with its phase and when the next one begins
    List,
    /// Publish a next key; it takes over when every server has had time to fetch it
    Rotate {
        /// The target
        target: TargetName,
        /// The active key is in wrong hands: withdraw it at once, though workers will be refused until they renew
        #[arg(long)]
        compromised: bool,
    },
    /// Withdraw a key that signs no more
    Retire {
        /// The target
        target: TargetName,
        /// The key's id
        kid: String,
    },
}

#[derive(Serialize)]
struct Row {
    target: String,
    kid: String,
    alg: &'static str,
    phase: &'static str,
    created_at: String,
    since: String,
    due: Option<String>,
}

impl From<KeyView> for Row {
    fn from(key: KeyView) -> Self {
        Self {
            target: key.target.to_string(),
            kid: key.kid,
            alg: key.signing.as_str(),
            phase: key.phase.as_str(),
            created_at: key.created_at.to_string(),
            since: key.since.to_string(),
            due: key.due.map(|due| due.to_string()),
        }
    }
}

impl Action {
    /// The audit record of a change that is asked for; none for a look.
    fn record(&self) -> Option<Record> {
        let (change, target, kid) = match self {
            Self::List => return None,
            Self::Rotate {
                target,
                compromised: false,
            } => ("rotate", target, None),
            Self::Rotate {
                target,
                compromised: true,
            } => ("rotate-compromised", target, None),
            Self::Retire { target, kid } => ("retire", target, Some(text::display(kid, 64))),
        };
        let line = serde_json::json!({
            "v": 1,
            "time": now().to_string(),
            "kind": "signing-key",
            "outcome": "requested",
            "change": change,
            "target": target.as_str(),
            "kid": kid,
        });
        Some(Record {
            json: line.to_string(),
        })
    }
}

impl Keys {
    pub(super) fn run(self, output: &Output) -> Outcome {
        let plan = self.file.plan(output)?;
        let ledger = open_existing(&plan.broker().ledger)?;
        runtime()?.block_on(async {
            let signing = open_signing(&plan, Arc::clone(&ledger)).await?;
            // The record comes before the change: a change without one must not be.
            if let Some(record) = self.action.record() {
                let entry = Entry {
                    single_use: None,
                    lease: None,
                    audit: record,
                    fence: None,
                };
                let unrecorded = |fault| Failure::new(Exit::Unreachable, fault);
                ledger.commit(entry).await.map_err(unrecorded)?;
            }
            match self.action {
                Action::List => {}
                Action::Rotate { target, compromised } => {
                    let how = if compromised { Rotate::Compromised } else { Rotate::Schedule };
                    signing.rotate(&target, how).await.map_err(refused)?;
                    output.note(match how {
                        Rotate::Schedule => "the next key is published; running brokers take it up within seconds, and it signs from the time below",
                        Rotate::Compromised => "the old key is withdrawn; servers drop it at their next refresh, and workers must renew",
                    });
                }
                Action::Retire { target, kid } => {
                    signing.retire(&target, &kid).await.map_err(refused)?;
                }
            }
            list(&signing, output);
            Ok(Exit::Ok)
        })
    }
}

fn refused(fault: SigningError) -> Failure {
    Failure::new(signing_exit(&fault), fault)
}

fn list(signing: &Signing, output: &Output) {
    for row in signing.list().into_iter().map(Row::from) {
        if output.is_json() {
            output.json(&row);
        } else {
            let due = row
                .due
                .map(|due| format!("  next phase {due}"))
                .unwrap_or_default();
            output.text(format_args!(
                "{:20} {:8} {:5} {}  since {}{due}",
                row.target, row.phase, row.alg, row.kid, row.since
            ));
        }
    }
}
