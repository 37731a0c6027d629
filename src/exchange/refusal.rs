//! A refusal on its way to the caller and to the audit record.
//!
//! The two are told different things. The audit record always holds what was
//! compared; the caller learns as much as the trust domain's `explain` allows,
//! and nothing at all about evidence that did not verify.

use crate::{
    evidence::Rejection,
    model::{Reason, RoleName},
    policy::{Denial, Explain, Mismatch},
};

/// What was compared and did not fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hint {
    /// The rule that came nearest.
    pub rule: Option<String>,
    /// The field, claim, header or parameter.
    pub field: Option<String>,
    /// What was found, made safe to show.
    pub found: Option<String>,
    /// What was wanted.
    pub wanted: Option<String>,
    /// What to do about it, where that is known.
    pub hint: Option<String>,
}

/// Why a request got no credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The stable reason.
    pub reason: Reason,
    /// Everything that was compared: for the audit record.
    pub inside: Box<Hint>,
    /// What the caller is told of it.
    pub outside: Option<Box<Hint>>,
    /// The caller's own roles, where it has to choose one.
    pub roles: Vec<RoleName>,
    /// Seconds after which to try again.
    pub retry_after: Option<u64>,
}

impl Refusal {
    /// A refusal that has nothing to compare.
    pub fn of(reason: Reason) -> Self {
        Self {
            reason,
            inside: Box::default(),
            outside: None,
            roles: Vec::new(),
            retry_after: None,
        }
    }

    /// A refusal of one request parameter. Its name comes from this program, so
    /// the caller may see it.
    pub fn parameter(reason: Reason, name: &'static str) -> Self {
        let hint = Box::new(Hint {
            field: Some(name.to_owned()),
            ..Hint::default()
        });
        Self {
            inside: hint.clone(),
            outside: Some(hint),
            ..Self::of(reason)
        }
    }

    /// A refusal that is worth trying again.
    pub fn later(reason: Reason, seconds: u64) -> Self {
        Self {
            retry_after: Some(seconds.max(1)),
            ..Self::of(reason)
        }
    }

    /// Evidence that did not verify. The caller is told which of its own values
    /// did not fit only once the signature has proved that it is theirs.
    pub fn evidence(rejection: Rejection, explain: Explain) -> Self {
        let verified = rejection.passed.contains(&"signature");
        let inside = Box::new(Hint {
            rule: None,
            field: rejection.field.map(str::to_owned),
            found: rejection.found,
            wanted: rejection.wanted,
            hint: None,
        });
        // The audience and the time are the broker's own: a caller who is told
        // them can mend its request, and a stranger can read them in the metadata.
        // Another tenant's caller is a stranger: which tenant is trusted here is
        // not for it to know.
        let mut outside = (verified && explain != Explain::None).then(|| inside.clone());
        if rejection.reason == Reason::TenantMismatch {
            outside.iter_mut().for_each(|hint| hint.wanted = None);
        }
        Self {
            inside,
            outside,
            ..Self::of(rejection.reason)
        }
    }

    /// A denial by policy, told as far as the trust domain allows.
    pub fn denial(denial: Denial, explain: Explain) -> Self {
        let shown = denial
            .mismatch
            .as_ref()
            .and_then(|mismatch| mismatch.shown(explain));
        Self {
            outside: shown.map(hint_of).map(Box::new),
            inside: Box::new(denial.mismatch.map(hint_of).unwrap_or_default()),
            roles: denial.roles,
            ..Self::of(denial.reason)
        }
    }
}

fn hint_of(mismatch: Mismatch) -> Hint {
    Hint {
        rule: mismatch.rule.map(|rule| rule.to_string()),
        field: Some(mismatch.field),
        found: mismatch.found,
        wanted: mismatch.wanted,
        hint: mismatch.hint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejection(passed: Vec<&'static str>) -> Rejection {
        Rejection {
            reason: Reason::AudienceMismatch,
            field: Some("aud"),
            found: Some("theirs".into()),
            wanted: Some("ours".into()),
            passed,
        }
    }

    fn denial() -> Denial {
        Denial {
            reason: Reason::RuleNoMatch,
            mismatch: Some(Mismatch {
                rule: Some("deploy".parse().unwrap()),
                field: "ref".into(),
                found: Some("refs/heads/x".into()),
                wanted: Some("refs/heads/main".into()),
                hint: Some("near".into()),
            }),
            roles: Vec::new(),
            trace: Default::default(),
        }
    }

    #[test]
    fn unverified_evidence_is_never_explained_to_the_caller() {
        let refusal = Refusal::evidence(rejection(vec!["header"]), Explain::Full);
        assert_eq!(refusal.outside, None);
        assert_eq!(refusal.inside.found.as_deref(), Some("theirs"));
    }

    #[test]
    fn verified_evidence_is_explained_unless_the_domain_says_not_to() {
        let told = Refusal::evidence(rejection(vec!["header", "signature"]), Explain::Mismatch);
        assert_eq!(told.outside.unwrap().wanted.as_deref(), Some("ours"));
        let silent = Refusal::evidence(rejection(vec!["signature"]), Explain::None);
        assert_eq!(silent.outside, None);
    }

    #[test]
    fn a_stranger_of_a_shared_issuer_does_not_learn_which_tenant_is_trusted() {
        let foreign = Rejection {
            reason: Reason::TenantMismatch,
            ..rejection(vec!["signature"])
        };
        let told = Refusal::evidence(foreign, Explain::Full);
        assert_eq!(told.outside.unwrap().wanted, None);
        assert!(told.inside.wanted.is_some());
    }

    #[test]
    fn a_denial_tells_each_level_no_more_than_it_may() {
        assert_eq!(Refusal::denial(denial(), Explain::None).outside, None);
        let middle = Refusal::denial(denial(), Explain::Mismatch)
            .outside
            .unwrap();
        assert_eq!(
            (middle.field.as_deref(), middle.found.as_deref()),
            (Some("ref"), Some("refs/heads/x"))
        );
        assert_eq!(
            (middle.rule, middle.wanted, middle.hint),
            (None, None, None)
        );
        let full = Refusal::denial(denial(), Explain::Full);
        assert_eq!(full.outside.as_ref(), Some(&full.inside));
        assert_eq!(full.inside.wanted.as_deref(), Some("refs/heads/main"));
    }
}
