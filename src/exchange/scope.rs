//! The `scope` parameter: a role name, and `namespace:access` items that narrow it.

use crate::model::{
    Access, Namespace, Permission, RoleName,
    permission::{NamespaceError, SYSTEM_NAMESPACE},
};

/// What a scope asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Scope {
    /// The role, if one is named.
    pub(super) role: Option<RoleName>,
    /// What the role is narrowed to; empty means all of it.
    pub(super) narrow: Vec<Permission>,
}

/// Most items in one scope.
const MAX_ITEMS: usize = 64;

impl Scope {
    /// Reads a scope (RFC 6749 section 3.3: items separated by one space).
    /// `None` is a scope that means nothing here.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut scope = Self::default();
        for (count, item) in text.split(' ').enumerate() {
            if count == MAX_ITEMS {
                return None;
            }
            match item.split_once(':') {
                Some((namespace, access)) => {
                    let permission = permission(namespace, access)?;
                    if !scope.narrow.contains(&permission) {
                        scope.narrow.push(permission);
                    }
                }
                // Two roles would be a union, which is never granted.
                None if scope.role.is_some() => return None,
                None => scope.role = Some(item.parse().ok()?),
            }
        }
        Some(scope)
    }
}

fn permission(namespace: &str, access: &str) -> Option<Permission> {
    let access: Access = access.parse().ok()?;
    let namespace = match namespace.parse::<Namespace>() {
        Ok(namespace) => Some(namespace),
        // Asking for the cluster is well formed; policy says whether it is granted.
        Err(NamespaceError::System) if namespace == SYSTEM_NAMESPACE => None,
        Err(_) => return None,
    };
    Some(Permission { namespace, access })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_one_role_and_permissions() {
        let scope = Scope::parse("worker payments:read orders:write payments:read").unwrap();
        assert_eq!(scope.role.unwrap().as_str(), "worker");
        let items: Vec<_> = scope.narrow.iter().map(ToString::to_string).collect();
        assert_eq!(items, ["payments:read", "orders:write"]);
        let only = Scope::parse("temporal-system:read").unwrap();
        assert_eq!(only.narrow[0].namespace, None);
    }

    #[test]
    fn anything_else_means_nothing() {
        for bad in [
            "",
            " ",
            "a  b",
            "a b",
            "a:",
            ":write",
            "a:owner",
            "a:b:c",
            "A",
            "\"a\"",
            "*:write",
            "Temporal-System:read",
            "a ",
            " a",
        ] {
            assert_eq!(Scope::parse(bad), None, "{bad:?}");
        }
        let many = vec!["a:read"; 65].join(" ");
        assert_eq!(Scope::parse(&many), None);
    }
}
