//! Small policies for the tests of this room.

use std::sync::Arc;

use crate::{
    evidence::Setting,
    model::{
        Asserter, Attribute, Attributes, Field, FieldKind, FieldSpec, Permission, Target,
        TargetSigning, Ttl, Value,
    },
};

use super::{
    Ask, Condition, Demands, DomainPolicy, Explain, Facts, Forbid, Matcher, Mode, Policy, Role,
    Rule, Vocabulary,
};

/// A field as a source would describe it.
pub(super) fn spec(name: &str, kind: FieldKind, asserted_by: Asserter) -> FieldSpec {
    let pins = name.split('.').next().unwrap_or_default().to_owned();
    FieldSpec {
        name: name.into(),
        field: Box::leak(Box::new(Field {
            name: pins.leak(),
            doc: "A field.",
            kind,
            asserted_by,
        })),
    }
}

/// The fields of the tests' source. `claims.NAME` and any other name exist too.
pub(super) fn field(name: &str) -> FieldSpec {
    let (kind, asserted_by) = match name {
        "path" => (FieldKind::Segments(&['/']), Asserter::Issuer),
        "ref" => (FieldKind::Segments(&['/']), Asserter::Caller),
        "actor" => (FieldKind::Exact, Asserter::Caller),
        "environment" => (FieldKind::Exact, Asserter::Admin),
        "protected" => (FieldKind::Flag, Asserter::Issuer),
        "tags" => (FieldKind::Contains, Asserter::Admin),
        _ if name.starts_with("claims.") => (FieldKind::Any, Asserter::Issuer),
        _ => (FieldKind::Exact, Asserter::Issuer),
    };
    spec(name, kind, asserted_by)
}

pub(super) fn matcher(name: &str, values: &[&str]) -> Matcher {
    let values = values.iter().map(|v| (*v).to_owned()).collect();
    Matcher::from_setting(&field(name), &Setting::Texts(values)).unwrap()
}

pub(super) fn rule(name: &str, role: &str, matches: &[(&str, &str)]) -> Rule {
    Rule {
        name: name.parse().unwrap(),
        mode: Mode::Enforce,
        matchers: matches.iter().map(|(f, v)| matcher(f, &[v])).collect(),
        when: vec![],
        role: role.parse().unwrap(),
        ttl: None,
        only: None,
        file: "d.yaml".into(),
        line: 7,
    }
}

/// A condition over the tests' source.
pub(super) fn condition(source: &str) -> Condition {
    Condition::compile("checked".parse().unwrap(), source, &vocabulary()).unwrap()
}

pub(super) fn vocabulary() -> Vocabulary<'static> {
    Vocabulary {
        field: &known_field,
        names: NAMES,
    }
}

fn known_field(name: &str) -> Option<FieldSpec> {
    NAMES.contains(&name).then(|| field(name))
}

const NAMES: &[&str] = &[
    "id",
    "path",
    "ref",
    "environment",
    "protected",
    "tags",
    "claims.team",
];

pub(super) fn permission(text: &str) -> Permission {
    let (namespace, access) = text.split_once(':').unwrap();
    Permission {
        namespace: (namespace != "system").then(|| namespace.parse().unwrap()),
        access: access.parse().unwrap(),
    }
}

pub(super) fn permissions(texts: &[&str]) -> Vec<Permission> {
    texts.iter().map(|t| permission(t)).collect()
}

pub(super) fn role(name: &str, target: &str, allowed: &[&str]) -> Role {
    Role {
        name: name.parse().unwrap(),
        target: target.parse().unwrap(),
        permissions: permissions(allowed),
        max_ttl: Ttl::secs(1800),
        file: "roles.yaml".into(),
        line: 3,
    }
}

pub(super) fn target(name: &str, namespaces: &[&str]) -> Target {
    Target {
        name: name.parse().unwrap(),
        resource: None,
        address: "temporal.test:7233".into(),
        audience: "temporal".into(),
        namespaces: namespaces.iter().map(|n| n.parse().unwrap()).collect(),
        max_ttl: Ttl::secs(3600),
        signing: TargetSigning::Es256,
        jwks_refresh: Ttl::secs(60),
        key_lifetime: Ttl::secs(86_400),
        permissions_claim: "permissions".into(),
    }
}

/// A trust domain whose rules must pin `id`, `path`, or a claim.
pub(super) fn domain(name: &str) -> DomainPolicy {
    DomainPolicy {
        name: name.parse().unwrap(),
        demands: Demands {
            must_pin: &[&["id"], &["path"], &["claims"]],
            pinned: vec![],
            prefixed: &["path"],
            untrusted: &[("event", &["pull_request", "issue_comment"])],
        },
        bind_to_evidence_life: false,
        explain: Explain::Full,
        forbid: vec![],
        rules: vec![],
        tests: vec![],
        file: "d.yaml".into(),
        line: 1,
    }
}

pub(super) fn forbid(name: &str, values: &[&str]) -> Forbid {
    Forbid {
        matcher: matcher(name, values),
        line: 5,
    }
}

/// Attributes of text, except that `true` and `false` are flags, and values
/// with a comma are lists.
pub(super) fn attributes(given: &[(&str, &str)]) -> Attributes {
    given
        .iter()
        .map(|(name, text)| {
            let spec = field(name);
            Attribute {
                asserted_by: spec.asserted_by,
                name: spec.name,
                value: match *text {
                    "true" | "false" => Value::Flag(*text == "true"),
                    text if text.contains(',') => {
                        Value::List(text.split(',').map(Into::into).collect())
                    }
                    text => Value::Text(text.into()),
                },
            }
        })
        .collect()
}

/// Target `prod` with roles `worker` and `reader`, target `other` with
/// `stranger`, and one trust domain `d` with these rules.
pub(super) fn policy(rules: Vec<Rule>) -> Policy {
    policy_of(DomainPolicy {
        rules,
        ..domain("d")
    })
}

pub(super) fn policy_of(domain: DomainPolicy) -> Policy {
    let targets = vec![
        Arc::new(target("prod", &["a", "b"])),
        Arc::new(target("other", &["a"])),
    ];
    Policy::new(targets, roles(), vec![domain]).unwrap()
}

pub(super) fn roles() -> Vec<Role> {
    vec![
        role("worker", "prod", &["a:write", "b:write"]),
        role("reader", "prod", &["a:read"]),
        role("stranger", "other", &["a:read"]),
    ]
}

pub(super) fn ask(role: Option<&str>) -> Ask {
    Ask {
        role: role.map(|r| r.parse().unwrap()),
        ..Ask::of("prod".parse().unwrap())
    }
}

pub(super) fn facts(attributes: &Attributes) -> Facts<'_> {
    Facts {
        subject: "d:somebody",
        attributes,
        remaining: None,
    }
}
