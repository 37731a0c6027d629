use super::*;
use crate::policy::{
    Denial, Policy, Supposition,
    fixture::{
        ask, attributes, condition, domain, facts, forbid, matcher, permissions, policy, policy_of,
        rule,
    },
};

type Decision = Result<Supposition, Box<Denial>>;

fn decide(policy: &Policy, given: &[(&str, &str)], ask: &Ask) -> Decision {
    policy.simulate("d", &facts(&attributes(given)), ask)
}

#[track_caller]
fn refused(decision: Decision, reason: Reason) -> Denial {
    let denial = *decision.expect_err("a denial");
    assert_eq!(denial.reason, reason, "{}", denial.trace);
    denial
}

fn worker() -> Rule {
    rule("w", "worker", &[("id", "1")])
}

#[test]
fn one_matching_rule_grants_its_role() {
    let granted = decide(&policy(vec![worker()]), &[("id", "1")], &ask(None)).unwrap();
    assert_eq!(
        (granted.rule.as_str(), granted.role.as_str()),
        ("w", "worker")
    );
    assert_eq!(*granted.permissions, permissions(&["a:write", "b:write"]));
    assert_eq!(granted.ttl, Ttl::secs(1800));
}

#[test]
fn every_field_must_match() {
    let policy = policy(vec![rule(
        "w",
        "worker",
        &[("id", "1"), ("ref", "refs/heads/main")],
    )]);
    let main = ("ref", "refs/heads/main");
    assert!(decide(&policy, &[("id", "1"), main], &ask(None)).is_ok());
    for given in [
        &[("id", "2"), main][..],
        &[("id", "1"), ("ref", "refs/heads/x")],
        &[("id", "1")],
        &[main],
        &[],
    ] {
        refused(decide(&policy, given, &ask(None)), Reason::RuleNoMatch);
    }
}

#[test]
fn any_listed_value_will_do() {
    let mut rule = worker();
    rule.matchers = vec![matcher("id", &["1", "2"])];
    let policy = policy(vec![rule]);
    for id in ["1", "2"] {
        assert!(decide(&policy, &[("id", id)], &ask(None)).is_ok());
    }
    refused(
        decide(&policy, &[("id", "3")], &ask(None)),
        Reason::RuleNoMatch,
    );
}

#[test]
fn a_03_forbid_beats_every_rule_in_any_order() {
    let of = |forbids: Vec<crate::policy::Forbid>, rules| {
        policy_of(DomainPolicy {
            forbid: forbids,
            rules,
            ..domain("d")
        })
    };
    let exact = || {
        rule(
            "exact",
            "worker",
            &[("id", "1"), ("event", "push"), ("ref", "x")],
        )
    };
    let given = [("id", "1"), ("event", "push"), ("ref", "x")];
    let forbids = || vec![forbid("ref", &["y"]), forbid("event", &["z", "push"])];
    for rules in [
        vec![worker(), exact()],
        vec![exact(), worker()],
        vec![exact()],
    ] {
        let policy = of(forbids(), rules);
        let denial = refused(decide(&policy, &given, &ask(None)), Reason::EventForbidden);
        assert_eq!(denial.mismatch.unwrap().field, "event");
        // It comes before the question whether the target exists, too.
        let elsewhere = Ask::of("nowhere".parse().unwrap());
        refused(decide(&policy, &given, &elsewhere), Reason::EventForbidden);
        let allowed = [("id", "1"), ("event", "pull"), ("ref", "x")];
        assert_eq!(
            decide(&policy, &allowed, &ask(None)).is_ok(),
            policy.domains()[0].rules.len() == 2
        );
    }
}

#[test]
fn a_05_an_unknown_target_and_a_target_of_others_are_the_same() {
    let policy = policy(vec![worker()]);
    let to = |name: &str| {
        let denial = refused(
            decide(&policy, &[("id", "1")], &Ask::of(name.parse().unwrap())),
            Reason::TargetUnknown,
        );
        let mismatch = denial.mismatch.unwrap();
        assert_eq!(mismatch.found.as_deref(), Some(name));
        (denial.roles, denial.trace, mismatch.hint, mismatch.wanted)
    };
    // `other` exists, and only other trust domains' rules are about it.
    assert_eq!(to("other"), to("nowhere"));
}

