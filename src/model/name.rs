//! Names that administrators give: trust domains, targets, roles, rules.
//!
//! All are lower-case DNS-like labels, so that two names that look alike to a
//! person are the same bytes, and a name can stand in a URL path, a metric
//! label, a file name and a log line without escaping.

use std::{fmt, str::FromStr, sync::Arc};

/// Longest name, in bytes.
pub const MAX_NAME: usize = 63;

/// Why a text is not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a name has 1 to 63 characters of a-z, 0-9, '-', '_' and '.', and begins and ends with a letter or digit"
)]
pub struct NameError;

fn check(text: &str) -> Result<(), NameError> {
    let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    let ok = bytes.len() <= MAX_NAME
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes
            .iter()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.'));
    ok.then_some(()).ok_or(NameError)
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                check(text).map(|()| Self(text.into()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    )*};
}

names! {
    /// The name of a condition in a rule's `when`.
    ConditionName;
    /// The name of a role.
    RoleName;
    /// The name of a rule inside its trust domain.
    RuleName;
    /// The name of a target.
    TargetName;
    /// The name of a configured trust domain (its file's `metadata.name`).
    TrustDomainName;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_labels() {
        for good in ["a", "github-acme", "eks.prod_1", &"x".repeat(63)] {
            assert!(good.parse::<RoleName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "-a",
            "a-",
            "A",
            "a b",
            "a/b",
            "ä",
            "a\u{0}",
            &"x".repeat(64),
        ] {
            assert!(bad.parse::<RoleName>().is_err(), "{bad}");
        }
    }
}
