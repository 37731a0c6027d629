//! What a decision comes out as.

use std::sync::Arc;

use crate::{
    evidence::Identity,
    model::{Permission, Reason, RoleName, RuleName, Target, Ttl},
};

use super::{Mismatch, Trace};

/// A positive decision about a proven identity. Only this room makes one.
///
/// It is read through its accessors:
///
/// ```
/// fn who(grant: &assay::policy::Grant) -> &str {
///     grant.identity().subject()
/// }
/// ```
///
/// It cannot be put together elsewhere:
///
/// ```compile_fail,E0451
/// fn forge(real: assay::policy::Grant, identity: assay::evidence::Identity) -> assay::policy::Grant {
///     assay::policy::Grant { identity, ..real }
/// }
/// ```
///
/// nor changed:
///
/// ```compile_fail,E0616
/// fn widen(real: &mut assay::policy::Grant, other: assay::policy::Grant) {
///     real.terms = other.terms;
/// }
/// ```
///
/// nor copied, so that one decision is one credential:
///
/// ```compile_fail,E0599
/// fn copy(real: &assay::policy::Grant) -> assay::policy::Grant {
///     assay::policy::Grant::clone(real)
/// }
/// ```
///
/// and whoever takes it, takes it away:
///
/// ```
/// fn mint(_: assay::policy::Grant) {}
/// fn once(grant: assay::policy::Grant) {
///     mint(grant);
/// }
/// ```
///
/// ```compile_fail,E0382
/// fn mint(_: assay::policy::Grant) {}
/// fn twice(grant: assay::policy::Grant) {
///     mint(grant);
///     mint(grant);
/// }
/// ```
///
/// A decision about an identity that nobody proved is not one:
///
/// ```compile_fail,E0308
/// fn mint(_: assay::policy::Grant) {}
/// fn promote(supposition: assay::policy::Supposition) {
///     mint(supposition);
/// }
/// ```
///
/// ```compile_fail,E0277
/// fn promote(supposition: assay::policy::Supposition) -> assay::policy::Grant {
///     supposition.into()
/// }
/// ```
#[derive(Debug)]
pub struct Grant {
    pub(super) identity: Identity,
    pub(super) target: Arc<Target>,
    pub(super) terms: Terms,
}

/// What is granted, whoever it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) rule: RuleName,
    pub(super) file: Arc<str>,
    pub(super) line: u32,
    pub(super) role: RoleName,
    pub(super) permissions: Arc<[Permission]>,
    pub(super) ttl: Ttl,
    pub(super) observed: Vec<RuleName>,
}

impl Grant {
    /// Who it is for.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The one rule that grants it.
    pub fn rule(&self) -> &RuleName {
        &self.terms.rule
    }

    /// Where that rule stands: file and line.
    pub fn place(&self) -> (&str, u32) {
        (&self.terms.file, self.terms.line)
    }

    /// The role.
    pub fn role(&self) -> &RoleName {
        &self.terms.role
    }

    /// The target.
    pub fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// What the credential may say, at most one permission per namespace.
    pub fn permissions(&self) -> &[Permission] {
        &self.terms.permissions
    }

    /// The shortest of what was asked, the rule, the role, the target, and the
    /// evidence's remaining life where the trust domain says so.
    pub fn ttl(&self) -> Ttl {
        self.terms.ttl
    }

    /// Rules in observe mode that matched too, for the audit record.
    pub fn observed(&self) -> &[RuleName] {
        &self.terms.observed
    }
}

/// A positive decision about a supposed identity: nothing can be minted for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supposition {
    /// The one rule that would grant it.
    pub rule: RuleName,
    /// The role.
    pub role: RoleName,
    /// What a credential could say.
    pub permissions: Arc<[Permission]>,
    /// How long it could live.
    pub ttl: Ttl,
    /// Rules in observe mode that matched too.
    pub observed: Vec<RuleName>,
}

impl From<Terms> for Supposition {
    fn from(terms: Terms) -> Self {
        Self {
            rule: terms.rule,
            role: terms.role,
            permissions: terms.permissions,
            ttl: terms.ttl,
            observed: terms.observed,
        }
    }
}

/// A negative decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Why.
    pub reason: Reason,
    /// The one difference that it is about, as a rule: the nearest rule's
    /// first. Complete; [`Mismatch::shown`] cuts it down for the caller.
    pub mismatch: Option<Mismatch>,
    /// For `SCOPE_AMBIGUOUS`: the caller's own roles.
    pub roles: Vec<RoleName>,
    /// Everything that was compared.
    pub trace: Trace,
}

/// A denial, with the identity that it is about: the audit record names it.
#[derive(Debug)]
pub struct Refused {
    /// Who was refused.
    pub identity: Identity,
    /// Why.
    pub denial: Denial,
}
