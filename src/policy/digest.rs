//! The name of a policy: a hash of what it says.
//!
//! The form is JSON with everything sorted that has no order of its own, so
//! that moving a rule, a file or a comment changes nothing, and changing what
//! is granted to whom always does.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value as Json, json};

use crate::model::{Permission, Target};

use super::{DomainPolicy, Explain, Matcher, Role, Rule};

/// SHA-256 of the canonical form, in hexadecimal.
pub(super) fn of(targets: &[Arc<Target>], roles: &[Role], domains: &[DomainPolicy]) -> String {
    let canonical = json!({
        "version": 1,
        "targets": sorted(targets.iter().map(|t| target(t))),
        "roles": sorted(roles.iter().map(role)),
        "domains": sorted(domains.iter().map(domain)),
    });
    let hash = digest(&SHA256, canonical.to_string().as_bytes());
    hash.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

fn target(target: &Target) -> Json {
    json!({
        "name": target.name.as_str(),
        "audience": target.audience,
        "namespaces": sorted(target.namespaces.iter().map(|n| n.as_str().into())),
        "maxTtl": target.max_ttl.as_secs(),
        "permissionsClaim": target.permissions_claim,
    })
}

fn role(role: &Role) -> Json {
    json!({
        "name": role.name.as_str(),
        "target": role.target.as_str(),
        "permissions": permissions(&role.permissions),
        "maxTtl": role.max_ttl.as_secs(),
    })
}

fn domain(domain: &DomainPolicy) -> Json {
    let explain = match domain.explain {
        Explain::None => "none",
        Explain::Mismatch => "mismatch",
        Explain::Full => "full",
    };
    json!({
        "name": domain.name.as_str(),
        "bindToEvidenceLife": domain.bind_to_evidence_life,
        "explain": explain,
        "pinned": sorted(domain.demands.pinned.iter().map(|p| (*p).into())),
        "untrusted": domain.demands.untrusted,
        "forbid": sorted(domain.forbid.iter().map(|f| matcher(&f.matcher))),
        "rules": sorted(domain.rules.iter().map(rule)),
    })
}

fn rule(rule: &Rule) -> Json {
    let conditions = rule.when.iter();
    json!({
        "name": rule.name.as_str(),
        "mode": rule.mode.as_str(),
        "match": sorted(rule.matchers.iter().map(matcher)),
        "when": sorted(conditions.map(|c| json!([c.name().as_str(), c.source()]))),
        "role": rule.role.as_str(),
        "ttl": rule.ttl.map(|t| t.as_secs()),
        "only": rule.only.as_ref().map(|o| sorted(o.iter().map(|n| n.as_str().into()))),
    })
}

fn matcher(matcher: &Matcher) -> Json {
    let values = matcher.any_of.iter();
    json!({
        "field": *matcher.field,
        "anyOf": sorted(values.map(|p| p.canonical().into())),
    })
}

fn permissions(permissions: &[Permission]) -> Json {
    sorted(permissions.iter().map(|p| p.to_string().into()))
}

fn sorted(items: impl Iterator<Item = Json>) -> Json {
    let mut items: Vec<Json> = items.collect();
    items.sort_by_cached_key(Json::to_string);
    items.into()
}

#[cfg(test)]
#[path = "digest_tests.rs"]
mod tests;