#[test]
fn a_trust_domain_without_policy_gets_the_same_answer() {
    let policy = policy(vec![worker()]);
    let given = attributes(&[("id", "1")]);
    let decision = policy.simulate("nobody", &facts(&given), &ask(None));
    refused(decision, Reason::TargetUnknown);
}

#[test]
fn the_role_asked_for_must_be_granted() {
    let policy = policy(vec![worker(), rule("r", "reader", &[("id", "2")])]);
    let ask_for = |id, role| decide(&policy, &[("id", id)], &ask(Some(role)));
    assert_eq!(ask_for("1", "worker").unwrap().rule.as_str(), "w");
    let denial = refused(ask_for("1", "reader"), Reason::RuleNoMatch);
    let mismatch = denial.mismatch.unwrap();
    assert_eq!(mismatch.rule.unwrap().as_str(), "r");
    assert_eq!(
        (&*mismatch.field, mismatch.found.as_deref()),
        ("id", Some("1"))
    );
    refused(ask_for("1", "nobody"), Reason::ScopeUnknown);
    // A role of another target is unknown here.
    refused(ask_for("1", "stranger"), Reason::ScopeUnknown);
}

#[test]
fn a_role_that_no_rule_grants_is_no_match() {
    let policy = policy(vec![worker()]);
    let decision = decide(&policy, &[("id", "1")], &ask(Some("reader")));
    let denial = refused(decision, Reason::RuleNoMatch);
    let mismatch = denial.mismatch.unwrap();
    assert_eq!((mismatch.rule, &*mismatch.field), (None, "scope"));
}

#[test]
fn several_roles_are_ambiguous_and_never_united() {
    let rules = || {
        vec![
            rule("z", "worker", &[("id", "1")]),
            rule("y", "reader", &[("id", "1")]),
            rule("x", "reader", &[("id", "1"), ("ref", "r")]),
        ]
    };
    let given = [("id", "1"), ("ref", "r")];
    let policy = policy(rules());
    let denial = refused(decide(&policy, &given, &ask(None)), Reason::ScopeAmbiguous);
    let roles: Vec<_> = denial.roles.iter().map(|r| r.as_str()).collect();
    assert_eq!(roles, ["reader", "worker"]);
    let reader = decide(&policy, &given, &ask(Some("reader"))).unwrap();
    assert_eq!(*reader.permissions, permissions(&["a:read"]));
    // Narrowing does not choose a role.
    let narrowed = Ask {
        narrow: permissions(&["b:write"]),
        ..ask(None)
    };
    refused(decide(&policy, &given, &narrowed), Reason::ScopeAmbiguous);
}

#[test]
fn of_several_rules_for_one_role_one_grants() {
    let with = |name: &str, only: &[&str], ttl: u32| Rule {
        only: Some(only.iter().map(|n| n.parse().unwrap()).collect()),
        ttl: Some(Ttl::secs(ttl)),
        ..rule(name, "worker", &[("id", "1")])
    };
    let a = || with("a", &["a"], 60);
    let b = || with("b", &["b"], 90);
    let given = [("id", "1")];
    for rules in [vec![a(), b()], vec![b(), a()]] {
        let policy = policy(rules);
        let narrow = |items: &[&str]| {
            let ask = Ask {
                narrow: permissions(items),
                ..ask(None)
            };
            decide(&policy, &given, &ask)
        };
        assert_eq!(narrow(&["a:write"]).unwrap().rule.as_str(), "a");
        assert_eq!(narrow(&["b:read"]).unwrap().rule.as_str(), "b");
        // Each alone is granted; both together by no single rule.
        refused(narrow(&["a:write", "b:write"]), Reason::ScopeBeyondRole);
        assert_eq!(narrow(&[]).unwrap().rule.as_str(), "b");
    }
    let wide = || with("wide", &["a", "b"], 60);
    for rules in [vec![b(), wide()], vec![wide(), b()]] {
        let granted = decide(&policy(rules), &given, &ask(None)).unwrap();
        assert_eq!(granted.rule.as_str(), "wide");
    }
}

