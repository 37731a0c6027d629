use super::*;
use crate::policy::fixture::{ask, attributes, domain, facts, policy, roles, rule, target};

#[test]
fn names_find_what_they_name() {
    let policy = policy(vec![rule("a", "worker", &[("id", "1")])]);
    assert_eq!(policy.target("prod").unwrap().name.as_str(), "prod");
    assert!(policy.target("Prod").is_none());
    assert_eq!(policy.domain("d").unwrap().rules.len(), 1);
    assert!(policy.domain("e").is_none());
    assert_eq!((policy.targets().len(), policy.roles().len()), (2, 3));
    assert_eq!(policy.digest().len(), 64);
}

#[test]
fn a_domain_decides_by_its_own_rules_only() {
    let of = |name: &str, id: &str| DomainPolicy {
        rules: vec![rule("a", "worker", &[("id", id)])],
        ..domain(name)
    };
    let targets = vec![
        Arc::new(target("prod", &["a", "b"])),
        Arc::new(target("other", &["a"])),
    ];
    let policy = Policy::new(targets, roles(), vec![of("d", "1"), of("e", "2")]).unwrap();
    let decide = |domain: &str, id: &str| {
        let given = attributes(&[("id", id)]);
        policy.simulate(domain, &facts(&given), &ask(None)).is_ok()
    };
    assert!(decide("d", "1") && decide("e", "2"));
    assert!(!decide("d", "2") && !decide("e", "1"));
}

#[test]
fn an_empty_policy_loads_and_grants_nothing() {
    let policy = Policy::new(vec![], vec![], vec![]).unwrap();
    let given = attributes(&[("id", "1")]);
    assert!(policy.simulate("d", &facts(&given), &ask(None)).is_err());
}
