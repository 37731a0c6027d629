//! What a Temporal credential allows: an access level on a namespace.

use std::{fmt, str::FromStr, sync::Arc};

/// A Temporal namespace name.
///
/// Temporal compares names byte by byte and honours a permission with an empty
/// name for calls that carry none (measured), so an empty name, a `:` and the
/// cluster-wide `temporal-system` are refused here once and for all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(Arc<str>);

/// The name whose permissions Temporal applies to every namespace
/// (`primitives.SystemLocalNamespace`).
pub const SYSTEM_NAMESPACE: &str = "temporal-system";

/// Why a text is not a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NamespaceError {
    /// Bad characters or length.
    #[error("a namespace has 1 to 255 characters of A-Z, a-z, 0-9, '-', '_' and '.'")]
    Malformed,
    /// The cluster-wide name.
    #[error(
        "`temporal-system` is the whole cluster, not a namespace: use `systemRole` where that is really meant"
    )]
    System,
}

impl Namespace {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Namespace {
    type Err = NamespaceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Case variants of the system name mean nothing to Temporal today, but
        // nobody writes one for a good reason.
        if text.eq_ignore_ascii_case(SYSTEM_NAMESPACE) {
            return Err(NamespaceError::System);
        }
        let ok = (1..=255).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        if ok {
            Ok(Self(text.into()))
        } else {
            Err(NamespaceError::Malformed)
        }
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An access level, as Temporal's default authorizer understands it
/// (`common/authorization/roles.go`): each includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// Describe, list, query.
    Read,
    /// Poll, respond, start, signal, terminate: what a worker needs.
    Write,
    /// Change or create the namespace itself.
    Admin,
}

impl Access {
    /// The word in a token's `permissions`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Access {
    type Err = &'static str;

    /// `worker` is an alias of `write`: Temporal's own `worker` role satisfies
    /// no check of the default authorizer (measured).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "read" => Ok(Self::Read),
            "write" | "worker" => Ok(Self::Write),
            "admin" => Ok(Self::Admin),
            _ => Err("an access level is read, write, worker (the same as write) or admin"),
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One item of a credential's `permissions`, such as `payments:write`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Permission {
    /// Where; `None` is the whole cluster (`temporal-system`), which only a
    /// role's explicit `systemRole` can produce.
    pub namespace: Option<Namespace>,
    /// How much.
    pub access: Access,
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let namespace = self
            .namespace
            .as_ref()
            .map_or(SYSTEM_NAMESPACE, Namespace::as_str);
        write!(f, "{namespace}:{}", self.access)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dangerous_namespaces_are_refused() {
        assert!("payments-prod.a1b2c".parse::<Namespace>().is_ok());
        for bad in ["", " ", "a:b", "*", "a b", "ä", "a\n", &"x".repeat(256)] {
            assert_eq!(
                bad.parse::<Namespace>(),
                Err(NamespaceError::Malformed),
                "{bad}"
            );
        }
        for bad in ["temporal-system", "Temporal-System"] {
            assert_eq!(
                bad.parse::<Namespace>(),
                Err(NamespaceError::System),
                "{bad}"
            );
        }
    }

    #[test]
    fn worker_means_write_and_levels_are_ordered() {
        assert_eq!("worker".parse(), Ok(Access::Write));
        assert!("Write".parse::<Access>().is_err());
        assert!(Access::Read < Access::Write && Access::Write < Access::Admin);
    }

    #[test]
    fn permissions_print_as_temporal_reads_them() {
        let permission = Permission {
            namespace: Some("payments".parse().unwrap()),
            access: Access::Write,
        };
        assert_eq!(permission.to_string(), "payments:write");
        let system = Permission {
            namespace: None,
            access: Access::Read,
        };
        assert_eq!(system.to_string(), "temporal-system:read");
    }
}
