//! Small worlds, and what is decided in them.

use std::{collections::BTreeSet, sync::Arc};

use assay::{
    model::{
        Access, Asserter, Attribute, Attributes, Field, FieldKind, FieldSpec, Permission, Reason,
        Target, TargetSigning, Ttl, Value,
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
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) observe: bool,
    pub(crate) matches: Vec<(&'static str, Vec<&'static str>)>,
    pub(crate) role: &'static str,
    pub(crate) ttl: Option<u32>,
    pub(crate) only: Option<Vec<&'static str>>,
}

/// Name, target, permissions, longest lifetime.
type RoleLine = (
    &'static str,
    &'static str,
    &'static [(&'static str, Access)],
    u32,
);

/// The roles of every world.
pub(crate) const ROLES: &[RoleLine] = &[
    (
        "wide",
        "prod",
        &[
            ("a", Access::Admin),
            ("b", Access::Write),
            ("c", Access::Read),
        ],
        900,
    ),
    ("slim", "prod", &[("a", Access::Read)], 600),
    ("far", "other", &[("a", Access::Write)], 60),
];
pub(crate) const TARGET_TTL: u32 = 700;

/// Everything that a decision depends on.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) lines: Vec<Line>,
    pub(crate) forbidden: Vec<&'static str>,
    pub(crate) bound: bool,
    pub(crate) remaining: u64,
    pub(crate) identity: Vec<(&'static str, &'static str)>,
    pub(crate) target: &'static str,
    pub(crate) role: Option<&'static str>,
    pub(crate) narrow: Vec<(&'static str, Access)>,
    pub(crate) ttl: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) rule: String,
    pub(crate) role: String,
    pub(crate) permissions: BTreeSet<(String, Access)>,
    pub(crate) ttl: u32,
}

/// The whole decision, obviously.
pub(crate) fn obvious(world: &World) -> Result<Outcome, Reason> {
    let has = |field: &str| {
        world
            .identity
            .iter()
            .find(|(f, _)| *f == field)
            .map(|(_, v)| *v)
    };
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
            values
                .iter()
                .any(|v| has(field).is_some_and(|found| same(v, found)))
        });
        let trusted =
            line.matches.iter().any(|(f, _)| *f == "event") || has("event") != Some("fork");
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
    if granting
        .iter()
        .map(|l| l.role)
        .collect::<BTreeSet<_>>()
        .len()
        > 1
    {
        return Err(Reason::ScopeAmbiguous);
    }
    // What one line alone would give: everything asked for, or nothing.
    let alone = |line: &Line| {
        let (_, _, permissions, max) = of(line.role);
        let allowed = permissions
            .iter()
            .filter(|(n, _)| line.only.as_ref().is_none_or(|o| o.contains(n)));
        let allowed: Vec<_> = allowed.collect();
        let within = |(n, a): &(&str, Access)| allowed.iter().any(|(m, b)| m == n && a <= b);
        let permissions = if world.narrow.is_empty() {
            allowed.iter().map(|(n, a)| ((*n).to_owned(), *a)).collect()
        } else if world.narrow.iter().all(within) {
            // One item per namespace: the highest that was asked.
            let top = |n: &str| {
                world
                    .narrow
                    .iter()
                    .filter(|(m, _)| *m == n)
                    .map(|(_, a)| *a)
                    .max()
            };
            world
                .narrow
                .iter()
                .map(|(n, _)| ((*n).to_owned(), top(n).unwrap()))
                .collect()
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
        let width = if world.narrow.is_empty() {
            o.permissions.len()
        } else {
            0
        };
        (width, o.ttl, std::cmp::Reverse(o.rule.clone()))
    });
    let mut best = best.ok_or(Reason::ScopeBeyondRole)?;
    best.ttl = best.ttl.min(world.ttl.unwrap_or(u32::MAX));
    if world.bound {
        best.ttl = best
            .ttl
            .min(u32::try_from(world.remaining).unwrap_or(u32::MAX));
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
        mode: if line.observe {
            Mode::Observe
        } else {
            Mode::Enforce
        },
        matchers: line.matches.iter().map(|(f, v)| matcher(f, v)).collect(),
        when: vec![],
        role: line.role.parse().unwrap(),
        ttl: line.ttl.map(Ttl::secs),
        only: line
            .only
            .as_ref()
            .map(|o| o.iter().map(|n| n.parse().unwrap()).collect()),
        file: "d.yaml".into(),
        line: 1,
    }
}

pub(crate) fn domain(name: &str, world: &World) -> DomainPolicy {
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
    let role = |(name, target, permissions, max): &RoleLine| Role {
        name: name.parse().unwrap(),
        target: target.parse().unwrap(),
        permissions: permissions.iter().map(|(n, a)| permission(n, *a)).collect(),
        max_ttl: Ttl::secs(*max),
        file: "roles.yaml".into(),
        line: 1,
    };
    ROLES.iter().map(role).collect()
}

pub(crate) fn policy(domains: Vec<DomainPolicy>) -> Policy {
    let targets = vec![target("prod", &["a", "b", "c"]), target("other", &["a"])];
    Policy::new(targets, roles(), domains).unwrap_or_else(|p| panic!("{p:#?}"))
}

pub(crate) fn attributes(world: &World) -> Attributes {
    let attribute = |(name, value): &(&'static str, &'static str)| Attribute {
        name: (*name).into(),
        value: Value::Text((*value).into()),
        asserted_by: spec(name).asserted_by,
    };
    world.identity.iter().map(attribute).collect()
}

pub(crate) fn ask(world: &World) -> Ask {
    Ask {
        target: world.target.parse().unwrap(),
        role: world.role.map(|r| r.parse().unwrap()),
        narrow: world
            .narrow
            .iter()
            .map(|(n, a)| permission(n, *a))
            .collect(),
        ttl: world.ttl.map(Ttl::secs),
    }
}

pub(crate) fn decide(policy: &Policy, world: &World) -> Result<Outcome, Reason> {
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
    let namespaces = |role| {
        if role == "wide" {
            &["a", "b", "c"][..]
        } else {
            &["a"]
        }
    };
    let role = pick(&["wide", "wide", "slim", "far"]);
    let only =
        role.prop_flat_map(move |r| (Just(r), prop::option::weighted(0.3, subset(namespaces(r)))));
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
            let values = if role == "slim" {
                vec!["fork", "push"]
            } else {
                vec!["push"]
            };
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

pub(crate) fn world() -> impl Strategy<Value = World> {
    let lines = prop::collection::vec(line(), 0..7).prop_map(|mut lines| {
        for (i, line) in lines.iter_mut().enumerate() {
            line.name = format!("r{i}");
        }
        lines
    });
    let identity = (
        pick(IDS),
        pick(PATHS),
        pick(REFS),
        pick(&["push", "push", "fork"]),
    );
    let identity = (identity, any::<[bool; 4]>()).prop_map(|((i, p, r, e), has)| {
        let all = [("id", i), ("path", p), ("ref", r), ("event", e)];
        // Most attributes are there most of the time.
        let kept = all
            .into_iter()
            .zip(has)
            .filter(|((f, _), h)| *h || *f == "id" || *f == "path");
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
    (
        lines,
        forbidden,
        any::<bool>(),
        pick(&[10, 29, 30, 300, 100_000]),
        identity,
        ask,
    )
        .prop_map(
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
