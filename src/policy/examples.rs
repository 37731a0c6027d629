//! The tests in the files.
//!
//! A trust domain's file says beside its rules who gets in and who does not.
//! The tests run when the file is loaded, on supposed identities, through the
//! same decision as a real exchange.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    evidence::{Rejection, Source, Supposed},
    model::{TargetName, TrustDomainName},
};

use super::{Ask, Denial, DomainPolicy, Expect, Mismatch, Policy, Supposition, Test, Trace};

/// How one test in a file came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestOutcome {
    /// Its trust domain.
    pub domain: TrustDomainName,
    /// Its file.
    pub file: Arc<str>,
    /// Its line.
    pub line: u32,
    /// Whether it came out as expected.
    pub passed: bool,
    /// What was expected and what was decided; if they differ, also why.
    pub what: String,
}

/// Runs every test of every trust domain.
pub(super) fn run(
    policy: &Policy,
    sources: &dyn Fn(&TrustDomainName) -> Option<Source>,
) -> Vec<TestOutcome> {
    let mut outcomes = Vec::new();
    for domain in policy.domains() {
        let source = sources(&domain.name);
        for test in &domain.tests {
            let decided = match &source {
                Some(source) => suppose(policy, domain, source, test),
                None => Err("the trust domain's source is not configured".into()),
            };
            let judged = decided.and_then(|decisions| judge(test, &decisions));
            outcomes.push(TestOutcome {
                domain: domain.name.clone(),
                file: Arc::clone(&domain.file),
                line: test.line,
                passed: judged.is_ok(),
                what: judged.unwrap_or_else(|what| what),
            });
        }
    }
    outcomes
}

type Decision = Result<Supposition, Box<Denial>>;

/// The decision on each target that the test is about.
fn suppose(
    policy: &Policy,
    domain: &DomainPolicy,
    source: &Source,
    test: &Test,
) -> Result<Vec<Decision>, String> {
    let supposed = Supposed::new(&domain.name, source, source.preset(), &test.given)
        .map_err(|problem| format!("`{}`: {}", problem.key, problem.what))?;
    // What the source itself never accepts is refused before any rule, here as
    // in an exchange.
    if let Err(rejection) = source.admits(&supposed.attributes) {
        return Ok(vec![Err(Box::new(rejected(&rejection)))]);
    }
    let targets = targets(policy, domain, test)?;
    let asks = targets.into_iter().map(|target| Ask {
        role: test.ask_role.clone(),
        ..Ask::of(target)
    });
    Ok(asks.map(|ask| policy.suppose(&supposed, &ask)).collect())
}

fn rejected(rejection: &Rejection) -> Denial {
    Denial {
        reason: rejection.reason,
        mismatch: rejection.field.map(|field| Mismatch {
            rule: None,
            field: field.into(),
            found: rejection.found.clone(),
            wanted: rejection.wanted.clone(),
            hint: None,
        }),
        roles: Vec::new(),
        trace: Trace::default(),
    }
}

/// The target of the role; without a role, all that the trust domain's rules
/// are about.
fn targets(policy: &Policy, domain: &DomainPolicy, test: &Test) -> Result<Vec<TargetName>, String> {
    let roles = policy.roles().iter();
    if let Some(name) = &test.ask_role {
        return match roles.clone().find(|r| r.name == *name) {
            Some(role) => Ok(vec![role.target.clone()]),
            None => Err(format!("no target has the role `{name}`")),
        };
    }
    let granted = |name| domain.rules.iter().any(|r| r.role == name);
    let targets: BTreeSet<TargetName> = roles
        .filter(|r| granted(r.name.clone()))
        .map(|r| r.target.clone())
        .collect();
    if targets.is_empty() {
        return Err("the trust domain has no rules to test".into());
    }
    Ok(targets.into_iter().collect())
}

/// What is as expected, or how it differs.
fn judge(test: &Test, decisions: &[Decision]) -> Result<String, String> {
    match &test.expect {
        Expect::Allow => judge_allow(decisions),
        Expect::Deny { reason, field } => {
            let mut denials = Vec::new();
            for decision in decisions {
                match decision {
                    Ok(granted) => {
                        return Err(format!(
                            "expected a denial, but rule `{}` grants `{}`",
                            granted.rule, granted.role
                        ));
                    }
                    Err(denial) => denials.push(&**denial),
                }
            }
            let as_expected = |denial: &&Denial| {
                let denied_by = denial.mismatch.as_ref().map(|m| &m.field);
                reason.is_none_or(|r| r == denial.reason)
                    && field.as_ref().is_none_or(|f| denied_by == Some(f))
            };
            if let Some(denial) = denials.iter().copied().find(as_expected) {
                return Ok(format!("denied: {}", told(denial)));
            }
            let wanted = [
                reason.map(|r| r.to_string()),
                field.as_ref().map(|f| format!("by `{f}`")),
            ];
            let wanted: Vec<String> = wanted.into_iter().flatten().collect();
            let got: Vec<String> = denials.iter().map(|d| told(d)).collect();
            Err(format!(
                "expected {}, but got {}",
                wanted.join(" "),
                got.join("; ")
            ))
        }
    }
}

fn judge_allow(decisions: &[Decision]) -> Result<String, String> {
    if let Some(granted) = decisions.iter().find_map(|d| d.as_ref().ok()) {
        return Ok(format!(
            "granted: `{}` by rule `{}`",
            granted.role, granted.rule
        ));
    }
    let got: Vec<String> = decisions
        .iter()
        .filter_map(|d| d.as_ref().err())
        .map(|d| told(d))
        .collect();
    Err(format!("expected a grant, but got {}", got.join("; ")))
}

/// A denial in one line, with the comparison that decided it.
fn told(denial: &Denial) -> String {
    let mut line = denial.reason.to_string();
    if let Some(mismatch) = &denial.mismatch {
        if let Some(rule) = &mismatch.rule {
            line.push_str(&format!(", nearest rule `{rule}`"));
        }
        let found = mismatch.found.as_deref().unwrap_or("absent");
        line.push_str(&format!(", {}: `{found}`", mismatch.field));
        if let Some(wanted) = &mismatch.wanted {
            line.push_str(&format!(", wanted {wanted}"));
        }
        if let Some(hint) = &mismatch.hint {
            line.push_str(&format!(" ({hint})"));
        }
    }
    if !denial.roles.is_empty() {
        let roles: Vec<&str> = denial.roles.iter().map(|r| r.as_str()).collect();
        line.push_str(&format!(", roles: {}", roles.join(", ")));
    }
    line
}

#[cfg(test)]
#[path = "examples_tests.rs"]
mod tests;
