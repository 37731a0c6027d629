use super::*;
use crate::policy::{
    DomainPolicy, Explain, Mode, Policy,
    fixture::{
        ask, attributes, condition, domain, facts, forbid, permissions, policy, policy_of, rule,
    },
};

fn denied(policy: &Policy, given: &[(&str, &str)], ask: &Ask) -> Denial {
    let given = attributes(given);
    *policy.simulate("d", &facts(&given), ask).unwrap_err()
}

#[test]
fn the_trace_has_every_rule_and_every_field() {
    let mut conditional = rule("b", "reader", &[("id", "2"), ("ref", "refs/heads/main")]);
    conditional.when = vec![condition("attrs.protected")];
    conditional.mode = Mode::Observe;
    let policy = policy_of(DomainPolicy {
        forbid: vec![forbid("actor", &["eve"])],
        rules: vec![
            rule("a", "worker", &[("id", "1"), ("environment", "live")]),
            conditional,
            rule("c", "stranger", &[("id", "1")]),
        ],
        ..domain("d")
    });
    let given = [("id", "1"), ("ref", "refs/heads/Main"), ("actor", "bob")];
    let denial = denied(&policy, &given, &ask(None));
    let lines: Vec<String> = denial.trace.to_string().lines().map(Into::into).collect();
    assert_eq!(
        lines,
        [
            "forbid actor: `bob`, forbidden `eve`: ok",
            "rule a (d.yaml:7) does not match, would grant worker",
            "  ok id: `1` (asserted by the issuer), wanted `1`",
            "  NO environment: absent, wanted `live`; the job names no environment: set `environment` on the job that asks",
            "rule b (d.yaml:7) does not match, would grant reader",
            "  NO id: `1` (asserted by the issuer), wanted `2`",
            "  NO ref: `refs/heads/Main` (asserted by the caller), wanted `refs/heads/main`; only upper and lower case differ",
            "  NO when.checked: `an attribute that it reads is absent` (asserted by the issuer), wanted `attrs.protected`",
        ]
    );
    // The rule of another target is not this ask's business.
    assert_eq!(denial.trace.rules.len(), 2);
}

#[test]
fn the_mismatch_is_the_nearest_rules_first() {
    let policy = policy(vec![
        rule("far", "worker", &[("id", "2"), ("ref", "x")]),
        rule(
            "near",
            "worker",
            &[("id", "1"), ("ref", "y"), ("environment", "live")],
        ),
    ]);
    let given = [("id", "1"), ("ref", "z")];
    let mismatch = denied(&policy, &given, &ask(None)).mismatch.unwrap();
    assert_eq!(mismatch.rule.as_ref().unwrap().as_str(), "near");
    assert_eq!(
        (
            &*mismatch.field,
            mismatch.found.as_deref(),
            mismatch.wanted.as_deref()
        ),
        ("ref", Some("z"), Some("`y`"))
    );
    let shown = mismatch.shown(Explain::Mismatch).unwrap();
    assert_eq!((shown.rule, shown.wanted), (None, None));
}

#[test]
fn forbidden_says_which_field() {
    let policy = policy_of(DomainPolicy {
        forbid: vec![
            forbid("actor", &["eve"]),
            forbid("event", &["tag", "release"]),
        ],
        rules: vec![rule("a", "worker", &[("id", "1")])],
        ..domain("d")
    });
    let given = [("id", "1"), ("event", "release")];
    let mismatch = denied(&policy, &given, &ask(None)).mismatch.unwrap();
    assert_eq!(
        (
            &*mismatch.field,
            mismatch.found.as_deref(),
            mismatch.wanted.as_deref()
        ),
        (
            "event",
            Some("release"),
            Some("anything but `tag` or `release`")
        )
    );
}

#[test]
fn unknown_names_come_with_the_nearest_that_is_the_callers() {
    let policy = policy(vec![rule("a", "worker", &[("id", "1")])]);
    let given = [("id", "1")];
    let hint = |ask: &Ask| denied(&policy, &given, ask).mismatch.unwrap().hint;
    let prod = Some("did you mean `prod`?".into());
    assert_eq!(hint(&Ask::of("prodd".parse().unwrap())), prod);
    let worker = Some("did you mean `worker`?".into());
    assert_eq!(hint(&ask(Some("workr"))), worker);
    // `stranger` and `reader` exist, but no rule here grants them.
    assert_eq!(hint(&ask(Some("strangr"))), None);
    assert_eq!(hint(&Ask::of("othr".parse().unwrap())), None);
}

#[test]
fn an_item_beyond_the_role_is_named() {
    let policy = policy(vec![rule("a", "reader", &[("id", "1")])]);
    let ask = Ask {
        narrow: permissions(&["a:read", "a:write"]),
        ..ask(None)
    };
    let mismatch = denied(&policy, &[("id", "1")], &ask).mismatch.unwrap();
    assert_eq!(
        (
            &*mismatch.field,
            mismatch.found.as_deref(),
            mismatch.wanted.as_deref()
        ),
        ("scope", Some("a:write"), Some("`a:read`"))
    );
}

#[test]
fn a_grant_can_be_traced_too() {
    let policy = policy(vec![rule("a", "worker", &[("id", "1")])]);
    let given = attributes(&[("id", "1")]);
    let trace = policy.trace("d", "d:somebody", &given, &ask(None));
    assert!(trace.rules[0].matched && trace.rules[0].fields[0].matched);
    assert_eq!(trace.rules[0].fields[0].hint, None);
    let none = policy.trace("nobody", "x", &given, &ask(None));
    assert_eq!(none, Trace::default());
}

#[test]
fn a_guard_is_shown_where_it_bites() {
    let policy = policy(vec![rule("a", "worker", &[("id", "1")])]);
    let denial = denied(
        &policy,
        &[("id", "1"), ("event", "pull_request")],
        &ask(None),
    );
    let fields = &denial.trace.rules[0].fields;
    assert_eq!(fields.len(), 2);
    assert!(fields[0].matched && !fields[1].matched);
    let mismatch = denial.mismatch.unwrap();
    assert_eq!(
        (&*mismatch.field, mismatch.found.as_deref()),
        ("event", Some("pull_request"))
    );
    let denial = denied(&policy, &[("id", "2"), ("event", "push")], &ask(None));
    assert_eq!(denial.trace.rules[0].fields.len(), 1);
}
