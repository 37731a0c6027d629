//! A policy, arranged for deciding.
//!
//! What a decision looks up by name is resolved here once: which rules are
//! about which target, which attribute each matcher reads, what is left of a
//! role under each rule. Rules that demand an exact value of one field are
//! found by that value, so the cost of a decision does not grow with their
//! number.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use crate::model::{Attributes, Permission, Target, TargetName, Ttl, Value};

use super::{DomainPolicy, Role, Rule, narrow::limited};

/// More fields than a trust domain's rules usually read: so many need no
/// allocation.
const FEW: usize = 24;

/// One trust domain, arranged.
#[derive(Debug)]
pub(super) struct DomainIndex {
    /// The fields that anything here reads; a slot is a place in this list.
    fields: Vec<Arc<str>>,
    /// The slot of each `forbid`, in order.
    pub(super) forbid: Vec<usize>,
    /// The slots of fields with untrusted values, in order.
    pub(super) untrusted: Vec<usize>,
    targets: HashMap<TargetName, TargetIndex>,
}

/// A trust domain's rules for one target.
#[derive(Debug, Default)]
pub(super) struct TargetIndex {
    pub(super) rules: Vec<Compiled>,
    keyed: Option<Keyed>,
    /// Rules that are not found by key.
    rest: Vec<usize>,
}

#[derive(Debug)]
struct Keyed {
    slot: usize,
    by_value: HashMap<Arc<str>, Vec<usize>>,
}

/// One rule, resolved.
#[derive(Debug)]
pub(super) struct Compiled {
    /// Its place among the trust domain's rules.
    pub(super) rule: usize,
    /// Its role's place among the policy's roles.
    pub(super) role: usize,
    /// The slot of each matcher, in order.
    pub(super) slots: Vec<usize>,
    /// Places in the trust domain's list of untrusted values of which this
    /// rule names none, so that none may be there.
    pub(super) guards: Vec<usize>,
    /// The role's permissions under `only`.
    pub(super) permissions: Arc<[Permission]>,
    /// The shortest of the rule's, the role's and the target's lifetime.
    pub(super) ttl: Ttl,
}

/// The attributes of one identity by slot.
pub(super) struct Slots<'a> {
    few: [Option<&'a Value>; FEW],
    many: Vec<Option<&'a Value>>,
}

impl<'a> Slots<'a> {
    pub(super) fn get(&self, slot: usize) -> Option<&'a Value> {
        let slots: &[Option<&Value>] = if self.many.is_empty() {
            &self.few
        } else {
            &self.many
        };
        slots.get(slot).copied().flatten()
    }
}

impl DomainIndex {
    /// Arranges a checked policy. Rules that name no role of `roles` were
    /// refused before.
    pub(super) fn new(domain: &DomainPolicy, roles: &[Role], targets: &[Arc<Target>]) -> Self {
        let read_by_rules = domain.rules.iter().flat_map(|r| &r.matchers);
        let forbidden = domain.forbid.iter().map(|f| &f.matcher);
        let untrusted = domain.demands.untrusted;
        let fields: BTreeSet<Arc<str>> = read_by_rules
            .chain(forbidden)
            .map(|m| Arc::clone(&m.field))
            .chain(untrusted.iter().map(|(field, _)| Arc::from(*field)))
            .collect();
        let fields: Vec<Arc<str>> = fields.into_iter().collect();
        let slot = |field: &str| {
            fields
                .binary_search_by(|f| (**f).cmp(field))
                .unwrap_or(fields.len())
        };
        let mut by_target: HashMap<TargetName, TargetIndex> = HashMap::new();
        for (at, rule) in domain.rules.iter().enumerate() {
            let Some((role_at, role)) = find(roles, |r| r.name == rule.role) else {
                continue;
            };
            let Some((_, target)) = find(targets, |t| t.name == role.target) else {
                continue;
            };
            let names = |field: &str| rule.matchers.iter().any(|m| *m.field == *field);
            let ttl = role.max_ttl.min(target.max_ttl);
            let compiled = Compiled {
                rule: at,
                role: role_at,
                slots: rule.matchers.iter().map(|m| slot(&m.field)).collect(),
                guards: (0..untrusted.len())
                    .filter(|i| untrusted.get(*i).is_some_and(|(field, _)| !names(field)))
                    .collect(),
                permissions: limited(&role.permissions, rule.only.as_deref()).into(),
                ttl: rule.ttl.map_or(ttl, |t| t.min(ttl)),
            };
            let index = by_target.entry(role.target.clone()).or_default();
            index.rules.push(compiled);
        }
        for index in by_target.values_mut() {
            index.arrange(&domain.rules);
        }
        Self {
            forbid: domain
                .forbid
                .iter()
                .map(|f| slot(&f.matcher.field))
                .collect(),
            untrusted: untrusted.iter().map(|(field, _)| slot(field)).collect(),
            targets: by_target,
            fields,
        }
    }

    /// The rules for a target, if there are any.
    pub(super) fn target(&self, name: &TargetName) -> Option<&TargetIndex> {
        self.targets.get(name)
    }

    /// The targets that any rule is about.
    pub(super) fn targets(&self) -> impl Iterator<Item = &TargetName> {
        self.targets.keys()
    }

