//! The decision against a slow and obvious model of it, and on proven
//! identities.
//!
//! The model knows nothing of indexes, slots or ranks: it looks at every rule,
//! and intersects sets. Whatever the two disagree on is a bug in one of them.

#[path = "../src/evidence/testkit.rs"]
mod testkit;

use std::{collections::BTreeSet, sync::Arc};

use assay::{
    base, evidence, jose, keys,
    model::{
        self, Access, Asserter, Attribute, Attributes, Field, FieldKind, FieldSpec, Permission,
        Reason, Target, TargetSigning, Ttl, Value,
    },
    policy::{
        Ask, Demands, DomainPolicy, Explain, Facts, Forbid, MIN_TTL, Matcher, Mode, Pattern,
        Policy, Role, Rule,
    },
};
use proptest::prelude::*;

const FIELDS: &[Field] = &[
    field("id", FieldKind::Exact, Asserter::Issuer),
    field("path", FieldKind::Segments(&['/']), Asserter::Issuer),
    field("ref", FieldKind::Segments(&['/']), Asserter::Caller),
    field("event", FieldKind::Exact, Asserter::Issuer),
];
const UNTRUSTED: &[(&str, &[&str])] = &[("event", &["fork"])];

const fn field(name: &'static str, kind: FieldKind, asserted_by: Asserter) -> Field {
    Field {
        name,
        doc: "A field.",
        kind,
        asserted_by,
    }
}

/// A rule as the model sees it.
#[derive(Clone, Debug)]
struct Line {
    name: String,
    observe: bool,
    matches: Vec<(&'static str, Vec<&'static str>)>,
    role: &'static str,
    ttl: Option<u32>,
    only: Option<Vec<&'static str>>,
}

/// Roles: name, target, permissions, longest lifetime.
const ROLES: &[(&str, &str, &[(&str, Access)], u32)] = &[
    ("wide", "prod", &[("a", Access::Admin), ("b", Access::Write), ("c", Access::Read)], 900),
    ("slim", "prod", &[("a", Access::Read)], 600),
    ("far", "other", &[("a", Access::Write)], 60),
];
const TARGET_TTL: u32 = 700;

