//! The decision, pure: an identity and an ask in, a grant or a denial out.
//!
//! No clock, no network, no lock: the same policy, identity and ask always
//! give the same answer, whatever the order of files and rules. Everything
//! that can be refused is refused when the policy is loaded; what remains to
//! decide is comparison of values. A grant is an intersection, never a union:
//! one rule grants one role, and rule, role, target and ask each only take
//! away. A denial says which rule came nearest and what differed.
//!
//! Reading order: [`rule`] for what administrators write, [`check`] for what
//! is refused at load, `decide` for the decision, [`trace`] for its reasons.

pub mod ask;
mod check;
pub mod condition;
mod decide;
mod digest;
mod error;
mod examples;
mod explain;
pub mod grant;
mod hint;
mod index;
pub mod matcher;
mod narrow;
pub mod pattern;
mod plan;
pub mod rule;
pub mod trace;

#[cfg(test)]
mod fixture;

pub use ask::{Ask, Explain};
pub use check::PolicyProblem;
pub use condition::{Condition, Vocabulary};
pub use decide::{Facts, MIN_TTL};
pub use error::PolicyError;
pub use examples::TestOutcome;
pub use grant::{Denial, Grant, Refused, Supposition};
pub use matcher::{Forbid, Matcher};
pub use pattern::Pattern;
pub use plan::Policy;
pub use rule::{Demands, DomainPolicy, Expect, Mode, Role, Rule, Test};
pub use trace::{FieldTrace, Mismatch, RuleTrace, Trace};

/// The one of `known` that `word` was probably meant to be.
fn nearest<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    known
        .map(|k| (strsim::jaro_winkler(word, k), k))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| k)
}
