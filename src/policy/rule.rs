//! What administrators write: roles, rules, and the tests beside them.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    evidence::{Setting, Source},
    model::{Namespace, Permission, Reason, RoleName, RuleName, TargetName, TrustDomainName, Ttl},
};

use super::{Condition, Explain, Forbid, Matcher};

/// A role as configured: what a credential may do on one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Its name, unique in the whole policy: rules name a role and nothing else.
    pub name: RoleName,
    /// The target that it is on.
    pub target: TargetName,
    /// What it allows, at most one permission per namespace.
    pub permissions: Vec<Permission>,
    /// Longest lifetime of a credential with this role.
    pub max_ttl: Ttl,
    /// Its file.
    pub file: Arc<str>,
    /// Its line.
    pub line: u32,
}

/// Whether a rule grants, or only shows what it would grant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Recorded, grants nothing.
    Observe,
    /// Grants.
    #[default]
    Enforce,
}

impl Mode {
    /// The word in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Enforce => "enforce",
        }
    }
}

/// One rule: an identity that all of it matches is granted one role.
#[derive(Debug)]
pub struct Rule {
    /// Its name, unique in its trust domain.
    pub name: RuleName,
    /// Whether it grants.
    pub mode: Mode,
    /// Fields, all of which must match.
    pub matchers: Vec<Matcher>,
    /// Conditions, all of which must hold besides.
    pub when: Vec<Condition>,
    /// The role that it grants.
    pub role: RoleName,
    /// A shorter lifetime than the role's.
    pub ttl: Option<Ttl>,
    /// Namespaces that this rule narrows the role to.
    pub only: Option<Vec<Namespace>>,
    /// Its file.
    pub file: Arc<str>,
    /// Its line.
    pub line: u32,
}

/// What a source demands of every rule about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demands {
    /// Alternatives: a rule must pin every field of at least one list.
    pub must_pin: &'static [&'static [&'static str]],
    /// Fields that the trust domain itself pins.
    pub pinned: Vec<&'static str>,
    /// Fields that a wildcard behind a whole literal segment pins too: names
    /// in a hierarchy that one authority gives out.
    pub prefixed: &'static [&'static str],
    /// Values of a field that mean "anyone can trigger this".
    pub untrusted: &'static [(&'static str, &'static [&'static str])],
}

impl Demands {
    /// What this source demands.
    pub fn of(source: &Source) -> Self {
        Self {
            must_pin: source.must_pin(),
            pinned: source.pinned().to_vec(),
            // The trust domain's own SPIRE server gives out every path under
            // it; nobody else can be behind `/ns/payments/job/*`.
            prefixed: match source {
                Source::Spiffe(_) => &["path"],
                Source::Kubernetes(_) | Source::GithubActions(_) | Source::Oidc(_) => &[],
            },
            untrusted: source.preset().untrusted,
        }
    }
}

/// One trust domain's part of the policy.
#[derive(Debug)]
pub struct DomainPolicy {
    /// Its name.
    pub name: TrustDomainName,
    /// What its source demands of rules.
    pub demands: Demands,
    /// Whether a credential may not outlive the evidence.
    pub bind_to_evidence_life: bool,
    /// How much a refused caller is told.
    pub explain: Explain,
    /// What is refused before any rule.
    pub forbid: Vec<Forbid>,
    /// Its rules, in any order: none is before another.
    pub rules: Vec<Rule>,
    /// Its tests.
    pub tests: Vec<Test>,
    /// Its file.
    pub file: Arc<str>,
    /// Where the trust domain begins in it.
    pub line: u32,
}

/// A test in the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Test {
    /// Its line in the trust domain's file.
    pub line: u32,
    /// The supposed identity, by field.
    pub given: BTreeMap<String, Setting>,
    /// The role that it asks for.
    pub ask_role: Option<RoleName>,
    /// What should come out.
    pub expect: Expect,
}

/// What a test expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// A grant.
    Allow,
    /// A denial.
    Deny {
        /// With this reason, if the test says so.
        reason: Option<Reason>,
        /// By this field, if the test says so.
        field: Option<String>,
    },
}
