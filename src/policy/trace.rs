//! Every rule and field that was compared, and the one difference worth
//! telling a caller about.
//!
//! Traces are built when a decision is negative or when somebody asks: a grant
//! pays nothing for them.

use std::{fmt, sync::Arc};

use crate::{
    base::text::display,
    model::{RoleName, RuleName, Value},
};

use super::{Explain, Mode};

/// Longest value shown, in characters.
const SHOWN: usize = 256;

/// Every rule and field that was compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// What the trust domain forbids; `matched` means forbidden.
    pub forbid: Vec<FieldTrace>,
    /// The trust domain's rules for the target.
    pub rules: Vec<RuleTrace>,
}

/// One rule, compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleTrace {
    /// Its name.
    pub rule: RuleName,
    /// Its file.
    pub file: Arc<str>,
    /// Its line.
    pub line: u32,
    /// Whether it grants.
    pub mode: Mode,
    /// The role that it grants.
    pub role: RoleName,
    /// Whether all of it matched.
    pub matched: bool,
    /// Its fields, in the order of the file, then its conditions.
    pub fields: Vec<FieldTrace>,
}

/// One field, compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldTrace {
    /// The field, or `when.NAME` for a condition.
    pub field: String,
    /// What the identity has, made safe to show.
    pub found: Option<String>,
    /// What was wanted.
    pub wanted: String,
    /// Who vouches for the value.
    pub asserted_by: Option<&'static str>,
    /// Whether it matched.
    pub matched: bool,
    /// What the difference might be.
    pub hint: Option<String>,
}

/// The one difference that a denial is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The rule, if it is about one.
    pub rule: Option<RuleName>,
    /// The field.
    pub field: String,
    /// What the caller has, made safe to show.
    pub found: Option<String>,
    /// What was wanted.
    pub wanted: Option<String>,
    /// What the difference might be.
    pub hint: Option<String>,
}

impl Trace {
    /// The rule that came nearest without matching: the one with the most
    /// fields that matched. Only rules for `role`, if that is given.
    pub fn nearest(&self, role: Option<&RoleName>) -> Option<&RuleTrace> {
        let candidates = self
            .rules
            .iter()
            .filter(|r| !r.matched && role.is_none_or(|role| *role == r.role));
        // Ties go to a rule that grants, then to one that a slip of the pen
        // keeps from matching, then to the one with less left to fix, then by
        // name, so that the order of the file says nothing.
        candidates.max_by_key(|r| {
            let good = r.fields.iter().filter(|f| f.matched).count();
            let bad = r.fields.len() - good;
            let slip = r.fields.iter().any(|f| !f.matched && f.hint.is_some());
            let ties = (std::cmp::Reverse(bad), std::cmp::Reverse(&r.rule));
            (good, r.mode == Mode::Enforce, slip, ties)
        })
    }
}

impl RuleTrace {
    /// Its first field that did not match.
    pub fn mismatch(&self) -> Option<Mismatch> {
        let field = self.fields.iter().find(|f| !f.matched)?;
        Some(Mismatch {
            rule: Some(self.rule.clone()),
            field: field.field.clone(),
            found: field.found.clone(),
            wanted: Some(field.wanted.clone()),
            hint: field.hint.clone(),
        })
    }
}

impl Mismatch {
    /// As much of it as the caller may see.
    pub fn shown(&self, explain: Explain) -> Option<Self> {
        match explain {
            Explain::None => None,
            // A hint is computed from what is wanted, so it says as much.
            Explain::Mismatch => Some(Self {
                rule: None,
                wanted: None,
                hint: None,
                ..self.clone()
            }),
            Explain::Full => Some(self.clone()),
        }
    }
}

/// A value, made safe to show.
pub(super) fn show(value: &Value) -> String {
    display(&value.to_string(), SHOWN)
}

