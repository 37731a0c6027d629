//! What is refused when a policy is loaded.
//!
//! Nobody notices a rule that is too wide until it is used against them, so
//! the shapes that are known to be used so do not load at all: no constraint
//! on who, names without an immutable id, values that the caller chooses,
//! wildcards where an identity must be pinned, triggers that anyone can pull.
//! `mode: observe` is no excuse: a rule is written to be enforced one day.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::model::{Access, Asserter, RoleName, Target};

use super::{
    DomainPolicy, MIN_TTL, Matcher, Role, Rule,
    narrow::{highest, limited},
    nearest,
};

/// A problem that only shows across documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyProblem {
    /// The file.
    pub file: Arc<str>,
    /// The line.
    pub line: u32,
    /// What is wrong: what was compared, and what was found.
    pub what: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Every problem of the policy.
pub(super) fn problems(
    targets: &[Arc<Target>],
    roles: &[Role],
    domains: &[DomainPolicy],
) -> Vec<PolicyProblem> {
    let mut found = Vec::new();
    let mut by_name: BTreeMap<&RoleName, &Role> = BTreeMap::new();
    for role in roles {
        let mut problems = Problems::at(&mut found, &role.file, role.line);
        if let Some(first) = by_name.insert(&role.name, role) {
            problems.add(
                format!("role `{}` stands twice", role.name),
                format!(
                    "the other is at {}:{}; rules name a role without its target, so give each its own name",
                    first.file, first.line
                ),
            );
        }
        check_role(role, targets, &mut problems);
    }
    let mut names = BTreeSet::new();
    for domain in domains {
        let mut problems = Problems::at(&mut found, &domain.file, domain.line);
        if !names.insert(&domain.name) {
            let what = format!("trust domain `{}` stands twice", domain.name);
            problems.add(what, "give one of them another name".into());
        }
        for forbid in &domain.forbid {
            let mut problems = Problems::at(&mut found, &domain.file, forbid.line);
            check_values(&forbid.matcher, "forbid", &mut problems);
        }
        let mut rules = BTreeMap::new();
        for rule in &domain.rules {
            let mut problems = Problems::at(&mut found, &rule.file, rule.line);
            if let Some(line) = rules.insert(&rule.name, rule.line) {
                let what = format!("rule `{}` stands twice", rule.name);
                let hint = format!("the other is at line {line}; give one of them another name");
                problems.add(what, hint);
            }
            check_identity(rule, domain, &mut problems);
            match by_name.get(&rule.role) {
                Some(role) => check_grant(rule, role, domain, &mut problems),
                None => unknown_role(rule, &by_name, &mut problems),
            }
        }
    }
    found
}

struct Problems<'p> {
    found: &'p mut Vec<PolicyProblem>,
    file: &'p Arc<str>,
    line: u32,
}

impl<'p> Problems<'p> {
    fn at(found: &'p mut Vec<PolicyProblem>, file: &'p Arc<str>, line: u32) -> Self {
        Self { found, file, line }
    }

    fn add(&mut self, what: String, hint: String) {
        self.found.push(PolicyProblem {
            file: Arc::clone(self.file),
            line: self.line,
            what,
            hint: Some(hint),
        });
    }
}

