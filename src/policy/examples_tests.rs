//! On real sources: what administrators write is what is tested here.

use std::collections::BTreeMap;

use super::*;
use crate::{
    evidence::{PRESETS, Setting, Settings},
    model::Reason,
    policy::{
        Demands, Matcher, PolicyProblem, Rule,
        fixture::{self, roles, target},
    },
};

fn text(text: &str) -> Setting {
    Setting::Text(text.into())
}

fn map(given: &[(&str, Setting)]) -> BTreeMap<String, Setting> {
    given
        .iter()
        .map(|(k, v)| ((*k).to_owned(), v.clone()))
        .collect()
}

fn source(preset: &str, given: &[(&str, Setting)]) -> Source {
    let preset = PRESETS.iter().find(|p| p.name == preset).unwrap();
    (preset.build)(&Settings { values: map(given) }).unwrap()
}

fn github() -> Source {
    source("githubActions", &[("organizationId", text("123456"))])
}

fn spiffe() -> Source {
    let bundle = Setting::Object(map(&[("file", text("bundle.json"))]));
    source(
        "spiffe",
        &[
            ("trustDomain", text("prod.corp.example")),
            ("bundle", bundle),
        ],
    )
}

fn kubernetes() -> Source {
    source(
        "kubernetes",
        &[("issuer", text("https://k8s.corp.example"))],
    )
}

fn oidc() -> Source {
    let algorithms = Setting::Texts(vec!["ES256".into()]);
    let issuer = text("https://id.corp.example");
    source("oidc", &[("issuer", issuer), ("algorithms", algorithms)])
}

fn rule(source: &Source, name: &str, role: &str, matches: &[(&str, Setting)]) -> Rule {
    let matchers = matches.iter().map(|(field, setting)| {
        let spec = source.field(field).unwrap_or_else(|| panic!("{field}"));
        Matcher::from_setting(&spec, setting).unwrap()
    });
    Rule {
        matchers: matchers.collect(),
        ..fixture::rule(name, role, &[])
    }
}

fn allow(line: u32, given: &[(&str, Setting)], role: Option<&str>) -> Test {
    Test {
        line,
        given: map(given),
        ask_role: role.map(|r| r.parse().unwrap()),
        expect: Expect::Allow,
    }
}

fn deny(line: u32, given: &[(&str, Setting)], reason: Option<Reason>, field: Option<&str>) -> Test {
    Test {
        expect: Expect::Deny {
            reason,
            field: field.map(Into::into),
        },
        ..allow(line, given, None)
    }
}

fn load(source: &Source, rules: Vec<Rule>, tests: Vec<Test>) -> Result<Policy, Vec<PolicyProblem>> {
    let domain = DomainPolicy {
        demands: Demands::of(source),
        rules,
        tests,
        ..fixture::domain("d")
    };
    let targets = vec![
        target("prod", &["a", "b"]).into(),
        target("other", &["a"]).into(),
    ];
    Policy::new(targets, roles(), vec![domain])
}

fn outcomes(source: &Source, rules: Vec<Rule>, tests: Vec<Test>) -> Vec<(u32, bool, String)> {
    let policy = load(source, rules, tests).unwrap();
    let outcomes = policy.run_tests(&|_| Some(source.clone()));
    outcomes
        .into_iter()
        .map(|o| (o.line, o.passed, o.what))
        .collect()
}

#[track_caller]
fn all_pass(outcomes: Vec<(u32, bool, String)>) {
    for (line, passed, what) in outcomes {
        assert!(passed, "line {line}: {what}");
    }
}

#[test]
fn a_spiffe_file_means_what_it_says() {
    let source = spiffe();
    let rules = vec![
        rule(
            &source,
            "worker",
            "worker",
            &[("path", text("/ns/payments/sa/worker"))],
        ),
        rule(
            &source,
            "jobs",
            "reader",
            &[("path", text("/ns/payments/job/*"))],
        ),
    ];
    let id = |path: &str| [("id", text(&format!("spiffe://prod.corp.example{path}")))];
    all_pass(outcomes(
        &source,
        rules,
        vec![
            allow(1, &id("/ns/payments/sa/worker"), Some("worker")),
            allow(2, &id("/ns/payments/job/x"), Some("reader")),
            allow(3, &id("/ns/payments/job/x"), None),
            deny(
                4,
                &id("/ns/payments-evil/sa/worker"),
                Some(Reason::RuleNoMatch),
                Some("path"),
            ),
            deny(
                5,
                &id("/ns/payments/job/x/y"),
                Some(Reason::RuleNoMatch),
                None,
            ),
            deny(
                6,
                &[(
                    "id",
                    text("spiffe://dev.corp.example/ns/payments/sa/worker"),
                )],
                None,
                None,
            ),
        ],
    ));
}

