//! The decision against a slow and obvious model of it, and on proven
//! identities.
//!
//! The model knows nothing of indexes, slots or ranks: it looks at every rule,
//! and intersects sets. Whatever the two disagree on is a bug in one of them.

#![expect(
    clippy::unwrap_used,
    reason = "what a test cannot set up, it cannot test"
)]

#[path = "../../src/evidence/testkit.rs"]
mod testkit;

mod proven;
mod world;

use std::collections::BTreeSet;

use assay::{
    base, evidence, jose, keys, model,
    model::{Access, Reason},
    policy::{Facts, Mode, Policy},
};
use proptest::prelude::*;
use world::{
    Line, ROLES, TARGET_TTL, World, ask, attributes, decide, domain, obvious, policy, world,
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_decision_is_the_models(world in world()) {
        prop_assert_eq!(decide(&policy(vec![domain("d", &world)]), &world), obvious(&world));
    }

    #[test]
    fn a_grant_is_within_every_limit(world in world()) {
        if let Ok(granted) = decide(&policy(vec![domain("d", &world)]), &world) {
            let line = world.lines.iter().find(|l| l.name == granted.rule).unwrap();
            let role = ROLES.iter().find(|r| r.0 == granted.role).unwrap();
            prop_assert_eq!((line.role, role.1), (role.0, world.target));
            prop_assert!(!line.observe);
            prop_assert!(world.role.is_none_or(|r| r == granted.role));
            prop_assert!(!granted.permissions.is_empty());
            for (namespace, access) in &granted.permissions {
                let within = |list: &[(&str, Access)]| {
                    list.iter().any(|(n, a)| n == namespace && access <= a)
                };
                prop_assert!(within(role.2));
                prop_assert!(line.only.as_ref().is_none_or(|o| o.contains(&namespace.as_str())));
                prop_assert!(world.narrow.is_empty() || within(&world.narrow));
            }
            let limits = [
                Some(role.3),
                Some(TARGET_TTL),
                line.ttl,
                world.ttl,
                world.bound.then(|| u32::try_from(world.remaining).unwrap()),
            ];
            prop_assert!(limits.into_iter().flatten().all(|limit| granted.ttl <= limit));
        }
    }

    #[test]
    fn the_order_of_rules_changes_nothing(
        (world, shuffled) in world().prop_flat_map(|w| (Just(w.clone()), Just(w.lines).prop_shuffle())),
    ) {
        let other = World { lines: shuffled, ..world.clone() };
        let (policy, moved) = (policy(vec![domain("d", &world)]), policy(vec![domain("d", &other)]));
        prop_assert_eq!(decide(&policy, &world), decide(&moved, &world));
        prop_assert_eq!(policy.digest(), moved.digest());
        let given = attributes(&world);
        let names = |p: &Policy| {
            let facts = Facts { subject: "d:x", attributes: &given, remaining: Some(world.remaining) };
            let decision = p.simulate("d", &facts, &ask(&world));
            decision.map(|g| g.observed).map_err(|d| d.mismatch)
        };
        prop_assert_eq!(names(&policy), names(&moved));
    }

    #[test]
    fn rules_of_another_trust_domain_change_nothing(world in world(), stranger in world()) {
        let alone = policy(vec![domain("d", &world)]);
        for both in [
            vec![domain("d", &world), domain("e", &stranger)],
            vec![domain("e", &stranger), domain("d", &world)],
        ] {
            prop_assert_eq!(decide(&policy(both), &world), decide(&alone, &world));
        }
    }

    #[test]
    fn a_forbidden_value_is_denied_whatever_the_rules(world in world()) {
        let value = world.identity.iter().find(|(f, _)| *f == "ref").map(|(_, v)| *v);
        if let Some(value) = value {
            let world = World { forbidden: vec![value], ..world };
            let decision = decide(&policy(vec![domain("d", &world)]), &world);
            prop_assert_eq!(decision, Err(Reason::EventForbidden));
        }
    }

    #[test]
    fn the_trace_agrees_with_the_decision(world in world()) {
        let policy = policy(vec![domain("d", &world)]);
        let given = attributes(&world);
        let trace = policy.trace("d", "d:x", &given, &ask(&world));
        let here = |l: &&Line| ROLES.iter().any(|r| r.0 == l.role && r.1 == world.target);
        prop_assert_eq!(trace.rules.len(), world.lines.iter().filter(here).count());
        let granting: BTreeSet<&str> = trace
            .rules
            .iter()
            .filter(|r| r.matched && r.mode == Mode::Enforce)
            .filter(|r| world.role.is_none_or(|role| role == r.role.as_str()))
            .map(|r| r.rule.as_str())
            .collect();
        match decide(&policy, &world) {
            Ok(granted) => prop_assert!(granting.contains(granted.rule.as_str())),
            Err(Reason::RuleNoMatch | Reason::RuleObserveOnly | Reason::ScopeUnknown) => {
                prop_assert!(granting.is_empty());
            }
            Err(Reason::EventForbidden) => prop_assert!(trace.forbid.iter().any(|f| f.matched)),
            Err(Reason::TargetUnknown) => prop_assert!(trace.rules.is_empty()),
            Err(_) => prop_assert!(!granting.is_empty()),
        }
    }

    #[test]
    fn asking_for_less_never_gives_more(world in world()) {
        let policy = policy(vec![domain("d", &world)]);
        let more = World { narrow: vec![], ttl: None, ..world.clone() };
        if let Ok(less) = decide(&policy, &world) {
            let more = decide(&policy, &more).unwrap();
            prop_assert_eq!(&more.role, &less.role);
            if more.rule == less.rule {
                prop_assert!(less.ttl <= more.ttl);
                for (namespace, access) in &less.permissions {
                    prop_assert!(more.permissions.iter().any(|(n, a)| n == namespace && access <= a));
                }
            }
        }
    }
}

/// How often each outcome comes up, so that no property above is empty.
#[test]
fn every_outcome_is_reached() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    for _ in 0..4000 {
        let world = world().new_tree(&mut runner).unwrap().current();
        seen.insert(obvious(&world).map_or_else(Reason::code, |_| "granted"));
    }
    let all = [
        "granted",
        "EVENT_FORBIDDEN",
        "TARGET_UNKNOWN",
        "RULE_NO_MATCH",
        "RULE_OBSERVE_ONLY",
        "SCOPE_UNKNOWN",
        "SCOPE_AMBIGUOUS",
        "SCOPE_BEYOND_ROLE",
        "LIFETIME_TOO_SHORT",
    ];
    assert_eq!(seen, BTreeSet::from(all));
}