/// Everything that a decision depends on.
#[derive(Clone, Debug)]
struct World {
    lines: Vec<Line>,
    forbidden: Vec<&'static str>,
    bound: bool,
    remaining: u64,
    identity: Vec<(&'static str, &'static str)>,
    target: &'static str,
    role: Option<&'static str>,
    narrow: Vec<(&'static str, Access)>,
    ttl: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Outcome {
    rule: String,
    role: String,
    permissions: BTreeSet<(String, Access)>,
    ttl: u32,
}

/// The whole decision, obviously.
fn model(world: &World) -> Result<Outcome, Reason> {
    let has = |field: &str| world.identity.iter().find(|(f, _)| *f == field).map(|(_, v)| *v);
    let of = |role: &str| ROLES.iter().find(|r| r.0 == role).unwrap();
    if has("ref").is_some_and(|r| world.forbidden.contains(&r)) {
        return Err(Reason::EventForbidden);
    }
    let here = |line: &&Line| of(line.role).1 == world.target;
    if !world.lines.iter().any(|l| here(&l)) {
        return Err(Reason::TargetUnknown);
    }
    let matching = |line: &&Line| {
        let fields = line.matches.iter().all(|(field, values)| {
            values.iter().any(|v| has(field).is_some_and(|found| same(v, found)))
        });
        let trusted = line.matches.iter().any(|(f, _)| *f == "event") || has("event") != Some("fork");
        let wanted = world.role.is_none_or(|role| role == line.role);
        fields && trusted && wanted && here(line)
    };
    let (observing, granting): (Vec<&Line>, Vec<&Line>) =
        world.lines.iter().filter(matching).partition(|l| l.observe);
    if granting.is_empty() {
        let known = |role: &str| ROLES.iter().any(|r| r.0 == role && r.1 == world.target);
        return Err(match world.role {
            _ if !observing.is_empty() => Reason::RuleObserveOnly,
            Some(role) if !known(role) => Reason::ScopeUnknown,
            _ => Reason::RuleNoMatch,
        });
    }
    if granting.iter().map(|l| l.role).collect::<BTreeSet<_>>().len() > 1 {
        return Err(Reason::ScopeAmbiguous);
    }
    // What one line alone would give: everything asked for, or nothing.
    let alone = |line: &Line| {
        let (_, _, permissions, max) = of(line.role);
        let allowed = permissions.iter().filter(|(n, _)| line.only.as_ref().is_none_or(|o| o.contains(n)));
        let allowed: Vec<_> = allowed.collect();
        let within = |(n, a): &(&str, Access)| allowed.iter().any(|(m, b)| m == n && a <= b);
        let permissions = if world.narrow.is_empty() {
            allowed.iter().map(|(n, a)| ((*n).to_owned(), *a)).collect()
        } else if world.narrow.iter().all(within) {
            // One item per namespace: the highest that was asked.
            let top = |n: &str| world.narrow.iter().filter(|(m, _)| *m == n).map(|(_, a)| *a).max();
            world.narrow.iter().map(|(n, _)| ((*n).to_owned(), top(n).unwrap())).collect()
        } else {
            return None;
        };
        let ttl = line.ttl.unwrap_or(u32::MAX).min(*max).min(TARGET_TTL);
        Some(Outcome {
            rule: line.name.clone(),
            role: line.role.to_owned(),
            permissions,
            ttl,
        })
    };
    let best = granting.into_iter().filter_map(alone).max_by_key(|o| {
        let width = if world.narrow.is_empty() { o.permissions.len() } else { 0 };
        (width, o.ttl, std::cmp::Reverse(o.rule.clone()))
    });
    let mut best = best.ok_or(Reason::ScopeBeyondRole)?;
    best.ttl = best.ttl.min(world.ttl.unwrap_or(u32::MAX));
    if world.bound {
        best.ttl = best.ttl.min(u32::try_from(world.remaining).unwrap_or(u32::MAX));
    }
    if best.ttl < MIN_TTL.as_secs() {
        return Err(Reason::LifetimeTooShort);
    }
    Ok(best)
}

/// Equal, or equal but for a last segment that is any.
fn same(pattern: &str, found: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => found
            .strip_prefix(prefix)
            .is_some_and(|rest| !rest.is_empty() && !rest.contains('/')),
        None => pattern == found,
    }
}

fn spec(name: &str) -> FieldSpec {
    FieldSpec {
        name: name.into(),
        field: FIELDS.iter().find(|f| f.name == name).unwrap(),
    }
}

fn matcher(field: &str, values: &[&str]) -> Matcher {
    let spec = spec(field);
    let patterns = values.iter().map(|v| Pattern::parse(&spec, v).unwrap());
    Matcher::new(&spec, patterns.collect()).unwrap()
}

fn permission(namespace: &str, access: Access) -> Permission {
    Permission {
        namespace: Some(namespace.parse().unwrap()),
        access,
    }
}

fn rule(line: &Line) -> Rule {
    Rule {
        name: line.name.parse().unwrap(),
        mode: if line.observe { Mode::Observe } else { Mode::Enforce },
        matchers: line.matches.iter().map(|(f, v)| matcher(f, v)).collect(),
        when: vec![],
        role: line.role.parse().unwrap(),
        ttl: line.ttl.map(Ttl::secs),
        only: line.only.as_ref().map(|o| o.iter().map(|n| n.parse().unwrap()).collect()),
        file: "d.yaml".into(),
        line: 1,
    }
}

fn domain(name: &str, world: &World) -> DomainPolicy {
    let forbid = (!world.forbidden.is_empty()).then(|| Forbid {
        matcher: matcher("ref", &world.forbidden),
        line: 1,
    });
    DomainPolicy {
        name: name.parse().unwrap(),
        demands: Demands {
            must_pin: &[&["id"], &["path"]],
            pinned: vec![],
            prefixed: &["path"],
            untrusted: UNTRUSTED,
        },
        bind_to_evidence_life: world.bound,
        explain: Explain::Full,
        forbid: forbid.into_iter().collect(),
        rules: world.lines.iter().map(rule).collect(),
        tests: vec![],
        file: "d.yaml".into(),
        line: 1,
    }
}

fn target(name: &str, namespaces: &[&str]) -> Arc<Target> {
    Arc::new(Target {
        name: name.parse().unwrap(),
        resource: None,
        address: "temporal.test:7233".into(),
        audience: "temporal".into(),
        namespaces: namespaces.iter().map(|n| n.parse().unwrap()).collect(),
        max_ttl: Ttl::secs(TARGET_TTL),
        signing: TargetSigning::Es256,
        jwks_refresh: Ttl::secs(60),
        key_lifetime: Ttl::secs(86_400),
        permissions_claim: "permissions".into(),
    })
}

fn roles() -> Vec<Role> {
    let role = |(name, target, permissions, max): &(&str, &str, &[(&str, Access)], u32)| Role {
        name: name.parse().unwrap(),
        target: target.parse().unwrap(),
        permissions: permissions.iter().map(|(n, a)| permission(n, *a)).collect(),
        max_ttl: Ttl::secs(*max),
        file: "roles.yaml".into(),
        line: 1,
    };
    ROLES.iter().map(role).collect()
}

fn policy(domains: Vec<DomainPolicy>) -> Policy {
    let targets = vec![target("prod", &["a", "b", "c"]), target("other", &["a"])];
    Policy::new(targets, roles(), domains).unwrap_or_else(|p| panic!("{p:#?}"))
}

fn attributes(world: &World) -> Attributes {
    let attribute = |(name, value): &(&'static str, &'static str)| Attribute {
        name: (*name).into(),
        value: Value::Text((*value).into()),
        asserted_by: spec(name).asserted_by,
    };
    world.identity.iter().map(attribute).collect()
}

fn ask(world: &World) -> Ask {
    Ask {
        target: world.target.parse().unwrap(),
        role: world.role.map(|r| r.parse().unwrap()),
        narrow: world.narrow.iter().map(|(n, a)| permission(n, *a)).collect(),
        ttl: world.ttl.map(Ttl::secs),
    }
}

fn decide(policy: &Policy, world: &World) -> Result<Outcome, Reason> {
    let attributes = attributes(world);
    let facts = Facts {
        subject: "d:x",
        attributes: &attributes,
        remaining: Some(world.remaining),
    };
    match policy.simulate("d", &facts, &ask(world)) {
        Ok(granted) => Ok(Outcome {
            rule: granted.rule.to_string(),
            role: granted.role.to_string(),
            permissions: granted
                .permissions
                .iter()
                .map(|p| (p.namespace.as_ref().unwrap().to_string(), p.access))
                .collect(),
            ttl: granted.ttl.as_secs(),
        }),
        Err(denial) => Err(denial.reason),
    }
}

fn pick<T: Clone + std::fmt::Debug + 'static>(from: &[T]) -> impl Strategy<Value = T> + use<T> {
    prop::sample::select(from.to_vec())
}