#[test]
fn a_github_file_means_what_it_says() {
    let source = github();
    let repository = ("repositoryId", text("987654321"));
    let main = ("ref", text("refs/heads/main"));
    let rules = vec![
        rule(
            &source,
            "deploy-main",
            "worker",
            &[
                repository.clone(),
                main.clone(),
                ("environment", text("production")),
            ],
        ),
        rule(
            &source,
            "tests",
            "reader",
            &[
                repository.clone(),
                (
                    "events",
                    Setting::Texts(vec!["push".into(), "merge_group".into()]),
                ),
            ],
        ),
    ];
    let deploy = [
        repository.clone(),
        main.clone(),
        ("environment", text("production")),
        ("event", text("workflow_dispatch")),
    ];
    let with = |field, value: &str| {
        let mut given: Vec<_> = deploy
            .iter()
            .filter(|(f, _)| *f != field)
            .cloned()
            .collect();
        given.push((field, text(value)));
        given
    };
    let no_match = Some(Reason::RuleNoMatch);
    all_pass(outcomes(
        &source,
        rules,
        vec![
            allow(1, &deploy, Some("worker")),
            allow(
                2,
                &[repository.clone(), ("event", text("push"))],
                Some("reader"),
            ),
            deny(
                3,
                &with("ref", "refs/heads/feature-x"),
                no_match,
                Some("ref"),
            ),
            deny(
                4,
                &with("environment", "staging"),
                no_match,
                Some("environment"),
            ),
            deny(
                5,
                &with("event", "pull_request_target"),
                Some(Reason::EventForbidden),
                Some("events"),
            ),
            // Anyone can comment, so no rule matches it silently.
            deny(6, &with("event", "issue_comment"), no_match, Some("events")),
            deny(
                7,
                &with("repositoryId", "1"),
                no_match,
                Some("repositoryId"),
            ),
        ],
    ));
}

#[test]
fn a_kubernetes_file_means_what_it_says() {
    let source = kubernetes();
    let of = |namespace: &str, account: &str| {
        [
            ("namespace", text(namespace)),
            ("serviceAccount", text(account)),
        ]
    };
    let rules = vec![rule(&source, "worker", "worker", &of("payments", "worker"))];
    let given = |namespace: &str, account: &str| {
        let [n, a] = of(namespace, account);
        [n, a, ("pod", text("worker-7c9"))]
    };
    let no_match = Some(Reason::RuleNoMatch);
    all_pass(outcomes(
        &source,
        rules,
        vec![
            allow(1, &given("payments", "worker"), None),
            deny(
                2,
                &given("payments", "default"),
                no_match,
                Some("serviceAccount"),
            ),
            deny(3, &given("orders", "worker"), no_match, Some("namespace")),
        ],
    ));
}

#[test]
fn claims_keep_their_types() {
    let source = oidc();
    let rules = vec![
        rule(
            &source,
            "text",
            "worker",
            &[("claims.build", text("74")), ("subject", text("a"))],
        ),
        rule(
            &source,
            "number",
            "reader",
            &[
                ("claims.build", Setting::Number(74)),
                ("subject", text("b")),
            ],
        ),
    ];
    let given = |subject: &str, build| [("subject", text(subject)), ("claims.build", build)];
    let no_match = Some(Reason::RuleNoMatch);
    all_pass(outcomes(
        &source,
        rules,
        vec![
            allow(1, &given("a", text("74")), Some("worker")),
            allow(2, &given("b", Setting::Number(74)), Some("reader")),
            deny(3, &given("a", Setting::Number(74)), no_match, None),
            deny(4, &given("b", text("74")), no_match, None),
        ],
    ));
}

