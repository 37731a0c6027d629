//! The decision, pure: an identity and an ask in, a grant or a denial out.
//!
//! SKELETON CONTRACT (owner: policy)

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    base::clock::Moment,
    evidence::{Identity, Preset, Source, Supposed},
    model::{
        ConditionName, Permission, Reason, RoleName, RuleName, Target, TargetName, TrustDomainName,
        Ttl,
    },
};

/// What the caller wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    pub target: TargetName,
    pub role: Option<RoleName>,
    /// `namespace:permission` items that narrow the role.
    pub narrow: Vec<Permission>,
    /// A shorter lifetime than the rules give.
    pub ttl: Option<Ttl>,
}

/// How much a caller is told about a refusal by policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Explain {
    /// The reason only.
    None,
    /// Which field, and the caller's own value.
    #[default]
    Mismatch,
    /// Also what the rule wants.
    Full,
}

/// A role as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    pub name: RoleName,
    pub target: TargetName,
    pub permissions: Vec<Permission>,
    pub max_ttl: Ttl,
}

/// One value pattern of a matcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    _private: (),
}

impl Pattern {
    /// Exact, or a glob where the field's kind allows one.
    pub fn parse(_field: &crate::model::Field, _text: &str) -> Result<Self, String> {
        todo!()
    }
    pub fn is_exact(&self) -> bool {
        todo!()
    }
}

/// A field and the patterns of which one must match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matcher {
    pub field: Arc<str>,
    pub any_of: Vec<Pattern>,
}

/// A named CEL condition, compiled, within the cost limit.
pub struct Condition {
    pub name: ConditionName,
}

impl Condition {
    pub fn compile(_name: ConditionName, _source: &str, _preset: &Preset) -> Result<Self, String> {
        todo!()
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    Observe,
    #[default]
    Enforce,
}

/// One rule.
pub struct Rule {
    pub name: RuleName,
    pub mode: Mode,
    pub matchers: Vec<Matcher>,
    pub when: Vec<Condition>,
    pub role: RoleName,
    pub ttl: Option<Ttl>,
    /// Namespaces that this rule narrows the role to.
    pub only: Option<Vec<crate::model::Namespace>>,
    /// Where it stands, for traces: file and line.
    pub file: Arc<str>,
    pub line: u32,
}

/// A forbidden value: field and patterns.
pub struct Forbid {
    pub field: Arc<str>,
    pub any_of: Vec<Pattern>,
}

/// One trust domain's part of the policy.
pub struct DomainPolicy {
    pub name: TrustDomainName,
    pub preset: &'static Preset,
    pub explain: Explain,
    pub forbid: Vec<Forbid>,
    pub rules: Vec<Rule>,
    pub tests: Vec<Test>,
}

/// A test in the file.
pub struct Test {
    pub line: u32,
    pub given: BTreeMap<String, crate::evidence::Setting>,
    pub ask_role: Option<RoleName>,
    pub expect: Expect,
}

pub enum Expect {
    Allow,
    Deny {
        reason: Option<Reason>,
        field: Option<String>,
    },
}

/// The whole policy: immutable.
pub struct Policy {
    _private: (),
}

impl Policy {
    /// Problems that only show across documents: a role that no target has, a dangerous shape (DESIGN 5).
    pub fn new(
        _targets: Vec<Arc<Target>>,
        _roles: Vec<Role>,
        _domains: Vec<DomainPolicy>,
    ) -> Result<Self, Vec<PolicyProblem>> {
        todo!()
    }
    pub fn target(&self, _name: &str) -> Option<&Arc<Target>> {
        todo!()
    }
    pub fn targets(&self) -> &[Arc<Target>] {
        todo!()
    }
    pub fn domain(&self, _name: &str) -> Option<&DomainPolicy> {
        todo!()
    }
    /// SHA-256 over the canonical form: `policy_digest`.
    pub fn digest(&self) -> &str {
        todo!()
    }
    /// Decides for a proven identity. Consumes it: a grant holds it.
    pub fn decide(&self, _identity: Identity, _ask: &Ask, _now: Moment) -> Result<Grant, Denial> {
        todo!()
    }
    /// Decides for a supposed identity: same rules, nothing mintable.
    pub fn suppose(&self, _supposed: &Supposed, _ask: &Ask) -> Result<Supposition, Denial> {
        todo!()
    }
    /// Every rule and field that is compared, for `explain`.
    pub fn trace(
        &self,
        _domain: &str,
        _attributes: &crate::model::Attributes,
        _ask: &Ask,
    ) -> Trace {
        todo!()
    }
    /// Runs the tests in the files.
    pub fn run_tests(
        &self,
        _sources: &dyn Fn(&TrustDomainName) -> Option<Source>,
    ) -> Vec<TestOutcome> {
        todo!()
    }
}

pub struct PolicyProblem {
    pub file: Arc<str>,
    pub line: u32,
    pub what: String,
    pub hint: Option<String>,
}

pub struct TestOutcome {
    pub domain: TrustDomainName,
    pub file: Arc<str>,
    pub line: u32,
    pub passed: bool,
    pub what: String,
}

/// A positive decision about a proven identity. Only this room makes one.
pub struct Grant {
    _private: (),
}

impl Grant {
    pub fn identity(&self) -> &Identity {
        todo!()
    }
    pub fn rule(&self) -> &RuleName {
        todo!()
    }
    pub fn role(&self) -> &RoleName {
        todo!()
    }
    pub fn target(&self) -> &Arc<Target> {
        todo!()
    }
    pub fn permissions(&self) -> &[Permission] {
        todo!()
    }
    /// min(asked, rule, role, target, remaining evidence life where the source says so).
    pub fn ttl(&self) -> Ttl {
        todo!()
    }
}

/// A positive decision about a supposed identity.
pub struct Supposition {
    pub rule: RuleName,
    pub role: RoleName,
    pub permissions: Vec<Permission>,
    pub ttl: Ttl,
}

/// A negative decision.
pub struct Denial {
    pub reason: Reason,
    /// The nearest rule's first failing field.
    pub mismatch: Option<Mismatch>,
    /// For SCOPE_AMBIGUOUS: the caller's own roles.
    pub roles: Vec<RoleName>,
    pub trace: Trace,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    pub rule: Option<RuleName>,
    pub field: String,
    pub found: Option<String>,
    pub wanted: Option<String>,
    pub hint: Option<String>,
}

/// Every rule and field that was compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    pub forbid: Vec<FieldTrace>,
    pub rules: Vec<RuleTrace>,
}
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleTrace {
    pub rule: RuleName,
    pub file: Arc<str>,
    pub line: u32,
    pub mode: Mode,
    pub role: RoleName,
    pub matched: bool,
    pub fields: Vec<FieldTrace>,
}
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldTrace {
    pub field: String,
    pub found: Option<String>,
    pub wanted: String,
    pub asserted_by: Option<&'static str>,
    pub matched: bool,
    pub hint: Option<String>,
}