fn check_role(role: &Role, targets: &[Arc<Target>], problems: &mut Problems<'_>) {
    let Some(target) = targets.iter().find(|t| t.name == role.target) else {
        let known = targets.iter().map(|t| t.name.as_str());
        let hint = match nearest(role.target.as_str(), known) {
            Some(name) => format!("did you mean `{name}`?"),
            None => "add it to `targets`, or name one that is there".into(),
        };
        let what = format!(
            "role `{}` is on target `{}`, which is not configured",
            role.name, role.target
        );
        return problems.add(what, hint);
    };
    if role.permissions.is_empty() {
        let what = format!("role `{}` allows nothing", role.name);
        problems.add(what, "give it a namespace".into());
    }
    let mut seen = BTreeSet::new();
    for permission in &role.permissions {
        if !seen.insert(&permission.namespace) {
            let what = format!(
                "role `{}` has two permissions where {permission} stands",
                role.name
            );
            problems.add(what, "keep one per namespace".into());
        }
        let listed = |n| target.namespaces.contains(n);
        if let Some(namespace) = permission.namespace.as_ref().filter(|n| !listed(n)) {
            let what = format!(
                "role `{}` names namespace `{namespace}`, which target `{}` does not list",
                role.name, target.name
            );
            let known = target.namespaces.iter().map(|n| n.as_str());
            let hint = match nearest(namespace.as_str(), known) {
                Some(name) => format!("did you mean `{name}`?"),
                None => "add it to the target's `namespaces`: an absent namespace could be created with this permission".into(),
            };
            problems.add(what, hint);
        }
    }
    let ttl = role.max_ttl.min(target.max_ttl);
    if ttl < MIN_TTL {
        let what = format!("role `{}` allows a lifetime of {ttl} at most", role.name);
        problems.add(what, format!("no credential lives less than {MIN_TTL}"));
    }
}

fn unknown_role(rule: &Rule, roles: &BTreeMap<&RoleName, &Role>, problems: &mut Problems<'_>) {
    let known = roles.keys().map(|r| r.as_str());
    let hint = match nearest(rule.role.as_str(), known) {
        Some(name) => format!("did you mean `{name}`?"),
        None => "define it in a `kind: Roles` file".into(),
    };
    let what = format!(
        "rule `{}` grants role `{}`, which no target has",
        rule.name, rule.role
    );
    problems.add(what, hint);
}

fn check_values(matcher: &Matcher, place: &str, problems: &mut Problems<'_>) {
    if matcher.any_of.is_empty() {
        let what = format!("{place}: `{}` lists no value", matcher.field);
        problems.add(what, "name a value, or leave the field out".into());
    }
}

/// Whether the rule says who.
fn check_identity(rule: &Rule, domain: &DomainPolicy, problems: &mut Problems<'_>) {
    let place = format!("rule `{}`", rule.name);
    if rule.matchers.is_empty() {
        let what = format!(
            "{place} matches every identity of trust domain `{}`",
            domain.name
        );
        return problems.add(what, "name in `match` who is meant".into());
    }
    let mut seen = BTreeSet::new();
    for matcher in &rule.matchers {
        check_values(matcher, &place, problems);
        if !seen.insert(&matcher.field) {
            let what = format!("{place} matches `{}` twice", matcher.field);
            problems.add(what, "give all values in one list".into());
        }
    }
    let mut conditions = BTreeSet::new();
    for condition in &rule.when {
        if !conditions.insert(condition.name()) {
            let what = format!("{place} has two conditions named `{}`", condition.name());
            problems.add(what, "give each its own name".into());
        }
    }
    // Conditions do not count here: they narrow what the fields identify.
    if rule
        .matchers
        .iter()
        .all(|m| m.asserted_by == Asserter::Caller)
    {
        let fields: Vec<&str> = rule.matchers.iter().map(|m| &*m.field).collect();
        let what = format!(
            "{place} matches only what the caller itself asserts ({})",
            fields.join(", ")
        );
        let hint = "add a field that the issuer or an administrator vouches for".into();
        return problems.add(what, hint);
    }
    check_pins(rule, domain, problems);
}