#[test]
fn what_the_presets_demand_is_demanded() {
    let refused = |source: &Source, matches: &[(&str, Setting)]| {
        let rules = vec![rule(source, "r", "worker", matches)];
        load(source, rules, vec![]).is_err()
    };
    let (spiffe, github, kubernetes, oidc) = (spiffe(), github(), kubernetes(), oidc());
    assert!(refused(&spiffe, &[("path", text("/*/payments"))]));
    assert!(!refused(&spiffe, &[("path", text("/ns/payments/*"))]));
    assert!(refused(&github, &[("repository", text("acme/payments"))]));
    assert!(refused(&github, &[("environment", text("prod*"))]));
    assert!(refused(&github, &[("ref", text("refs/heads/main"))]));
    assert!(!refused(&github, &[("environment", text("production"))]));
    let event = |value| [("repositoryId", text("1")), ("events", text(value))];
    assert!(refused(&github, &event("pull_request")));
    assert!(!refused(&github, &event("push")));
    assert!(refused(&kubernetes, &[("namespace", text("payments"))]));
    assert!(refused(&oidc, &[("subject", text("a/*"))]));
    assert!(!refused(&oidc, &[("subject", text("a/b"))]));
    assert!(!refused(&oidc, &[("claims.team", text("x"))]));
}

#[test]
fn a_failing_test_says_what_it_expected_and_what_it_got() {
    let source = kubernetes();
    let of = |account: &str| {
        [
            ("namespace", text("payments")),
            ("serviceAccount", text(account)),
            ("pod", text("p")),
        ]
    };
    let worker = &of("worker")[..2];
    let rules = || vec![rule(&source, "worker", "worker", worker)];
    let failing = |test: Test| {
        let (_, passed, what) = outcomes(&source, rules(), vec![test]).remove(0);
        assert!(!passed, "{what}");
        what
    };
    assert_eq!(
        failing(allow(1, &of("workr"), None)),
        "expected a grant, but got RULE_NO_MATCH, nearest rule `worker`, serviceAccount: `workr`, wanted `worker` (only 1 of its characters differ)"
    );
    assert_eq!(
        failing(deny(1, &of("worker"), None, None)),
        "expected a denial, but rule `worker` grants `worker`"
    );
    let event = Some(Reason::EventForbidden);
    let what = failing(deny(1, &of("x"), event, Some("pod")));
    assert!(
        what.starts_with("expected EVENT_FORBIDDEN by `pod`, but got RULE_NO_MATCH"),
        "{what}"
    );
    let what = failing(deny(1, &of("x"), Some(Reason::RuleNoMatch), Some("pod")));
    assert!(
        what.starts_with("expected RULE_NO_MATCH by `pod`, but got"),
        "{what}"
    );
    assert_eq!(
        failing(allow(1, &of("worker"), Some("nobody"))),
        "no target has the role `nobody`"
    );
    let what = failing(allow(1, &[("servicAccount", text("x"))], None));
    assert!(what.starts_with("`servicAccount`: "), "{what}");
}

#[test]
fn a_test_without_a_role_is_about_every_target_of_the_rules() {
    let source = kubernetes();
    let of = |account: &str| {
        [
            ("namespace", text("payments")),
            ("serviceAccount", text(account)),
            ("pod", text("p")),
        ]
    };
    let rules = vec![
        rule(&source, "a", "worker", &of("one")[..2]),
        rule(&source, "b", "stranger", &of("two")[..2]),
    ];
    let tests = vec![
        allow(1, &of("one"), None),
        allow(2, &of("two"), None),
        deny(3, &of("three"), Some(Reason::RuleNoMatch), None),
        deny(4, &of("two"), None, None),
    ];
    let passed: Vec<bool> = outcomes(&source, rules, tests)
        .iter()
        .map(|o| o.1)
        .collect();
    assert_eq!(passed, [true, true, true, false]);
}

#[test]
fn tests_that_cannot_run_fail() {
    let source = kubernetes();
    let test = deny(1, &[("namespace", text("x"))], None, None);
    let policy = load(&source, vec![], vec![test]).unwrap();
    let no_source = policy.run_tests(&|_| None);
    assert!(!no_source[0].passed);
    let no_rules = policy.run_tests(&|_| Some(source.clone()));
    assert!(!no_rules[0].passed, "{}", no_rules[0].what);
    assert_eq!(
        (&*no_rules[0].file, no_rules[0].domain.as_str()),
        ("d.yaml", "d")
    );
}
