//! A refusal, with what was compared.

use crate::{base::text, model::Reason};

/// Longest shown piece of a refused token.
const SHOWN: usize = 200;

/// Evidence that was refused, with what was compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The stable reason.
    pub reason: Reason,
    /// The header parameter, claim or rule field concerned.
    pub field: Option<&'static str>,
    /// What was found, made safe to show: for the audit record, and for the
    /// caller as far as the trust domain's `explain` allows.
    pub found: Option<String>,
    /// What was wanted instead.
    pub wanted: Option<String>,
    /// The steps that passed before, in order, for `explain`.
    pub passed: Vec<&'static str>,
}

impl Rejection {
    /// A refusal before any check of a trust domain was made.
    pub fn early(reason: Reason) -> Self {
        Self {
            reason,
            field: None,
            found: None,
            wanted: None,
            passed: Vec::new(),
        }
    }

    /// A refusal for a reason, about a field.
    pub(super) fn new(reason: Reason, field: &'static str) -> Self {
        Self {
            reason,
            field: Some(field),
            found: None,
            wanted: None,
            passed: Vec::new(),
        }
    }

    /// With what the token has, shortened and escaped.
    pub(super) fn found(self, unverified: &str) -> Self {
        Self {
            found: Some(text::display(unverified, SHOWN)),
            ..self
        }
    }

    /// With what it should have had.
    pub(super) fn wanted(self, what: impl Into<String>) -> Self {
        Self {
            wanted: Some(what.into()),
            ..self
        }
    }

    /// With the steps that passed before it.
    pub(super) fn after(self, passed: impl IntoIterator<Item = &'static str>) -> Self {
        Self {
            passed: passed.into_iter().collect(),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c_11_what_was_found_is_one_short_escaped_line() {
        let rejection = Rejection::new(Reason::IssuerUnknown, "iss")
            .found(&format!("a\r\n\u{1b}[31m\"{}", "x".repeat(1 << 20)));
        let found = rejection.found.unwrap();
        assert!(found.starts_with("a\\u{d}\\u{a}\\u{1b}[31m\""), "{found}");
        assert!(found.len() < 300, "{}", found.len());
    }
}
