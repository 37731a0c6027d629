//! Everything one exchange decides on, as one immutable value.
//!
//! A reload builds a new world beside the old one and swaps it whole; an
//! exchange holds on to the world it began with, and the ledger's guard makes
//! sure that it is still the current one when it is recorded.

use std::sync::Arc;

use crate::{
    evidence::Registry,
    model::{IssuerUrl, Reason, Target, TargetName},
    policy::{Explain, Policy},
};

use super::{refusal::Refusal, request::ExchangeRequest};

/// The trust and the policy of one loaded plan.
pub struct World {
    /// Our own issuer identifier: `iss` of what is minted, and the audience of
    /// evidence unless a trust domain says otherwise.
    pub issuer: IssuerUrl,
    /// Who is trusted.
    pub registry: Registry,
    /// What they may have.
    pub policy: Arc<Policy>,
    /// Most bytes of a token.
    pub max_token: usize,
}

impl World {
    /// How much callers of a trust domain are told.
    pub(super) fn explain(&self, domain: &str) -> Explain {
        self.policy
            .domain(domain)
            .map_or(Explain::None, |domain| domain.explain)
    }

    /// The one target that a request names, by `audience` (its name) or
    /// `resource` (its URI); both may be given if they agree.
    pub(super) fn target(&self, request: &ExchangeRequest) -> Result<TargetName, Refusal> {
        let mut found: Option<&Arc<Target>> = None;
        let named = (request.audience.iter()).map(|name| ("audience", self.policy.target(name)));
        let located = (request.resource.iter()).map(|uri| ("resource", self.by_resource(uri)));
        for (parameter, target) in named.chain(located) {
            let target =
                target.ok_or_else(|| Refusal::parameter(Reason::TargetUnknown, parameter))?;
            match found {
                Some(other) if other.name != target.name => {
                    return Err(Refusal::parameter(Reason::TargetAmbiguous, parameter));
                }
                _ => found = Some(target),
            }
        }
        found
            .map(|target| target.name.clone())
            .ok_or_else(|| Refusal::parameter(Reason::TargetMissing, "audience"))
    }

    fn by_resource(&self, uri: &str) -> Option<&Arc<Target>> {
        let is = |target: &&Arc<Target>| target.resource.as_deref() == Some(uri);
        self.policy.targets().iter().find(is)
    }
}