fn check_pins(rule: &Rule, domain: &DomainPolicy, problems: &mut Problems<'_>) {
    let demands = &domain.demands;
    let names = |matcher: &Matcher, name: &str| matcher.pins == name || *matcher.field == *name;
    let pins = |matcher: &Matcher, name: &str| {
        let prefix = || {
            demands.prefixed.contains(&name)
                && matcher.any_of.iter().all(|p| p.has_literal_segment())
        };
        names(matcher, name) && (matcher.is_exact() || prefix())
    };
    let by_domain = |name: &str| demands.pinned.contains(&name);
    let by_rule = |name: &str| rule.matchers.iter().any(|m| pins(m, name));
    let vouched = |name: &str| {
        let not_the_caller = |m: &&Matcher| m.asserted_by != Asserter::Caller;
        let mut vouched = rule.matchers.iter().filter(not_the_caller);
        by_domain(name) || vouched.any(|m| pins(m, name))
    };
    let satisfied = |all: &&&[&'static str]| {
        all.iter().all(|name| by_domain(name) || by_rule(name))
            && all.iter().any(|name| vouched(name))
    };
    let alternatives = demands.must_pin;
    if alternatives.is_empty() || alternatives.iter().any(|all| satisfied(&all)) {
        return;
    }
    let wanted: Vec<String> = alternatives.iter().map(|all| all.join(" and ")).collect();
    let demanded = |m: &Matcher| {
        alternatives
            .iter()
            .any(|all| all.iter().any(|n| names(m, n)))
    };
    let glob = rule.matchers.iter().find(|m| !m.is_exact() && demanded(m));
    let what = match glob {
        Some(matcher) => format!(
            "rule `{}` has a wildcard in `{}`, which must be pinned",
            rule.name, matcher.field
        ),
        None => format!("rule `{}` does not pin who is meant", rule.name),
    };
    let hint = format!("match an exact value of {}", wanted.join(", or of "));
    problems.add(what, hint);
}

/// Whether what the rule grants is within its role, and fit for who is meant.
fn check_grant(rule: &Rule, role: &Role, domain: &DomainPolicy, problems: &mut Problems<'_>) {
    let place = format!("rule `{}`", rule.name);
    if let Some(ttl) = rule.ttl {
        if ttl > role.max_ttl {
            let what = format!("{place} has ttl {ttl}, more than `{}` allows", role.name);
            problems.add(what, format!("the role's maxTtl is {}", role.max_ttl));
        }
        if ttl < MIN_TTL {
            let what = format!("{place} has ttl {ttl}");
            problems.add(what, format!("no credential lives less than {MIN_TTL}"));
        }
    }
    if let Some(only) = &rule.only {
        if only.is_empty() {
            let what = format!("{place} has an empty `only`, so it grants nothing");
            problems.add(what, "leave it out, or name namespaces".into());
        }
        let in_role = |n: &&str| {
            role.permissions
                .iter()
                .any(|p| p.namespace.as_ref().is_some_and(|p| p.as_str() == *n))
        };
        for namespace in only.iter().map(|n| n.as_str()).filter(|n| !in_role(n)) {
            let what = format!(
                "{place} narrows `{}` to namespace `{namespace}`, which that role does not have",
                role.name
            );
            problems.add(what, "name namespaces of the role".into());
        }
    }
    let granted = limited(&role.permissions, rule.only.as_deref());
    let beyond_read = highest(&granted).is_some_and(|access| access > Access::Read);
    for (field, values) in domain.demands.untrusted {
        let Some(matcher) = rule.matchers.iter().find(|m| *m.field == **field) else {
            continue;
        };
        for value in *values {
            check_untrusted(rule, matcher, value, beyond_read, problems);
        }
    }
}

fn check_untrusted(
    rule: &Rule,
    matcher: &Matcher,
    value: &str,
    beyond_read: bool,
    problems: &mut Problems<'_>,
) {
    let covering = |exact| {
        let covers = |p: &&super::Pattern| p.is_exact() == exact && p.covers(value);
        matcher.any_of.iter().find(covers)
    };
    if let Some(glob) = covering(false) {
        let what = format!(
            "rule `{}`: `{glob}` in `{}` also matches `{value}`, which anyone can bring about",
            rule.name, matcher.field
        );
        problems.add(what, "list the values that are meant".into());
    } else if beyond_read && covering(true).is_some() {
        let what = format!(
            "rule `{}` grants more than read where `{}` is `{value}`, which anyone can bring about",
            rule.name, matcher.field
        );
        problems.add(
            what,
            "grant a role that only reads, or leave that value out".into(),
        );
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
