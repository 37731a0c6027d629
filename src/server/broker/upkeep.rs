//! What is looked after in the background.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinHandle, time::interval};

use crate::{base::clock::Moment, config::Reload};

use super::Life;

/// How often our own keys and the files are looked at. Well under the 5 s
/// within which a change must be in effect.
const OFTEN: Duration = Duration::from_secs(1);
/// How often the ledger is relieved of what no promise needs.
const PRUNE: Duration = Duration::from_secs(60);
/// A wall clock that moves by more than this against the monotonic one has jumped.
const JUMP: Duration = Duration::from_secs(2);
/// How long a jump is shown.
const JUMP_SHOWN: Duration = Duration::from_secs(300);

pub(super) fn spawn(life: &Arc<Life>) -> Vec<JoinHandle<()>> {
    vec![
        tokio::spawn(Arc::clone(&life.keyring).run()),
        tokio::spawn(signing(Arc::clone(life))),
        tokio::spawn(plan(Arc::clone(life))),
        tokio::spawn(ledger(Arc::clone(life))),
        tokio::spawn(clock(Arc::clone(life))),
    ]
}

async fn signing(life: Arc<Life>) {
    let mut turn = interval(OFTEN);
    let mut said: Option<String> = None;
    loop {
        turn.tick().await;
        let fault = life
            .signing
            .tick()
            .await
            .err()
            .map(|fault| fault.to_string());
        if fault != said {
            match &fault {
                Some(fault) => {
                    tracing::error!(%fault, "signing keys are not being looked after; those in memory go on")
                }
                None => tracing::info!("signing keys are looked after again"),
            }
            life.signing_fault.store(Arc::new(fault.clone()));
            said = fault;
        }
    }
}

async fn plan(life: Arc<Life>) {
    let mut turn = interval(OFTEN);
    loop {
        turn.tick().await;
        // What is wrong is logged, once, where it is found.
        let _ = life.reload(Reload::poll).await;
    }
}

async fn ledger(life: Arc<Life>) {
    let mut turn = interval(PRUNE);
    loop {
        turn.tick().await;
        match life.ledger.prune(life.clock.now()).await {
            Ok(0) => {}
            Ok(rows) => tracing::debug!(rows, "pruned the ledger"),
            Err(fault) => tracing::warn!(%fault, "the ledger was not pruned"),
        }
    }
}

/// Notices a wall clock that jumps: tokens are judged by it.
async fn clock(life: Arc<Life>) {
    let mut turn = interval(OFTEN);
    let mut last: Option<(Moment, Duration)> = None;
    let mut shown_until = Duration::ZERO;
    loop {
        turn.tick().await;
        let (wall, uptime) = (life.clock.now(), life.clock.uptime());
        if let Some((then, since)) = last {
            let expected = then.plus(uptime.saturating_sub(since));
            let (ahead, behind) = (wall.since(expected), expected.since(wall));
            if ahead.max(behind) > JUMP {
                let direction = if ahead > behind { "forward" } else { "back" };
                let by = ahead.max(behind).as_secs();
                tracing::warn!(%expected, found = %wall, "the clock jumped {direction} by {by} s");
                let note = format!("jumped {direction} by {by} s at {wall}");
                life.clock_jump.store(Arc::new(Some(note)));
                shown_until = uptime + JUMP_SHOWN;
            } else if uptime > shown_until && life.clock_jump.load().is_some() {
                life.clock_jump.store(Arc::default());
            }
        }
        last = Some((wall, uptime));
    }
}
