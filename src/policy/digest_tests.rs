use super::*;
use crate::{
    model::Ttl,
    policy::{
        Mode,
        fixture::{condition, domain, forbid, matcher, role, roles, rule, target},
    },
};

fn base() -> DomainPolicy {
    DomainPolicy {
        forbid: vec![forbid("event", &["x", "y"])],
        rules: vec![
            rule("a", "worker", &[("id", "1"), ("ref", "r")]),
            rule("b", "reader", &[("id", "2")]),
        ],
        ..domain("d")
    }
}

fn digest_of(domain: DomainPolicy) -> String {
    of(&[target("prod", &["a", "b"]).into()], &roles(), &[domain])
}

#[test]
fn order_and_place_change_nothing() {
    let mut moved = base();
    moved.rules.reverse();
    moved.rules[1].matchers.reverse();
    moved.forbid[0].matcher.any_of.reverse();
    moved.rules[0].line = 99;
    moved.rules[0].file = "elsewhere.yaml".into();
    moved.line = 12;
    assert_eq!(digest_of(moved), digest_of(base()));
    let mut reversed = roles();
    reversed.reverse();
    let targets = [target("prod", &["b", "a"]).into()];
    assert_eq!(of(&targets, &reversed, &[base()]), digest_of(base()));
}

#[test]
fn every_change_of_meaning_changes_it() {
    let mut seen = std::collections::BTreeMap::from([(digest_of(base()), "base")]);
    type Change = (&'static str, fn(&mut DomainPolicy));
    let changes: &[Change] = &[
        ("domain name", |d| d.name = "e".parse().unwrap()),
        ("explain", |d| d.explain = Explain::None),
        ("bound", |d| d.bind_to_evidence_life = true),
        ("pinned", |d| d.demands.pinned = vec!["id"]),
        ("untrusted", |d| d.demands.untrusted = &[]),
        ("no forbid", |d| d.forbid.clear()),
        ("forbid value", |d| d.forbid = vec![forbid("event", &["x"])]),
        ("rule gone", |d| d.rules.truncate(1)),
        ("rule name", |d| d.rules[0].name = "c".parse().unwrap()),
        ("mode", |d| d.rules[0].mode = Mode::Observe),
        ("field", |d| {
            d.rules[1].matchers = vec![matcher("actor", &["2"])]
        }),
        ("value", |d| {
            d.rules[1].matchers = vec![matcher("id", &["3"])]
        }),
        ("values", |d| {
            d.rules[1].matchers = vec![matcher("id", &["2", "3"])]
        }),
        ("glob", |d| {
            d.rules[1].matchers = vec![matcher("path", &["a/*"])]
        }),
        ("condition", |d| {
            d.rules[0].when = vec![condition("attrs.protected")]
        }),
        ("other condition", |d| {
            d.rules[0].when = vec![condition("!attrs.protected")]
        }),
        ("role", |d| d.rules[0].role = "reader".parse().unwrap()),
        ("ttl", |d| d.rules[0].ttl = Some(Ttl::secs(60))),
        ("only", |d| {
            d.rules[0].only = Some(vec!["a".parse().unwrap()])
        }),
        ("other only", |d| {
            d.rules[0].only = Some(vec!["b".parse().unwrap()])
        }),
    ];
    for (name, change) in changes {
        let mut changed = base();
        change(&mut changed);
        if let Some(same) = seen.insert(digest_of(changed), name) {
            panic!("{name} has the digest of {same}");
        }
    }
}

#[test]
fn targets_and_roles_count() {
    let targets = || vec![Arc::new(target("prod", &["a", "b"]))];
    let first = of(&targets(), &roles(), &[]);
    let mut longer = roles();
    longer[0].max_ttl = Ttl::secs(60);
    let mut wider = roles();
    wider[1] = role("reader", "prod", &["a:write"]);
    let fewer = [Arc::new(target("prod", &["a"]))];
    for other in [
        of(&targets(), &longer, &[]),
        of(&targets(), &wider, &[]),
        of(&fewer, &roles(), &[]),
    ] {
        assert_ne!(first, other);
    }
}

#[test]
fn a_digest_is_64_hexadecimal_digits() {
    let digest = digest_of(base());
    assert!(digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit()));
}
