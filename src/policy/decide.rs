//! The decision itself, on facts: who proved them is the caller's business.
//!
//! Forbidden values come first and beat every rule. Then every candidate rule
//! is asked, and none is before another: that one rule of several wins is
//! settled by what it gives, never by where it stands.

use std::sync::Arc;

use crate::model::{Attributes, Permission, Reason, RoleName, RuleName, Ttl, Value};

use super::{
    Ask, DomainPolicy, Mode, Role, Rule,
    grant::Terms,
    index::{Compiled, DomainIndex, Slots, TargetIndex},
    narrow::{beyond, narrowed},
};

/// Shortest lifetime of a credential: less is over before it is used.
pub const MIN_TTL: Ttl = Ttl::secs(30);

/// What is known about an identity when it is decided.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The canonical subject.
    pub subject: &'a str,
    /// Its attributes.
    pub attributes: &'a Attributes,
    /// Whole seconds until the evidence expires, if it does.
    pub remaining: Option<u64>,
}

/// One trust domain with its index and what both refer to.
#[derive(Clone, Copy)]
pub(super) struct Scene<'p> {
    pub(super) domain: &'p DomainPolicy,
    pub(super) index: &'p DomainIndex,
    pub(super) roles: &'p [Role],
}

/// Why not, before it is told in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The `forbid` at this place.
    Forbidden(usize),
    /// No rule is about the target, whether or not it exists.
    TargetUnknown,
    /// The target has no such role.
    RoleUnknown,
    /// No rule matched.
    NoMatch,
    /// Only rules that observe matched.
    ObserveOnly(RuleName),
    /// Several roles, and none was named.
    Ambiguous(Vec<RoleName>),
    /// An item beyond what the rule grants.
    Beyond {
        rule: RuleName,
        item: Permission,
        allowed: Arc<[Permission]>,
    },
    /// Too little life is left.
    TooShort { rule: RuleName, seconds: u64 },
}

impl Refusal {
    pub(super) const fn reason(&self) -> Reason {
        match self {
            Self::Forbidden(_) => Reason::EventForbidden,
            Self::TargetUnknown => Reason::TargetUnknown,
            Self::RoleUnknown => Reason::ScopeUnknown,
            Self::NoMatch => Reason::RuleNoMatch,
            Self::ObserveOnly(_) => Reason::RuleObserveOnly,
            Self::Ambiguous(_) => Reason::ScopeAmbiguous,
            Self::Beyond { .. } => Reason::ScopeBeyondRole,
            Self::TooShort { .. } => Reason::LifetimeTooShort,
        }
    }
}

/// The rules that matched, so far.
#[derive(Default)]
struct Matched<'p> {
    best: Option<(&'p Compiled, &'p Rule)>,
    /// The roles that are granted; more than one only if none was asked for.
    role: Option<usize>,
    more: Vec<usize>,
    observed: Vec<RuleName>,
}

impl<'p> Scene<'p> {
    /// Decides.
    pub(super) fn decide(&self, facts: &Facts<'_>, ask: &Ask) -> Result<Terms, Refusal> {
        let slots = self.index.slots(facts.attributes);
        if let Some(at) = self.forbidden(&slots) {
            return Err(Refusal::Forbidden(at));
        }
        let target = self
            .index
            .target(&ask.target)
            .ok_or(Refusal::TargetUnknown)?;
        let matched = self.matched(target, &slots, facts, ask);
        let Some((best, rule)) = matched.best else {
            return Err(self.unmatched(matched, ask));
        };
        if !matched.more.is_empty() {
            return Err(Refusal::Ambiguous(self.role_names(&matched)));
        }
        if let Some(item) = beyond(&best.permissions, &ask.narrow) {
            return Err(Refusal::Beyond {
                rule: rule.name.clone(),
                item: item.clone(),
                allowed: Arc::clone(&best.permissions),
            });
        }
        Ok(Terms {
            rule: rule.name.clone(),
            file: Arc::clone(&rule.file),
            line: rule.line,
            role: rule.role.clone(),
            permissions: if ask.narrow.is_empty() {
                Arc::clone(&best.permissions)
            } else {
                narrowed(&best.permissions, &ask.narrow).into()
            },
            ttl: self.lifetime(best, rule, facts, ask)?,
            observed: matched.observed,
        })
    }

    /// The first `forbid` that is there.
    fn forbidden(&self, slots: &Slots<'_>) -> Option<usize> {
        let forbid = self.domain.forbid.iter().zip(&self.index.forbid);
        forbid
            .enumerate()
            .find(|(_, (forbid, slot))| forbid.matcher.matches(slots.get(**slot)))
            .map(|(at, _)| at)
    }