    /// Reads attributes into slots.
    pub(super) fn slots<'a>(&self, attributes: &'a Attributes) -> Slots<'a> {
        let mut slots = Slots {
            few: [None; FEW],
            many: Vec::new(),
        };
        let places: &mut [Option<&'a Value>] = if self.fields.len() > FEW {
            slots.many = vec![None; self.fields.len()];
            &mut slots.many
        } else {
            &mut slots.few
        };
        for attribute in attributes.iter() {
            let known = self.fields.binary_search(&attribute.name).ok();
            if let Some(place) = known.and_then(|at| places.get_mut(at)) {
                *place = Some(&attribute.value);
            }
        }
        slots
    }
}

impl TargetIndex {
    /// The rules that could match, in the order of the file within each part.
    pub(super) fn candidates<'a>(
        &'a self,
        slots: &Slots<'_>,
    ) -> impl Iterator<Item = &'a Compiled> + use<'a> {
        let keyed = self
            .keyed
            .as_ref()
            .and_then(|keyed| match slots.get(keyed.slot) {
                Some(Value::Text(text)) => keyed.by_value.get(text),
                _ => None,
            });
        keyed
            .into_iter()
            .flatten()
            .chain(&self.rest)
            .filter_map(|at| self.rules.get(*at))
    }

    /// Picks the field that tells most rules apart, and files them under its values.
    fn arrange(&mut self, rules: &[Rule]) {
        let mut values: BTreeMap<usize, BTreeSet<&Arc<str>>> = BTreeMap::new();
        for compiled in &self.rules {
            for (slot, texts) in exact(compiled, rules) {
                values.entry(slot).or_default().extend(texts);
            }
        }
        let best = values.iter().max_by_key(|(_, texts)| texts.len());
        let Some(slot) = best.map(|(slot, _)| *slot) else {
            self.rest = (0..self.rules.len()).collect();
            return;
        };
        let mut by_value: HashMap<Arc<str>, Vec<usize>> = HashMap::new();
        for (at, compiled) in self.rules.iter().enumerate() {
            match exact(compiled, rules).find(|(s, _)| *s == slot) {
                Some((_, texts)) => {
                    let texts: BTreeSet<_> = texts.into_iter().collect();
                    for text in texts {
                        by_value.entry(Arc::clone(text)).or_default().push(at);
                    }
                }
                None => self.rest.push(at),
            }
        }
        self.keyed = Some(Keyed { slot, by_value });
    }
}

/// The slots that the rule wants a whole text of, with those texts.
fn exact<'r>(
    compiled: &'r Compiled,
    rules: &'r [Rule],
) -> impl Iterator<Item = (usize, Vec<&'r Arc<str>>)> {
    let matchers = rules.get(compiled.rule).map(|r| r.matchers.as_slice());
    compiled
        .slots
        .iter()
        .zip(matchers.unwrap_or_default())
        .filter_map(|(slot, matcher)| {
            let texts: Option<Vec<_>> = matcher.any_of.iter().map(|p| p.exact_text()).collect();
            Some((*slot, texts?))
        })
}

fn find<T>(all: &[T], is: impl Fn(&T) -> bool) -> Option<(usize, &T)> {
    all.iter().enumerate().find(|(_, one)| is(one))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::{attributes, domain, role, rule, target};

    fn built(rules: Vec<Rule>) -> DomainIndex {
        let mut domain = domain("d");
        domain.rules = rules;
        let roles = [role("worker", "prod", &["a:write"])];
        DomainIndex::new(&domain, &roles, &[target("prod", &["a"]).into()])
    }

    fn names(index: &DomainIndex, given: &[(&str, &str)]) -> Vec<usize> {
        let attributes = attributes(given);
        let target = index.target(&"prod".parse().unwrap()).unwrap();
        let slots = index.slots(&attributes);
        target.candidates(&slots).map(|c| c.rule).collect()
    }

    #[test]
    fn rules_are_found_by_the_field_that_tells_most_apart() {
        let index = built(vec![
            rule("a", "worker", &[("id", "1"), ("team", "x")]),
            rule("b", "worker", &[("id", "2"), ("team", "x")]),
            rule("c", "worker", &[("id", "3"), ("team", "x")]),
            rule("d", "worker", &[("path", "a/*")]),
        ]);
        assert_eq!(names(&index, &[("id", "2"), ("team", "x")]), [1, 3]);
        assert_eq!(names(&index, &[("id", "9"), ("team", "x")]), [3]);
        assert_eq!(names(&index, &[("path", "a/b")]), [3]);
    }

    #[test]
    fn a_value_listed_twice_gives_one_candidate() {
        let mut one = rule("a", "worker", &[("id", "1")]);
        let pattern = one.matchers[0].any_of[0].clone();
        one.matchers[0].any_of.push(pattern);
        assert_eq!(names(&built(vec![one]), &[("id", "1")]), [0]);
    }

    #[test]
    fn without_an_exact_field_every_rule_is_a_candidate() {
        let index = built(vec![rule("a", "worker", &[("path", "a/*")])]);
        assert_eq!(names(&index, &[]), [0]);
    }

    #[test]
    fn any_number_of_fields_has_slots() {
        let fields: Vec<String> = (0..100).map(|i| format!("claims.f{i}")).collect();
        let rules = fields
            .iter()
            .enumerate()
            .map(|(i, f)| rule(&format!("r{i}"), "worker", &[(f, "v"), ("id", "1")]))
            .collect();
        let index = built(rules);
        let given: Vec<(&str, &str)> = fields.iter().map(|f| (&**f, "v")).collect();
        let attributes = attributes(&given);
        let slots = index.slots(&attributes);
        let there = (0..=101).filter(|s| slots.get(*s).is_some()).count();
        assert_eq!(there, 100);
    }
}
