//! A refusal, told in full: the trace, and the one difference that matters.
//!
//! This is the slow path, on purpose apart from the decision: it compares
//! everything again and allocates as it likes. That both agree on every rule
//! is a property test.

use std::sync::Arc;

use crate::model::{Asserter, Reason};

use super::{
    Ask, Denial, FieldTrace, MIN_TTL, Mismatch, Rule, RuleTrace, Trace,
    decide::{Facts, Refusal, Scene},
    hint::near_miss,
    index::{Compiled, Slots},
    nearest,
    trace::show,
};

/// The whole answer to a caller that is refused.
pub(super) fn denial(scene: &Scene<'_>, facts: &Facts<'_>, ask: &Ask, refusal: Refusal) -> Denial {
    let trace = trace(scene, facts, ask);
    Denial {
        reason: refusal.reason(),
        mismatch: mismatch(scene, ask, &refusal, &trace),
        roles: match refusal {
            Refusal::Ambiguous(roles) => roles,
            _ => Vec::new(),
        },
        trace,
    }
}

/// The answer to a trust domain that the policy does not have: the same as to
/// a target that it does not have.
pub(super) fn stranger(ask: &Ask) -> Denial {
    Denial {
        reason: Reason::TargetUnknown,
        mismatch: Some(about("audience", ask.target.to_string())),
        roles: Vec::new(),
        trace: Trace::default(),
    }
}

/// Every rule for the target, and every field of it.
pub(super) fn trace(scene: &Scene<'_>, facts: &Facts<'_>, ask: &Ask) -> Trace {
    let slots = scene.index.slots(facts.attributes);
    let forbid = scene.domain.forbid.iter().zip(&scene.index.forbid);
    let rules = scene.index.target(&ask.target).into_iter();
    Trace {
        forbid: forbid
            .map(|(forbid, slot)| FieldTrace {
                field: forbid.matcher.field.to_string(),
                found: slots.get(*slot).map(show),
                wanted: forbid.matcher.wanted(),
                asserted_by: asserter(facts, &forbid.matcher.field),
                matched: forbid.matcher.matches(slots.get(*slot)),
                hint: None,
            })
            .collect(),
        rules: rules
            .flat_map(|target| &target.rules)
            .filter_map(|compiled| {
                let rule = scene.domain.rules.get(compiled.rule)?;
                Some(rule_trace(scene, compiled, rule, facts, &slots))
            })
            .collect(),
    }
}

fn rule_trace(
    scene: &Scene<'_>,
    compiled: &Compiled,
    rule: &Rule,
    facts: &Facts<'_>,
    slots: &Slots<'_>,
) -> RuleTrace {
    let matchers = rule.matchers.iter().zip(&compiled.slots);
    let fields = matchers.map(|(matcher, slot)| {
        let matched = matcher.matches(slots.get(*slot));
        FieldTrace {
            field: matcher.field.to_string(),
            found: slots.get(*slot).map(show),
            wanted: matcher.wanted(),
            asserted_by: asserter(facts, &matcher.field),
            matched,
            hint: if matched {
                None
            } else {
                near_miss(matcher, facts.attributes)
            },
        }
    });
    // A guard stands in no file, so it is shown only where it bites.
    let guards = compiled.guards.iter().filter_map(|guard| {
        let (field, value) = scene.untrusted(*guard, slots)?;
        Some(FieldTrace {
            field: field.into(),
            found: Some(show(value)),
            wanted: "a value that not everyone can bring about".into(),
            asserted_by: asserter(facts, field),
            matched: false,
            hint: Some(format!(
                "only a rule that names this value in `{field}` can match it"
            )),
        })
    });
    let conditions = rule.when.iter().map(|condition| {
        let held = condition.holds(facts.subject, facts.attributes);
        FieldTrace {
            field: format!("when.{}", condition.name()),
            found: Some(match held {
                Ok(held) => held.to_string(),
                Err(fault) => fault.to_string(),
            }),
            wanted: format!("`{}`", condition.source()),
            asserted_by: Some(condition.asserted_by().as_str()),
            matched: held == Ok(true),
            hint: None,
        }
    });
    let fields: Vec<FieldTrace> = fields.chain(guards).chain(conditions).collect();
    RuleTrace {
        rule: rule.name.clone(),
        file: Arc::clone(&rule.file),
        line: rule.line,
        mode: rule.mode,
        role: rule.role.clone(),
        matched: fields.iter().all(|f| f.matched),
        fields,
    }
}

fn asserter(facts: &Facts<'_>, field: &str) -> Option<&'static str> {
    facts
        .attributes
        .get(field)
        .map(|a| Asserter::as_str(a.asserted_by))
}

fn mismatch(scene: &Scene<'_>, ask: &Ask, refusal: &Refusal, trace: &Trace) -> Option<Mismatch> {
    Some(match refusal {
        Refusal::Forbidden(at) => {
            let forbid = trace.forbid.get(*at)?;
            Mismatch {
                rule: None,
                field: forbid.field.clone(),
                found: forbid.found.clone(),
                wanted: Some(format!("anything but {}", forbid.wanted)),
                hint: Some("the trust domain's `forbid` comes before every rule".into()),
            }
        }
        Refusal::TargetUnknown => {
            let known = scene.index.targets().map(|t| t.as_str());
            Mismatch {
                hint: nearest(ask.target.as_str(), known).map(did_you_mean),
                ..about("audience", ask.target.to_string())
            }
        }
        Refusal::RoleUnknown => {
            let asked = ask.role.as_ref()?.as_str();
            let known = trace.rules.iter().map(|r| r.role.as_str());
            Mismatch {
                hint: nearest(asked, known).map(did_you_mean),
                ..about("scope", asked.into())
            }
        }
        Refusal::NoMatch => match trace.nearest(ask.role.as_ref()) {
            Some(rule) => rule.mismatch()?,
            None => Mismatch {
                hint: Some("no rule of this trust domain grants that role".into()),
                ..about("scope", ask.role.as_ref()?.to_string())
            },
        },
        Refusal::ObserveOnly(rule) => Mismatch {
            rule: Some(rule.clone()),
            wanted: Some("`enforce`".into()),
            hint: Some("the rule matches; set `mode: enforce` when it should grant".into()),
            ..about("mode", "observe".into())
        },
        Refusal::Ambiguous(_) => return None,
        Refusal::Beyond {
            rule,
            item,
            allowed,
        } => {
            let allowed: Vec<String> = allowed.iter().map(|p| format!("`{p}`")).collect();
            Mismatch {
                rule: Some(rule.clone()),
                wanted: Some(allowed.join(" or ")),
                ..about("scope", item.to_string())
            }
        }
        Refusal::TooShort { rule, seconds } => Mismatch {
            rule: Some(rule.clone()),
            wanted: Some(format!("`{MIN_TTL}` or more")),
            hint: Some("exchange a fresh token, or ask for a longer lifetime".into()),
            ..about("lifetime", format!("{seconds}s"))
        },
    })
}

fn about(field: &str, found: String) -> Mismatch {
    Mismatch {
        rule: None,
        field: field.into(),
        found: Some(found),
        wanted: None,
        hint: None,
    }
}

fn did_you_mean(name: &str) -> String {
    format!("did you mean `{name}`?")
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