fn subset(from: &[&'static str]) -> impl Strategy<Value = Vec<&'static str>> + use<> {
    prop::sample::subsequence(from.to_vec(), 1..=from.len())
}

const ACCESS: &[Access] = &[Access::Read, Access::Write, Access::Admin];
const IDS: &[&str] = &["1", "2"];
const PATHS: &[&str] = &["/n/x", "/n/y", "/m/x", "/n/x/y"];
const PATTERNS: &[&str] = &["/n/x", "/n/*", "/m/x"];
const REFS: &[&str] = &["main", "dev"];

fn line() -> impl Strategy<Value = Line> {
    let pin = prop_oneof![
        subset(IDS).prop_map(|v| ("id", v)),
        subset(PATTERNS).prop_map(|v| ("path", v)),
    ];
    let namespaces = |role| if role == "wide" { &["a", "b", "c"][..] } else { &["a"] };
    let role = pick(&["wide", "wide", "slim", "far"]);
    let only = role.prop_flat_map(move |r| (Just(r), prop::option::weighted(0.3, subset(namespaces(r)))));
    (
        any::<bool>(),
        pin,
        prop::option::weighted(0.3, subset(REFS)),
        any::<bool>(),
        prop::option::of(pick(&[30, 45, 60])),
        only,
    )
        .prop_map(|(observe, pin, refs, event, ttl, (role, only))| {
            let mut matches = vec![pin];
            matches.extend(refs.map(|v| ("ref", v)));
            // Only a rule that reads may name a fork.
            let values = if role == "slim" { vec!["fork", "push"] } else { vec!["push"] };
            matches.extend(event.then_some(("event", values)));
            Line {
                name: String::new(),
                observe: observe && event,
                matches,
                role,
                ttl,
                only,
            }
        })
}

fn world() -> impl Strategy<Value = World> {
    let lines = prop::collection::vec(line(), 0..7).prop_map(|mut lines| {
        for (i, line) in lines.iter_mut().enumerate() {
            line.name = format!("r{i}");
        }
        lines
    });
    let identity = (pick(IDS), pick(PATHS), pick(REFS), pick(&["push", "push", "fork"]));
    let identity = (identity, any::<[bool; 4]>()).prop_map(|((i, p, r, e), has)| {
        let all = [("id", i), ("path", p), ("ref", r), ("event", e)];
        // Most attributes are there most of the time.
        let kept = all.into_iter().zip(has).filter(|((f, _), h)| *h || *f == "id" || *f == "path");
        kept.map(|(a, _)| a).collect::<Vec<_>>()
    });
    let narrow = prop::collection::vec((pick(&["a", "b", "c", "d"]), pick(ACCESS)), 0..3);
    let ask = (
        pick(&["prod", "prod", "prod", "other", "nowhere"]),
        prop::option::of(pick(&["wide", "wide", "slim", "far", "none"])),
        prop_oneof![2 => Just(vec![]), 3 => narrow],
        prop::option::of(pick(&[20, 30, 50, 3600])),
    );
    let forbidden = prop_oneof![4 => Just(vec![]), 1 => subset(REFS)];
    (lines, forbidden, any::<bool>(), pick(&[10, 29, 30, 300, 100_000]), identity, ask).prop_map(
        |(lines, forbidden, bound, remaining, identity, (target, role, narrow, ttl))| World {
            lines,
            forbidden,
            bound,
            remaining,
            identity,
            target,
            role,
            narrow,
            ttl,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn the_decision_is_the_models(world in world()) {
        prop_assert_eq!(decide(&policy(vec![domain("d", &world)]), &world), model(&world));
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
        seen.insert(model(&world).map_or_else(Reason::code, |_| "granted"));
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

/// A policy for the trust domain of the testkit's Kubernetes cluster.
fn cluster(bound: bool) -> (Arc<evidence::TrustDomain>, Policy) {
    let trusted = testkit::domain("kubernetes", &[]);
    let field = |name| trusted.source.field(name).unwrap();
    let exact = |name: &str, value: &str| {
        let spec = field(name);
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
            matchers: vec![exact("namespace", "billing"), exact("serviceAccount", "worker")],
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
    assert_eq!((grant.rule().as_str(), grant.place()), ("worker", ("k.yaml", 9)));
    assert_eq!((grant.role().as_str(), grant.target().name.as_str()), ("wide", "prod"));
    assert_eq!((grant.permissions().len(), grant.ttl().as_secs()), (3, TARGET_TTL));
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
        decision.map(|g| g.ttl().as_secs()).map_err(|r| r.denial.reason)
    };
    // The token expires 3600 seconds after it was issued.
    assert_eq!(ttl(true, 3500), Ok(100));
    assert_eq!(ttl(false, 3500), Ok(TARGET_TTL));
    assert_eq!(ttl(true, 3570), Ok(30));
    assert_eq!(ttl(true, 3571), Err(Reason::LifetimeTooShort));
    assert_eq!(ttl(true, 9999), Err(Reason::LifetimeTooShort));
}
