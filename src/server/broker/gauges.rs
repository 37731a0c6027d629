//! Metrics of how things are, read when they are asked for.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge, info::Info},
    registry::Registry,
};

use crate::{base::clock::Moment, exchange::Meters};

use super::Life;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Domain {
    trust_domain: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Key {
    target: String,
    phase: &'static str,
}

type Seconds = Gauge<f64, AtomicU64>;

/// All metrics of the broker.
pub(super) struct Gauges {
    registry: Registry,
    key_age: Family<Domain, Seconds>,
    keys: Family<Domain, Gauge>,
    fetches: Family<Domain, Gauge>,
    failures: Family<Domain, Gauge>,
    signing_age: Family<Key, Seconds>,
    plan_faulty: Gauge,
    ledger_healthy: Gauge,
}

impl Gauges {
    pub(super) fn new(meters: &Meters) -> Self {
        let mut registry = Registry::default();
        meters.register(&mut registry);
        let gauges = Self {
            key_age: Family::default(),
            keys: Family::default(),
            fetches: Family::default(),
            failures: Family::default(),
            signing_age: Family::default(),
            plan_faulty: Gauge::default(),
            ledger_healthy: Gauge::default(),
            registry: Registry::default(),
        };
        let mut add = |name: &str, help: &str, family: &Family<Domain, Gauge>| {
            registry.register(name, help, family.clone());
        };
        add(
            "assay_issuer_keys",
            "Usable keys of a trust domain",
            &gauges.keys,
        );
        add(
            "assay_issuer_fetches",
            "Fetches of a trust domain's keys since the start",
            &gauges.fetches,
        );
        add(
            "assay_issuer_fetch_failures",
            "Those of them that failed",
            &gauges.failures,
        );
        registry.register(
            "assay_issuer_jwks_age_seconds",
            "Time since a trust domain's keys were last confirmed",
            gauges.key_age.clone(),
        );
        registry.register(
            "assay_signing_key_age_seconds",
            "Time since a target's newest key of a phase began that phase",
            gauges.signing_age.clone(),
        );
        registry.register(
            "assay_config_faulty",
            "1 while the files are not in order and the old plan stays",
            gauges.plan_faulty.clone(),
        );
        registry.register(
            "assay_ledger_healthy",
            "1 while the last write to the ledger succeeded",
            gauges.ledger_healthy.clone(),
        );
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("assay_build", "The running program", build);
        Self { registry, ..gauges }
    }

    /// Reads how things are now and encodes all metrics (OpenMetrics).
    pub(super) fn encode(&self, life: &Life) -> String {
        let now = life.clock.now();
        for entry in life.exchange.world().registry.iter() {
            let label = Domain {
                trust_domain: entry.domain.name.to_string(),
            };
            let health = entry.keys.health();
            let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
            self.keys.get_or_create(&label).set(number(health.keys));
            let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
            self.fetches
                .get_or_create(&label)
                .set(count(health.fetches));
            self.failures
                .get_or_create(&label)
                .set(count(health.failures));
            if let Some(good_at) = health.good_at {
                self.key_age.get_or_create(&label).set(age(now, good_at));
            }
        }
        self.signing_age.clear();
        for key in life.signing.list() {
            let label = Key {
                target: key.target.to_string(),
                phase: key.phase.as_str(),
            };
            self.signing_age
                .get_or_create(&label)
                .set(age(now, key.since));
        }
        self.plan_faulty
            .set(i64::from(!life.faults.load().is_empty()));
        self.ledger_healthy.set(i64::from(life.ledger.healthy()));
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

fn age(now: Moment, then: Moment) -> f64 {
    now.since(then).as_secs_f64()
}