    fn matched(
        &self,
        target: &'p TargetIndex,
        slots: &Slots<'_>,
        facts: &Facts<'_>,
        ask: &Ask,
    ) -> Matched<'p> {
        let mut matched = Matched::default();
        for compiled in target.candidates(slots) {
            let Some(rule) = self.domain.rules.get(compiled.rule) else {
                continue;
            };
            let wanted = ask.role.as_ref().is_none_or(|role| *role == rule.role);
            if !wanted || !self.holds(compiled, rule, slots, facts) {
                continue;
            }
            if rule.mode == Mode::Observe {
                matched.observed.push(rule.name.clone());
                continue;
            }
            match matched.role {
                None => matched.role = Some(compiled.role),
                Some(role) if role == compiled.role => {}
                Some(_) => matched.more.push(compiled.role),
            }
            let better = matched.best.is_none_or(|(best, best_rule)| {
                rank(compiled, rule, ask) > rank(best, best_rule, ask)
            });
            if better {
                matched.best = Some((compiled, rule));
            }
        }
        matched.observed.sort();
        matched
    }

    /// Whether all of a rule holds.
    fn holds(
        &self,
        compiled: &Compiled,
        rule: &Rule,
        slots: &Slots<'_>,
        facts: &Facts<'_>,
    ) -> bool {
        compiled
            .guards
            .iter()
            .all(|g| self.untrusted(*g, slots).is_none())
            && rule
                .matchers
                .iter()
                .zip(&compiled.slots)
                .all(|(matcher, slot)| matcher.matches(slots.get(*slot)))
            && rule
                .when
                .iter()
                .all(|c| c.holds(facts.subject, facts.attributes) == Ok(true))
    }

    /// The field and value, if it is an untrusted one.
    pub(super) fn untrusted<'s>(
        &self,
        guard: usize,
        slots: &Slots<'s>,
    ) -> Option<(&'static str, &'s Value)> {
        let (field, values) = self.domain.demands.untrusted.get(guard)?;
        let value = slots.get(*self.index.untrusted.get(guard)?)?;
        let listed = match value {
            Value::Text(text) => values.contains(&&**text),
            Value::List(texts) => texts.iter().any(|text| values.contains(&&**text)),
            Value::Flag(true) => values.contains(&"true"),
            Value::Flag(false) => values.contains(&"false"),
            Value::Number(number) => values.iter().any(|v| v.parse() == Ok(*number)),
        };
        listed.then_some((field, value))
    }

    fn lifetime(
        &self,
        best: &Compiled,
        rule: &Rule,
        facts: &Facts<'_>,
        ask: &Ask,
    ) -> Result<Ttl, Refusal> {
        let ttl = ask.ttl.map_or(best.ttl, |asked| asked.min(best.ttl));
        let bound = facts
            .remaining
            .filter(|_| self.domain.bind_to_evidence_life)
            .unwrap_or(u64::MAX);
        let seconds = bound.min(u64::from(ttl.as_secs()));
        match Ttl::from_secs(seconds) {
            Ok(ttl) if ttl >= MIN_TTL => Ok(ttl),
            _ => Err(Refusal::TooShort {
                rule: rule.name.clone(),
                seconds,
            }),
        }
    }

    fn unmatched(&self, matched: Matched<'_>, ask: &Ask) -> Refusal {
        let exists = |role: &RoleName| {
            self.roles
                .iter()
                .any(|r| r.name == *role && r.target == ask.target)
        };
        match (matched.observed.into_iter().next(), &ask.role) {
            (Some(rule), _) => Refusal::ObserveOnly(rule),
            (None, Some(role)) if !exists(role) => Refusal::RoleUnknown,
            (None, _) => Refusal::NoMatch,
        }
    }

    fn role_names(&self, matched: &Matched<'_>) -> Vec<RoleName> {
        let places = matched.role.iter().chain(&matched.more);
        let names = places
            .filter_map(|at| self.roles.get(*at))
            .map(|r| r.name.clone());
        let mut names: Vec<RoleName> = names.collect();
        names.sort();
        names.dedup();
        names
    }
}

/// Which of several rules for one role wins: the one that grants all that is
/// asked, then the widest, then the longest, then by name. Any of them alone
/// would do; this says which one, whatever their order.
fn rank<'r>(
    compiled: &Compiled,
    rule: &'r Rule,
    ask: &Ask,
) -> (bool, usize, Ttl, std::cmp::Reverse<&'r RuleName>) {
    let width = if ask.narrow.is_empty() {
        compiled.permissions.len()
    } else {
        0
    };
    (
        beyond(&compiled.permissions, &ask.narrow).is_none(),
        width,
        compiled.ttl,
        std::cmp::Reverse(&rule.name),
    )
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
