//! Permissions only ever shrink: role, then rule, then ask.

use crate::model::{Access, Namespace, Permission};

/// What is left of a role's permissions in the namespaces of a rule's `only`.
///
/// A cluster-wide permission names no namespace, so `only` takes it away.
pub(super) fn limited(role: &[Permission], only: Option<&[Namespace]>) -> Vec<Permission> {
    let stays = |p: &&Permission| match (only, &p.namespace) {
        (None, _) => true,
        (Some(only), Some(namespace)) => only.contains(namespace),
        (Some(_), None) => false,
    };
    role.iter().filter(stays).cloned().collect()
}

/// The first item that is asked for beyond what is allowed. Each is checked:
/// one good item must not carry a bad one.
pub(super) fn beyond<'a>(
    allowed: &[Permission],
    asked: &'a [Permission],
) -> Option<&'a Permission> {
    asked.iter().find(|item| !includes(allowed, item))
}

/// What is both allowed and asked for, one permission per namespace.
pub(super) fn narrowed(allowed: &[Permission], asked: &[Permission]) -> Vec<Permission> {
    let both = |allowed: &Permission| {
        let access = asked
            .iter()
            .filter(|item| item.namespace == allowed.namespace)
            .map(|item| item.access.min(allowed.access))
            .max()?;
        Some(Permission {
            namespace: allowed.namespace.clone(),
            access,
        })
    };
    allowed.iter().filter_map(both).collect()
}

/// The highest access; a cluster-wide permission counts as the highest there is.
pub(super) fn highest(permissions: &[Permission]) -> Option<Access> {
    permissions
        .iter()
        .map(|p| match p.namespace {
            Some(_) => p.access,
            None => Access::Admin,
        })
        .max()
}

fn includes(allowed: &[Permission], item: &Permission) -> bool {
    allowed
        .iter()
        .any(|p| p.namespace == item.namespace && item.access <= p.access)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::{permission, permissions};

    #[test]
    fn only_keeps_the_named_namespaces_and_drops_the_cluster() {
        let role = permissions(&["a:write", "b:read", "system:read"]);
        let only = ["b".parse().unwrap()];
        assert_eq!(limited(&role, Some(&only)), permissions(&["b:read"]));
        assert_eq!(limited(&role, None), role);
        assert!(limited(&role, Some(&[])).is_empty());
    }

    #[test]
    fn each_item_is_checked_at_every_position() {
        let allowed = permissions(&["a:write", "b:read"]);
        let good = ["a:read", "a:write", "b:read"];
        assert_eq!(beyond(&allowed, &permissions(&good)), None);
        for bad in ["a:admin", "b:write", "c:read", "system:read"] {
            for position in 0..=good.len() {
                let mut asked = permissions(&good);
                asked.insert(position, permission(bad));
                assert_eq!(
                    beyond(&allowed, &asked),
                    Some(&permission(bad)),
                    "{bad} at {position}"
                );
            }
        }
    }

    #[test]
    fn cluster_wide_access_does_not_answer_for_a_namespace() {
        let allowed = permissions(&["system:admin"]);
        let asked = permissions(&["a:read"]);
        assert!(beyond(&allowed, &asked).is_some());
        let asked = permissions(&["system:write"]);
        assert_eq!(beyond(&allowed, &asked), None);
        assert_eq!(narrowed(&allowed, &asked), asked);
    }

    #[test]
    fn narrowing_is_an_intersection_with_one_permission_per_namespace() {
        let allowed = permissions(&["a:write", "b:admin", "c:read"]);
        let asked = permissions(&["b:read", "a:read", "a:write", "a:read"]);
        assert_eq!(
            narrowed(&allowed, &asked),
            permissions(&["a:write", "b:read"])
        );
    }

    #[test]
    fn the_cluster_counts_as_the_highest_access() {
        assert_eq!(
            highest(&permissions(&["a:read", "b:write"])),
            Some(Access::Write)
        );
        assert_eq!(highest(&permissions(&["system:read"])), Some(Access::Admin));
        assert_eq!(highest(&[]), None);
    }
}
