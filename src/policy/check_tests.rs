use super::*;
use crate::{
    evidence::Setting,
    model::{Access, FieldKind, Namespace, Permission, Ttl},
    policy::{
        Demands, Mode, Policy,
        fixture::{condition, domain, forbid, matcher, role, roles, rule, spec, target},
    },
};

fn targets() -> Vec<Arc<Target>> {
    vec![
        Arc::new(target("prod", &["a", "b"])),
        Arc::new(target("other", &["a"])),
    ]
}

fn found(roles: Vec<Role>, domains: Vec<DomainPolicy>) -> Vec<PolicyProblem> {
    match Policy::new(targets(), roles, domains) {
        Ok(_) => Vec::new(),
        Err(problems) => {
            assert!(!problems.is_empty());
            problems
        }
    }
}

/// The problems of one rule in an otherwise good policy.
fn of_rule(rule: Rule) -> Vec<PolicyProblem> {
    let domain = DomainPolicy {
        rules: vec![rule],
        ..domain("d")
    };
    found(roles(), vec![domain])
}

#[track_caller]
fn one(problems: Vec<PolicyProblem>, part: &str) {
    assert_eq!(problems.len(), 1, "{problems:#?}");
    let problem = &problems[0];
    assert!(problem.what.contains(part), "{problem:#?}");
    assert!(problem.hint.as_ref().is_some_and(|h| !h.is_empty()));
}

fn good() -> Rule {
    rule("r", "worker", &[("id", "1")])
}

#[test]
fn a_good_policy_loads() {
    assert_eq!(of_rule(good()), []);
    assert_eq!(of_rule(rule("r", "worker", &[("path", "/ns/x/*")])), []);
    assert_eq!(
        of_rule(rule("r", "worker", &[("claims.team", "x"), ("ref", "a/*")])),
        []
    );
}

#[test]
fn a_01_a_rule_that_matches_everyone_is_refused() {
    one(of_rule(rule("r", "worker", &[])), "matches every identity");
    let mut by_condition = rule("r", "worker", &[]);
    by_condition.when = vec![condition("attrs.id == '1'")];
    one(of_rule(by_condition), "matches every identity");
    let mut empty = good();
    empty.matchers[0].any_of.clear();
    one(of_rule(empty), "lists no value");
}

#[test]
fn a_01_observing_is_no_excuse() {
    let mut observing = rule("r", "worker", &[("environment", "x")]);
    observing.mode = Mode::Observe;
    one(of_rule(observing), "does not pin");
}

#[test]
fn what_only_the_caller_asserts_does_not_suffice() {
    let callers = rule("r", "worker", &[("ref", "refs/heads/main"), ("actor", "x")]);
    one(
        of_rule(callers),
        "only what the caller itself asserts (ref, actor)",
    );
    let mut with_condition = rule("r", "worker", &[("ref", "refs/heads/main")]);
    with_condition.when = vec![condition("attrs.id == '1'")];
    one(of_rule(with_condition), "only what the caller");
    let vouched = rule("r", "worker", &[("ref", "refs/heads/main"), ("id", "1")]);
    assert_eq!(of_rule(vouched), []);
}

#[test]
fn a_pin_by_the_callers_word_is_no_pin() {
    let by_caller = |matches: &[(&str, &str)]| {
        let mut rule = rule("r", "worker", matches);
        let claim = spec("claims.x", FieldKind::Any, Asserter::Caller);
        let value = Setting::Text("1".into());
        rule.matchers
            .push(Matcher::from_setting(&claim, &value).unwrap());
        rule
    };
    one(of_rule(by_caller(&[("environment", "x")])), "does not pin");
    assert_eq!(of_rule(by_caller(&[("id", "1")])), []);
    assert_eq!(of_rule(by_caller(&[("claims.y", "1")])), []);
}