#[test]
fn observing_rules_grant_nothing_and_are_reported() {
    let observe = |name: &str, role: &str| Rule {
        mode: Mode::Observe,
        ..rule(name, role, &[("id", "1")])
    };
    let given = [("id", "1")];
    let only = policy(vec![observe("o", "worker")]);
    let denial = refused(decide(&only, &given, &ask(None)), Reason::RuleObserveOnly);
    assert_eq!(denial.mismatch.unwrap().rule.unwrap().as_str(), "o");
    refused(
        decide(&only, &given, &ask(Some("worker"))),
        Reason::RuleObserveOnly,
    );
    refused(
        decide(&only, &[("id", "2")], &ask(None)),
        Reason::RuleNoMatch,
    );

    let both = policy(vec![
        observe("o2", "reader"),
        worker(),
        observe("o1", "worker"),
    ]);
    let granted = decide(&both, &given, &ask(None)).unwrap();
    let observed: Vec<_> = granted.observed.iter().map(|r| r.as_str()).collect();
    assert_eq!((granted.rule.as_str(), observed), ("w", vec!["o1", "o2"]));
    let granted = decide(&policy(vec![worker()]), &given, &ask(None)).unwrap();
    assert!(granted.observed.is_empty());
}

#[test]
fn scope_items_narrow_and_never_widen() {
    let policy = policy(vec![worker()]);
    let narrow = |items: &[&str]| {
        let ask = Ask {
            narrow: permissions(items),
            ..ask(Some("worker"))
        };
        decide(&policy, &[("id", "1")], &ask)
    };
    let granted = |items: &[&str]| narrow(items).unwrap().permissions.to_vec();
    assert_eq!(granted(&["a:read"]), permissions(&["a:read"]));
    assert_eq!(
        granted(&["b:write", "a:read"]),
        permissions(&["a:read", "b:write"])
    );
    for bad in ["a:admin", "c:read", "system:read"] {
        for items in [
            vec![bad, "a:read", "b:read"],
            vec!["a:read", bad],
            vec!["a:read", "b:read", bad],
        ] {
            let denial = refused(narrow(&items), Reason::ScopeBeyondRole);
            let mismatch = denial.mismatch.unwrap();
            assert_eq!(mismatch.wanted.as_deref(), Some("`a:write` or `b:write`"));
        }
    }
}

#[test]
fn a_17_the_shortest_lifetime_wins() {
    let with = |rule_ttl: Option<u32>, asked: Option<u32>, remaining, bound| {
        let policy = policy_of(DomainPolicy {
            rules: vec![Rule {
                ttl: rule_ttl.map(Ttl::secs),
                ..worker()
            }],
            bind_to_evidence_life: bound,
            ..domain("d")
        });
        let given = attributes(&[("id", "1")]);
        let facts = Facts {
            remaining,
            ..facts(&given)
        };
        let ask = Ask {
            ttl: asked.map(Ttl::secs),
            ..ask(None)
        };
        policy.simulate("d", &facts, &ask)
    };
    let ttl = |decision: Decision| decision.unwrap().ttl.as_secs();
    assert_eq!(ttl(with(None, None, None, true)), 1800);
    assert_eq!(ttl(with(Some(900), None, None, true)), 900);
    assert_eq!(ttl(with(Some(900), Some(600), None, true)), 600);
    assert_eq!(ttl(with(Some(600), Some(900), None, true)), 600);
    assert_eq!(ttl(with(None, Some(86_400), None, true)), 1800);
    assert_eq!(ttl(with(None, None, Some(120), true)), 120);
    assert_eq!(ttl(with(None, None, Some(120), false)), 1800);
    assert_eq!(ttl(with(None, None, Some(u64::MAX), true)), 1800);

    assert_eq!(ttl(with(None, None, Some(30), true)), 30);
    for remaining in [0, 1, 29] {
        let denial = refused(
            with(None, None, Some(remaining), true),
            Reason::LifetimeTooShort,
        );
        let found = denial.mismatch.unwrap().found;
        assert_eq!(found, Some(format!("{remaining}s")));
    }
    assert_eq!(ttl(with(None, Some(30), None, false)), 30);
    refused(with(None, Some(29), None, false), Reason::LifetimeTooShort);
}