impl fmt::Display for FieldTrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.matched { "ok " } else { "NO " };
        write!(f, "{mark}{}: ", self.field)?;
        match &self.found {
            Some(found) => write!(f, "`{found}`")?,
            None => f.write_str("absent")?,
        }
        if let Some(by) = self.asserted_by {
            write!(f, " (asserted by the {by})")?;
        }
        write!(f, ", wanted {}", self.wanted)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for RuleTrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match (self.matched, self.mode) {
            (true, Mode::Enforce) => "matches, grants",
            (true, Mode::Observe) => "matches, would grant if it were enforced,",
            (false, _) => "does not match, would grant",
        };
        write!(
            f,
            "rule {} ({}:{}) {outcome} {}",
            self.rule, self.file, self.line, self.role
        )?;
        for field in &self.fields {
            write!(f, "\n  {field}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for forbid in &self.forbid {
            let found = forbid.found.as_deref().unwrap_or("absent");
            let outcome = if forbid.matched { "FORBIDDEN" } else { "ok" };
            writeln!(
                f,
                "forbid {}: `{found}`, forbidden {}: {outcome}",
                forbid.field, forbid.wanted
            )?;
        }
        if self.rules.is_empty() {
            return f.write_str("no rule of this trust domain is about this target");
        }
        for (i, rule) in self.rules.iter().enumerate() {
            let line = if i == 0 { "" } else { "\n" };
            write!(f, "{line}{rule}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, matched: bool) -> FieldTrace {
        FieldTrace {
            field: name.into(),
            found: Some("found".into()),
            wanted: "`wanted`".into(),
            asserted_by: Some("issuer"),
            matched,
            hint: Some("a hint".into()),
        }
    }

    fn rule(name: &str, role: &str, mode: Mode, fields: &[bool]) -> RuleTrace {
        RuleTrace {
            rule: name.parse().unwrap(),
            file: "a.yaml".into(),
            line: 7,
            mode,
            role: role.parse().unwrap(),
            matched: fields.iter().all(|m| *m),
            fields: fields.iter().map(|m| field("f", *m)).collect(),
        }
    }

    fn nearest(rules: Vec<RuleTrace>, role: Option<&str>) -> Option<String> {
        let role = role.map(|r| r.parse().unwrap());
        let forward = Trace {
            forbid: vec![],
            rules,
        };
        let mut backward = forward.clone();
        backward.rules.reverse();
        let name = |t: &Trace| t.nearest(role.as_ref()).map(|r| r.rule.to_string());
        assert_eq!(name(&forward), name(&backward));
        name(&forward)
    }

    #[test]
    fn the_nearest_rule_has_most_fields_that_matched() {
        let one = || rule("one", "r", Mode::Enforce, &[true, false]);
        let two = || rule("two", "r", Mode::Enforce, &[true, true, false, false]);
        let all = || rule("all", "r", Mode::Enforce, &[true, true, true]);
        assert_eq!(nearest(vec![one(), two(), all()], None), Some("two".into()));
        assert_eq!(nearest(vec![all()], None), None);
        assert_eq!(nearest(vec![one()], Some("other")), None);
    }

    #[test]
    fn ties_do_not_depend_on_the_order_of_the_file() {
        let observe = || rule("a", "r", Mode::Observe, &[true, false]);
        let longer = || rule("b", "r", Mode::Enforce, &[true, false, false]);
        let d = || rule("d", "r", Mode::Enforce, &[true, false]);
        let c = || rule("c", "r", Mode::Enforce, &[true, false]);
        assert_eq!(nearest(vec![observe(), longer()], None), Some("b".into()));
        assert_eq!(nearest(vec![longer(), d()], None), Some("d".into()));
        assert_eq!(nearest(vec![d(), c()], None), Some("c".into()));
    }

    #[test]
    fn a_caller_sees_no_more_than_explain_allows() {
        let mismatch = rule("a", "r", Mode::Enforce, &[true, false])
            .mismatch()
            .unwrap();
        assert_eq!(mismatch.shown(Explain::None), None);
        let partly = mismatch.shown(Explain::Mismatch).unwrap();
        assert_eq!(
            (&*partly.field, partly.found.as_deref()),
            ("f", Some("found"))
        );
        assert_eq!(
            (partly.rule, partly.wanted, partly.hint),
            (None, None, None)
        );
        assert_eq!(mismatch.shown(Explain::Full), Some(mismatch));
    }

    #[test]
    fn a_trace_reads_as_a_list_of_comparisons() {
        let trace = Trace {
            forbid: vec![field("event", false)],
            rules: vec![
                rule("a", "worker", Mode::Enforce, &[true, false]),
                rule("b", "worker", Mode::Observe, &[true]),
            ],
        };
        assert_eq!(
            trace.to_string(),
            "forbid event: `found`, forbidden `wanted`: ok\n\
             rule a (a.yaml:7) does not match, would grant worker\n  \
             ok f: `found` (asserted by the issuer), wanted `wanted`; a hint\n  \
             NO f: `found` (asserted by the issuer), wanted `wanted`; a hint\n\
             rule b (a.yaml:7) matches, would grant if it were enforced, worker\n  \
             ok f: `found` (asserted by the issuer), wanted `wanted`; a hint"
        );
        let none = "no rule of this trust domain is about this target";
        assert_eq!(Trace::default().to_string(), none);
    }

    #[test]
    fn untrusted_values_cannot_fool_a_reader() {
        let shown = show(&Value::Text("a\nrule x matches\u{202e}".into()));
        assert_eq!(shown, "a\\u{a}rule x matches\\u{202e}");
        assert!(show(&Value::Text("x".repeat(20_000).into())).len() < 300);
    }
}
