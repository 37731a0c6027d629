//! Decisions on identities that were proven.

use std::sync::Arc;

use assay::{
    evidence::TrustDomain,
    model::Reason,
    policy::{Ask, Demands, DomainPolicy, Explain, Matcher, Mode, Pattern, Policy, Rule},
};

use crate::{
    testkit,
    world::{TARGET_TTL, policy},
};

/// A policy for the trust domain of the testkit's Kubernetes cluster.
fn cluster(bound: bool) -> (Arc<TrustDomain>, Policy) {
    let trusted = testkit::domain("kubernetes", &[]);
    let exact = |name: &str, value: &str| {
        let spec = trusted.source.field(name).unwrap();
        Matcher::new(&spec, vec![Pattern::parse(&spec, value).unwrap()]).unwrap()
    };
    let domain = DomainPolicy {
        name: trusted.name.clone(),
        demands: Demands::of(&trusted.source),
        bind_to_evidence_life: bound,
        explain: Explain::Mismatch,
        forbid: vec![],
        rules: vec![Rule {
            name: "worker".parse().unwrap(),
            mode: Mode::Enforce,
            matchers: vec![
                exact("namespace", "billing"),
                exact("serviceAccount", "worker"),
            ],
            when: vec![],
            role: "wide".parse().unwrap(),
            ttl: None,
            only: None,
            file: "k.yaml".into(),
            line: 9,
        }],
        tests: vec![],
        file: "k.yaml".into(),
        line: 1,
    };
    let policy = policy(vec![domain]);
    (trusted, policy)
}

#[test]
fn a_proven_identity_gets_a_grant_that_holds_it() {
    let (trusted, policy) = cluster(false);
    let identity = testkit::check(&trusted, &testkit::good("kubernetes").sign()).unwrap();
    let subject = identity.subject().to_owned();
    let grant = policy
        .decide(identity, &Ask::of("prod".parse().unwrap()), testkit::at(1))
        .unwrap();
    assert_eq!(grant.identity().subject(), subject);
    assert_eq!(
        (grant.rule().as_str(), grant.place()),
        ("worker", ("k.yaml", 9))
    );
    assert_eq!(
        (grant.role().as_str(), grant.target().name.as_str()),
        ("wide", "prod")
    );
    assert_eq!(
        (grant.permissions().len(), grant.ttl().as_secs()),
        (3, TARGET_TTL)
    );
    assert!(grant.observed().is_empty());
}

#[test]
fn a_refusal_hands_the_identity_back() {
    let (trusted, policy) = cluster(false);
    let other = testkit::good("kubernetes")
        .with(&["kubernetes.io", "serviceaccount", "name"], "default")
        .with(&["sub"], "system:serviceaccount:billing:default");
    let identity = testkit::check(&trusted, &other.sign()).unwrap();
    let subject = identity.subject().to_owned();
    let refused = policy
        .decide(identity, &Ask::of("prod".parse().unwrap()), testkit::at(1))
        .unwrap_err();
    assert_eq!(refused.identity.subject(), subject);
    assert_eq!(refused.denial.reason, Reason::RuleNoMatch);
    assert_eq!(refused.denial.mismatch.unwrap().field, "serviceAccount");
}

#[test]
fn a_bound_grant_ends_with_its_evidence() {
    let ttl = |bound, at| {
        let (trusted, policy) = cluster(bound);
        let identity = testkit::check(&trusted, &testkit::good("kubernetes").sign()).unwrap();
        let ask = Ask::of("prod".parse().unwrap());
        let decision = policy.decide(identity, &ask, testkit::at(at));
        decision
            .map(|g| g.ttl().as_secs())
            .map_err(|r| r.denial.reason)
    };
    // The token expires 3600 seconds after it was issued.
    assert_eq!(ttl(true, 3500), Ok(100));
    assert_eq!(ttl(false, 3500), Ok(TARGET_TTL));
    assert_eq!(ttl(true, 3570), Ok(30));
    assert_eq!(ttl(true, 3571), Err(Reason::LifetimeTooShort));
    assert_eq!(ttl(true, 9999), Err(Reason::LifetimeTooShort));
}
