//! `assay audit`: read the audit, and prove that it is whole.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::{
    base::clock::Moment,
    ledger::{ChainState, Chained, Ledger, Query},
    model::{Reason, Ttl},
};

use super::{
    Outcome,
    output::{Exit, Failure, Output, Paint, unreachable},
    plan::{LedgerFile, hex, now, runtime},
};

/// Options of `assay audit`.
#[derive(Debug, Args)]
pub(super) struct Audit {
    #[command(flatten)]
    ledger: LedgerFile,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Prove that no record was changed, removed or reordered, or say where the chain breaks
    Verify,
    /// Print the last records, and with --follow each new one
    Tail(Tail),
    /// Print the records that match, oldest first
    Query(Filter),
}

#[derive(Debug, Args)]
struct Tail {
    /// How many records
    #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    lines: u32,
    /// Keep printing records as they are written
    #[arg(short, long)]
    follow: bool,
}

#[derive(Debug, Args)]
struct Filter {
    /// Only records after this time: RFC 3339, seconds since 1970, or a duration back such as 24h
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Since>,
    /// Only records before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Since>,
    /// Only this outcome: issued, refused or failed
    #[arg(long)]
    outcome: Option<String>,
    /// Only this reason
    #[arg(long, value_parser = reason)]
    reason: Option<Reason>,
    /// Only this request
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Only this identity: its canonical subject
    #[arg(long)]
    identity: Option<String>,
    /// Only this rule
    #[arg(long)]
    rule: Option<String>,
    /// Only this target
    #[arg(long)]
    target: Option<String>,
    /// At most this many records, the newest that match
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
}

/// A point in time, or a distance back from now.
#[derive(Clone, Copy, Debug)]
enum Since {
    At(Moment),
    Ago(Duration),
}

impl Since {
    fn from(self, now: Moment) -> Moment {
        match self {
            Self::At(moment) => moment,
            Self::Ago(back) => now.minus(back),
        }
    }
}

fn time(text: &str) -> Result<Since, String> {
    if let Ok(back) = text.parse::<Ttl>() {
        return Ok(Since::Ago(back.duration()));
    }
    Moment::parse(text).map(Since::At).ok_or_else(|| {
        "write a time such as 2026-11-24T12:00:00Z, or a duration back such as 24h".into()
    })
}

fn reason(text: &str) -> Result<Reason, String> {
    text.parse()
        .map_err(|_| "no reason has this code; `assay reason` lists all".to_owned())
}

/// The outcome of `verify`, for programs.
#[derive(Serialize)]
struct Verdict {
    intact: bool,
    records: Option<u64>,
    head: Option<String>,
    broken_at: Option<u64>,
    what: Option<String>,
}

impl Audit {
    pub(super) fn run(self, output: &Output) -> Outcome {
        let ledger = self.ledger.to_read(output)?;
        let now = now();
        runtime()?.block_on(async {
            match self.action {
                Action::Verify => verify(&*ledger, output).await,
                Action::Tail(tail) => follow(&*ledger, &tail, output).await,
                Action::Query(filter) => query(&*ledger, filter, now, output).await,
            }
        })
    }
}

async fn verify(ledger: &dyn Ledger, output: &Output) -> Outcome {
    let state = ledger.verify_chain().await.map_err(unreachable)?;
    let (verdict, exit) = match state {
        ChainState::Intact { records, head } => (
            Verdict {
                intact: true,
                records: Some(records),
                head: Some(hex(&head)),
                broken_at: None,
                what: None,
            },
            Exit::Ok,
        ),
        ChainState::Broken { sequence, what } => (
            Verdict {
                intact: false,
                records: None,
                head: None,
                broken_at: Some(sequence),
                what: Some(what),
            },
            Exit::Failure,
        ),
    };
    if output.is_json() {
        output.json(&verdict);
    } else if let (Some(records), Some(head)) = (verdict.records, &verdict.head) {
        output.text(format_args!("chain intact: {records} records, head {head}"));
    } else {
        output.text(format_args!(
            "chain BROKEN at record {}: {}",
            verdict.broken_at.unwrap_or_default(),
            verdict.what.as_deref().unwrap_or_default()
        ));
    }
    Ok(exit)
}

async fn query(ledger: &dyn Ledger, filter: Filter, now: Moment, output: &Output) -> Outcome {
    let query = Query {
        since: filter.since.map(|since| since.from(now)),
        until: filter.until.map(|until| until.from(now)),
        outcome: filter.outcome,
        reason: filter.reason,
        request_id: filter.request_id,
        identity: filter.identity,
        rule: filter.rule,
        target: filter.target,
        after_sequence: None,
        limit: filter.limit,
    };
    for record in ledger.audit(query).await.map_err(unreachable)? {
        show(&record, output);
    }
    Ok(Exit::Ok)
}

async fn follow(ledger: &dyn Ledger, tail: &Tail, output: &Output) -> Outcome {
    let newest = Query {
        limit: tail.lines,
        ..Query::default()
    };
    let mut after = 0;
    for record in ledger.audit(newest).await.map_err(unreachable)? {
        show(&record, output);
        after = record.sequence;
    }
    if !tail.follow {
        return Ok(Exit::Ok);
    }
    loop {
        for record in page(ledger, after).await? {
            // Nobody reads any more: `tail | head` ends here.
            if !show(&record, output) {
                return Ok(Exit::Ok);
            }
            after = record.sequence;
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(500)) => {}
            _ = tokio::signal::ctrl_c() => return Ok(Exit::Ok),
        }
    }
}

async fn page(ledger: &dyn Ledger, after: u64) -> Result<Vec<Chained>, Failure> {
    let query = Query {
        after_sequence: Some(after),
        limit: 1000,
        ..Query::default()
    };
    ledger.audit(query).await.map_err(unreachable)
}

/// One record: its own JSON, or the line that a person reads. Says whether
/// anybody does.
fn show(record: &Chained, output: &Output) -> bool {
    if output.is_json() {
        return output.tell(&record.json);
    }
    let parsed: serde_json::Value = serde_json::from_str(&record.json).unwrap_or_default();
    let field = |name: &str| parsed.get(name).and_then(|v| v.as_str()).unwrap_or("-");
    let outcome = field("outcome");
    let paint = match outcome {
        "issued" => Paint::Good,
        "refused" | "failed" => Paint::Bad,
        _ => Paint::Strong,
    };
    let outcome = output.paint(paint, format_args!("{outcome:7}"));
    let head = format!("{:5} {} {outcome}", record.sequence, field("time"));
    if field("kind") != "exchange" {
        let switch = parsed
            .get("switch")
            .map(ToString::to_string)
            .unwrap_or_default();
        return output.tell(format_args!("{head} {} {switch}", field("kind")));
    }
    output.tell(format_args!(
        "{head} {} {} -> {}  {}  {}",
        field("reason"),
        field("identity"),
        field("target"),
        field("rule"),
        output.paint(Paint::Faint, field("request_id")),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_points_or_distances() {
        let now = Moment::from_secs(1_790_000_000);
        assert_eq!(
            time("24h").unwrap().from(now),
            Moment::from_secs(1_790_000_000 - 86_400)
        );
        assert_eq!(time("2026-09-21T14:13:20Z").unwrap().from(now), now);
        assert!(time("yesterday").is_err());
    }
}
