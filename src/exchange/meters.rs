//! Counters of exchanges, for `/metrics`.
//!
//! Labels come from configuration and from the closed list of reasons, never
//! from a request: a stranger must not be able to make new series.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use crate::{
    model::{Reason, RuleName, TargetName, TrustDomainName},
    policy::Grant,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    trust_domain: String,
    outcome: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Match {
    trust_domain: String,
    rule: String,
    target: String,
}

/// What is counted.
#[derive(Debug, Default)]
pub struct Meters {
    requests: Family<Outcome, Counter>,
    matches: Family<Match, Counter>,
}

impl Meters {
    /// Adds the counters to a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "assay_exchange_requests",
            "Exchanges by trust domain (empty before one is known), outcome and reason",
            self.requests.clone(),
        );
        registry.register(
            "assay_rule_matches",
            "Credentials issued by rule and target",
            self.matches.clone(),
        );
    }

    /// Counts a credential.
    pub(super) fn issued(&self, grant: &Grant) {
        let domain = &grant.identity().trust_domain().name;
        self.count(domain, grant.rule(), &grant.target().name);
    }

    fn count(&self, domain: &TrustDomainName, rule: &RuleName, target: &TargetName) {
        let outcome = Outcome {
            trust_domain: domain.to_string(),
            outcome: "issued",
            reason: "",
        };
        self.requests.get_or_create(&outcome).inc();
        let matched = Match {
            trust_domain: domain.to_string(),
            rule: rule.to_string(),
            target: target.to_string(),
        };
        self.matches.get_or_create(&matched).inc();
    }

    /// Counts a refusal, also one made before the exchange began.
    pub fn refused(&self, reason: Reason, domain: Option<&TrustDomainName>) {
        let outcome = Outcome {
            trust_domain: domain.map(ToString::to_string).unwrap_or_default(),
            outcome: "refused",
            reason: reason.code(),
        };
        self.requests.get_or_create(&outcome).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_exposed_under_their_names() {
        let meters = Meters::default();
        let mut registry = Registry::default();
        meters.register(&mut registry);
        let name = |text: &str| text.parse().unwrap();
        meters.count(
            &name("github"),
            &"deploy".parse().unwrap(),
            &"prod".parse().unwrap(),
        );
        meters.refused(Reason::TokenExpired, None);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            r#"assay_exchange_requests_total{trust_domain="github",outcome="issued",reason=""} 1"#,
            r#"assay_exchange_requests_total{trust_domain="",outcome="refused",reason="TOKEN_EXPIRED"} 1"#,
            r#"assay_rule_matches_total{trust_domain="github",rule="deploy",target="prod"} 1"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