#[test]
fn every_field_of_one_alternative_must_be_pinned() {
    let with = |pinned: Vec<&'static str>, matches: &[(&str, &str)]| {
        let domain = DomainPolicy {
            demands: Demands {
                must_pin: &[&["repositoryId"], &["organizationId", "environment"]],
                pinned,
                ..Demands::default()
            },
            rules: vec![rule("r", "worker", matches)],
            ..domain("d")
        };
        found(roles(), vec![domain])
    };
    assert_eq!(with(vec![], &[("repositoryId", "1")]), []);
    let both = [("organizationId", "1"), ("environment", "x")];
    assert_eq!(with(vec![], &both), []);
    assert_eq!(with(vec!["organizationId"], &both[1..]), []);
    let named = [("repository", "acme/x")];
    let problems = with(vec!["organizationId"], &named);
    let hint = "match an exact value of repositoryId, or of organizationId and environment";
    assert_eq!(problems[0].hint.as_deref(), Some(hint));
    one(problems, "does not pin");
    one(with(vec![], &both[1..]), "does not pin");
    one(with(vec![], &both[..1]), "does not pin");
}

#[test]
fn a_wildcard_pins_nothing() {
    let with = |must_pin, matches: &[(&str, &str)]| {
        let domain = DomainPolicy {
            demands: Demands {
                must_pin,
                ..Demands::default()
            },
            rules: vec![rule("r", "worker", matches)],
            ..domain("d")
        };
        found(roles(), vec![domain])
    };
    one(
        with(&[&["path"]], &[("path", "/ns/x/*")]),
        "wildcard in `path`",
    );
    assert_eq!(with(&[&["path"]], &[("path", "/ns/x/y")]), []);
    let mut any_of = rule("r", "worker", &[]);
    any_of.matchers = vec![matcher("path", &["/ns/x/y", "/ns/x/*"])];
    let domain = DomainPolicy {
        demands: Demands {
            must_pin: &[&["path"]],
            ..Demands::default()
        },
        rules: vec![any_of],
        ..domain("d")
    };
    one(found(roles(), vec![domain]), "wildcard in `path`");
}

#[test]
fn in_a_hierarchy_a_wildcard_stands_behind_a_whole_segment() {
    let path = |pattern| of_rule(rule("r", "worker", &[("path", pattern)]));
    assert_eq!(path("/ns/payments/job/*"), []);
    assert_eq!(path("/ns/pay*"), []);
    one(path("/*/payments"), "wildcard in `path`");
    one(path("/ns*"), "wildcard in `path`");
}

#[test]
fn untrusted_triggers_never_write_and_are_never_matched_by_accident() {
    let event = |role: &str, values: &[&str]| {
        let mut rule = rule("r", role, &[("id", "1")]);
        rule.matchers.push(matcher("event", values));
        rule
    };
    one(
        of_rule(event("worker", &["pull_request"])),
        "more than read",
    );
    one(
        of_rule(event("worker", &["push", "issue_comment"])),
        "more than read",
    );
    assert_eq!(of_rule(event("worker", &["push"])), []);
    assert_eq!(of_rule(event("reader", &["pull_request"])), []);

    let mut glob = rule("r", "reader", &[("id", "1")]);
    let segments = spec("event", FieldKind::Segments(&['/']), Asserter::Issuer);
    let value = |v: &str| Setting::Text(v.into());
    glob.matchers
        .push(Matcher::from_setting(&segments, &value("pull_*")).unwrap());
    one(of_rule(glob), "also matches `pull_request`");
    let mut other = rule("r", "reader", &[("id", "1")]);
    other
        .matchers
        .push(Matcher::from_setting(&segments, &value("pu*sh")).unwrap());
    assert_eq!(of_rule(other), []);
}

#[test]
fn only_may_bring_a_role_down_to_reading() {
    let mut mixed = roles();
    mixed.push(role("mixed", "prod", &["a:write", "b:read"]));
    let with_only = |only: &str| {
        let mut rule = rule("r", "mixed", &[("id", "1"), ("event", "pull_request")]);
        rule.only = Some(vec![only.parse().unwrap()]);
        let domain = DomainPolicy {
            rules: vec![rule],
            ..domain("d")
        };
        found(mixed.clone(), vec![domain])
    };
    one(with_only("a"), "more than read");
    assert_eq!(with_only("b"), []);
}

