//! The application behind the sockets.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

use crate::{
    base::BoxFuture,
    config::Reload,
    exchange::{Caller, Form, Meters},
    model::{Reason, RequestId},
    signing::BROKER_JWKS,
};

use crate::server::{AdminRequest, Answer, App, Check, Peer};

use super::{Life, gauges::Gauges, metadata};

/// The exchange and everything around it, as the sockets see it.
pub(super) struct Application {
    life: Arc<Life>,
    meters: Arc<Meters>,
    gauges: Gauges,
}

impl Application {
    pub(super) fn new(life: Arc<Life>, meters: &Arc<Meters>) -> Self {
        Self {
            life,
            meters: Arc::clone(meters),
            gauges: Gauges::new(meters),
        }
    }
}

impl App for Application {
    fn token(&self, form: Form, peer: Peer, request_id: RequestId) -> BoxFuture<'_, Answer> {
        let life = Arc::clone(&self.life);
        // A task of its own: a caller that hangs up must not stop an exchange
        // between its record and its end, nor a refusal before its record.
        let exchange = tokio::spawn(async move {
            let caller = Caller {
                address: peer.address,
                user_agent: peer.user_agent,
            };
            life.exchange.run(&form, &caller, request_id).await
        });
        Box::pin(async move {
            match exchange.await {
                Ok(answer) => Answer {
                    retry_after: answer
                        .retry_after
                        .map(|s| u32::try_from(s).unwrap_or(u32::MAX)),
                    ..Answer::json(answer.status, answer.body)
                },
                // It panicked; what it did before is in the ledger or nowhere.
                Err(_) => {
                    self.meters.refused(Reason::Internal, None);
                    Answer::refusal(Reason::Internal, request_id)
                }
            }
        })
    }

    fn refused(&self, reason: Reason, _peer: &Peer, _request_id: RequestId) {
        self.meters.refused(reason, None);
    }

    fn target_jwks(&self, target: &str) -> Option<Bytes> {
        self.life.signing.jwks(target)
    }

    fn broker_jwks(&self) -> Bytes {
        Bytes::from_static(BROKER_JWKS.as_bytes())
    }

    fn metadata(&self) -> Bytes {
        metadata::document(&self.life.exchange.world().issuer).into()
    }

    fn readiness(&self) -> Vec<Check> {
        let life = &self.life;
        let check = |name: &str, ok: bool, detail: String| Check {
            name: name.into(),
            ok,
            detail,
        };
        let signing = life.signing_fault.load();
        let keyless = (life.plan.load().targets().iter())
            .find(|target| life.signing.active(&target.name).is_none())
            .map(|target| format!("target {} has no active key", target.name));
        let faults = life.faults.load();
        vec![
            check(
                "ledger",
                life.ledger.healthy(),
                match life.ledger.healthy() {
                    true => "the last write succeeded".into(),
                    false => "the last write failed; nothing is issued until one succeeds".into(),
                },
            ),
            check(
                "signing",
                keyless.is_none(),
                keyless
                    .or_else(|| (**signing).clone())
                    .unwrap_or_else(|| "every target has an active key".into()),
            ),
            // The rest is worth knowing and no reason to take the broker out of
            // service: one issuer's outage is not the others', and a bad file
            // leaves a good plan running.
            check("issuers", true, self.issuers_in_a_line()),
            check(
                "config",
                true,
                match faults.first() {
                    None => format!("plan {}", life.plan.load().digest()),
                    Some(first) => {
                        format!("the files are not in order, the old plan stays: {first}")
                    }
                },
            ),
            check(
                "clock",
                true,
                (**life.clock_jump.load())
                    .clone()
                    .unwrap_or_else(|| "steady".into()),
            ),
        ]
    }

    fn metrics(&self) -> String {
        self.gauges.encode(&self.life)
    }

    fn admin(&self, request: AdminRequest) -> BoxFuture<'_, Answer> {
        Box::pin(async move {
            match request {
                AdminRequest::Issuers => Answer::json(200, json(&self.issuers())),
                AdminRequest::Reload => match self.life.reload(Reload::force).await {
                    Ok(()) => Answer::json(200, r#"{"in_order":true}"#),
                    Err(found) => {
                        let problems: Vec<_> = found.iter().map(ToString::to_string).collect();
                        let answer = Reloaded {
                            in_order: false,
                            problems,
                        };
                        Answer::json(200, json(&answer))
                    }
                },
            }
        })
    }
}

#[derive(Serialize)]
struct Reloaded {
    in_order: bool,
    problems: Vec<String>,
}

/// How one trust domain's keys are doing.
#[derive(Serialize)]
struct Issuer {
    trust_domain: String,
    issuer: Option<String>,
    usable: bool,
    keys: usize,
    good_at: Option<String>,
    next_refresh_seconds: Option<u64>,
    fetches: u64,
    failures: u64,
    last_error: Option<String>,
}

impl Application {
    fn issuers(&self) -> Vec<Issuer> {
        let world = self.life.exchange.world();
        let view = |entry: &crate::evidence::Entry| {
            let health = entry.keys.health();
            Issuer {
                trust_domain: entry.domain.name.to_string(),
                issuer: entry.domain.issuer().map(str::to_owned),
                usable: health.usable,
                keys: health.keys,
                good_at: health.good_at.map(|at| at.to_string()),
                next_refresh_seconds: health.next_refresh_in.map(|wait| wait.as_secs()),
                fetches: health.fetches,
                failures: health.failures,
                last_error: health.last_error,
            }
        };
        world.registry.iter().map(view).collect()
    }

    fn issuers_in_a_line(&self) -> String {
        let issuers = self.issuers();
        let bad: Vec<_> = issuers
            .iter()
            .filter(|issuer| !issuer.usable)
            .map(|issuer| {
                let why = issuer.last_error.as_deref().unwrap_or("not fetched yet");
                format!("{}: {why}", issuer.trust_domain)
            })
            .collect();
        let usable = issuers.len() - bad.len();
        match bad.is_empty() {
            true => format!("the keys of all {usable} trust domains are usable"),
            false => format!("{usable} usable; without keys: {}", bad.join("; ")),
        }
    }
}

fn json<T: Serialize>(value: &T) -> String {
    // Structs of strings and numbers always serialise.
    serde_json::to_string(value).unwrap_or_default()
}