#[test]
fn the_targets_lifetime_counts_too() {
    use crate::policy::fixture::{role, target};
    let mut short = target("prod", &["a"]);
    short.max_ttl = Ttl::secs(45);
    let domain = DomainPolicy {
        rules: vec![worker()],
        ..domain("d")
    };
    let roles = vec![role("worker", "prod", &["a:write"])];
    let policy = Policy::new(vec![short.into()], roles, vec![domain]).unwrap();
    let granted = decide(&policy, &[("id", "1")], &ask(None)).unwrap();
    assert_eq!(granted.ttl, Ttl::secs(45));
}

#[test]
fn conditions_narrow_a_rule_and_all_must_hold() {
    let mut both = worker();
    both.when = vec![
        condition("attrs.protected"),
        condition("attrs.environment == 'live'"),
    ];
    // Two conditions need two names.
    both.when[1] = crate::policy::Condition::compile(
        "live".parse().unwrap(),
        "attrs.environment == 'live'",
        &crate::policy::fixture::vocabulary(),
    )
    .unwrap();
    let policy = policy(vec![both]);
    let with = |protected, environment| {
        let given = [
            ("id", "1"),
            ("protected", protected),
            ("environment", environment),
        ];
        decide(&policy, &given, &ask(None))
    };
    assert!(with("true", "live").is_ok());
    let denial = refused(with("false", "live"), Reason::RuleNoMatch);
    assert_eq!(denial.mismatch.unwrap().field, "when.checked");
    let denial = refused(with("true", "test"), Reason::RuleNoMatch);
    assert_eq!(denial.mismatch.unwrap().field, "when.live");
    // A fault is no answer.
    let missing = decide(&policy, &[("id", "1"), ("protected", "true")], &ask(None));
    refused(missing, Reason::RuleNoMatch);
    // A condition that holds does not stand in for a field.
    let given = [("id", "2"), ("protected", "true"), ("environment", "live")];
    refused(decide(&policy, &given, &ask(None)), Reason::RuleNoMatch);
}

#[test]
fn a_07_absent_and_oddly_typed_values_match_nothing() {
    let policy = policy(vec![worker()]);
    for given in [&[("id", "1,2")][..], &[("id", "true")], &[("id", "")], &[]] {
        refused(decide(&policy, given, &ask(None)), Reason::RuleNoMatch);
    }
}

#[test]
fn untrusted_triggers_match_only_rules_that_name_them() {
    let silent = policy(vec![rule("r", "reader", &[("id", "1")])]);
    let given = |event| [("id", "1"), ("event", event)];
    assert!(decide(&silent, &given("push"), &ask(None)).is_ok());
    assert!(decide(&silent, &[("id", "1")], &ask(None)).is_ok());
    for event in ["pull_request", "issue_comment", "push,pull_request"] {
        let decision = decide(&silent, &given(event), &ask(None));
        let denial = refused(decision, Reason::RuleNoMatch);
        assert_eq!(denial.mismatch.unwrap().field, "event");
    }
    let named = policy(vec![rule(
        "r",
        "reader",
        &[("id", "1"), ("event", "pull_request")],
    )]);
    assert!(decide(&named, &given("pull_request"), &ask(None)).is_ok());
    refused(
        decide(&named, &given("issue_comment"), &ask(None)),
        Reason::RuleNoMatch,
    );
}