#[test]
fn roles_must_exist_and_lie_within_their_target() {
    one(
        of_rule(rule("r", "wroker", &[("id", "1")])),
        "grants role `wroker`",
    );
    let with = |role: Role| found(vec![role], vec![]);
    assert_eq!(with(role("x", "prod", &["a:admin", "system:read"])), []);
    one(with(role("x", "prodd", &["a:read"])), "not configured");
    one(with(role("x", "prod", &["c:read"])), "does not list");
    one(with(role("x", "prod", &["A:read"])), "does not list");
    one(
        with(role("x", "prod", &["a:read", "a:write"])),
        "two permissions",
    );
    one(with(role("x", "prod", &[])), "allows nothing");
    let mut short = role("x", "prod", &["a:read"]);
    short.max_ttl = Ttl::secs(29);
    one(with(short.clone()), "29s at most");
    short.max_ttl = MIN_TTL;
    assert_eq!(with(short), []);
}

#[test]
fn suggestions_name_what_was_probably_meant() {
    let hint = |problems: Vec<PolicyProblem>| problems[0].hint.clone().unwrap();
    let wroker = of_rule(rule("r", "wroker", &[("id", "1")]));
    assert_eq!(hint(wroker), "did you mean `worker`?");
    let prodd = found(vec![role("x", "prodd", &["a:read"])], vec![]);
    assert_eq!(hint(prodd), "did you mean `prod`?");
}

#[test]
fn names_stand_once() {
    let twice = vec![
        role("x", "prod", &["a:read"]),
        role("x", "other", &["a:read"]),
    ];
    one(found(twice, vec![]), "role `x` stands twice");
    let domain_of = |rules| DomainPolicy {
        rules,
        ..domain("d")
    };
    let rules = domain_of(vec![good(), good()]);
    one(found(roles(), vec![rules]), "rule `r` stands twice");
    let domains = vec![domain_of(vec![good()]), domain_of(vec![])];
    one(found(roles(), domains), "trust domain `d` stands twice");
    let mut conditions = good();
    conditions.when = vec![condition("has(attrs.id)"), condition("attrs.protected")];
    one(of_rule(conditions), "two conditions named");
    one(
        of_rule(rule("r", "worker", &[("id", "1"), ("id", "1")])),
        "matches `id` twice",
    );
}

#[test]
fn a_rule_stays_within_its_role() {
    let with = |ttl: Option<u32>, only: Option<&[&str]>| {
        let mut rule = good();
        rule.ttl = ttl.map(Ttl::secs);
        let namespaces = |only: &[&str]| only.iter().map(|n| n.parse().unwrap()).collect();
        rule.only = only.map(namespaces);
        of_rule(rule)
    };
    assert_eq!(with(Some(1800), Some(&["b"])), []);
    one(with(Some(1801), None), "more than `worker` allows");
    assert_eq!(with(Some(30), None), []);
    one(with(Some(29), None), "ttl 29s");
    one(with(None, Some(&[])), "empty `only`");
    one(with(None, Some(&["a", "c"])), "namespace `c`");
}

#[test]
fn a_forbid_without_values_is_refused() {
    let with = |values: &[&str]| {
        let mut forbid = forbid("event", &["x"]);
        forbid.matcher.any_of.truncate(values.len());
        let domain = DomainPolicy {
            forbid: vec![forbid],
            ..domain("d")
        };
        found(roles(), vec![domain])
    };
    one(with(&[]), "forbid: `event` lists no value");
    assert_eq!(with(&["x"]), []);
}

#[test]
fn problems_say_where() {
    let problems = of_rule(rule("r", "worker", &[]));
    assert_eq!((&*problems[0].file, problems[0].line), ("d.yaml", 7));
    let problems = found(vec![role("x", "prod", &[])], vec![]);
    assert_eq!((&*problems[0].file, problems[0].line), ("roles.yaml", 3));
}

#[test]
fn every_problem_is_reported_at_once() {
    let rules = vec![
        rule("a", "nobody", &[]),
        rule("b", "worker", &[("ref", "x")]),
    ];
    let domain = DomainPolicy {
        rules,
        ..domain("d")
    };
    assert_eq!(found(roles(), vec![domain]).len(), 3);
}

#[test]
fn cluster_wide_permissions_are_kept_from_untrusted_triggers() {
    let cluster = Role {
        permissions: vec![Permission {
            namespace: None::<Namespace>,
            access: Access::Read,
        }],
        ..role("cluster", "prod", &["a:read"])
    };
    let rule = rule("r", "cluster", &[("id", "1"), ("event", "pull_request")]);
    let domain = DomainPolicy {
        rules: vec![rule],
        ..domain("d")
    };
    one(found(vec![cluster], vec![domain]), "more than read");
}
