//! Evidence that passed.
//!
//! There is one way to an [`Identity`]: [`verify`](super::verify). It has no
//! public constructor, no `Default`, no `Clone` and no conversion, so a path
//! that leaves out a check does not compile.

use std::sync::Arc;

use crate::{
    base::clock::Moment,
    jose::Algorithm,
    model::{Attributes, TrustDomainName},
};

use super::{Source, TrustDomain};

/// Evidence that passed. Only this room makes one.
///
/// It is read through its accessors:
///
/// ```
/// fn who(identity: &assay::evidence::Identity) -> &str {
///     identity.subject()
/// }
/// ```
///
/// It cannot be put together elsewhere:
///
/// ```compile_fail,E0451
/// fn forge(real: assay::evidence::Identity) -> assay::evidence::Identity {
///     assay::evidence::Identity { subject: "spiffe://td1.test/admin".into(), ..real }
/// }
/// ```
///
/// nor copied, so that one verification is one decision:
///
/// ```compile_fail,E0599
/// fn copy(real: &assay::evidence::Identity) -> assay::evidence::Identity {
///     assay::evidence::Identity::clone(real)
/// }
/// ```
///
/// nor taken from an identity that nobody proved:
///
/// ```compile_fail,E0277
/// fn promote(supposed: assay::evidence::Supposed) -> assay::evidence::Identity {
///     supposed.into()
/// }
/// ```
#[derive(Debug)]
pub struct Identity {
    pub(super) trust_domain: Arc<TrustDomain>,
    pub(super) subject: String,
    pub(super) attributes: Attributes,
    pub(super) expires_at: Moment,
    pub(super) digest: [u8; 32],
    pub(super) kid: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) jti: Option<String>,
}

impl Identity {
    /// The trust domain that it was verified against.
    pub fn trust_domain(&self) -> &Arc<TrustDomain> {
        &self.trust_domain
    }

    /// Canonical and bounded: `spiffe://...`, or `<trust domain name>:<sub>`.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// What rules match.
    pub fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// When the evidence expires, without leeway.
    pub fn expires_at(&self) -> Moment {
        self.expires_at
    }

    /// SHA-256 of the signed bytes: the single-use key. It does not depend on
    /// the signature, of which one token can have several.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// The id of the key that verified it, as the token names it.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The algorithm of its signature.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The token's own id: for the audit record only.
    pub fn jti(&self) -> Option<&str> {
        self.jti.as_deref()
    }
}

/// A subject that no other trust domain can have: a SPIFFE ID is one by itself,
/// any other is one with the trust domain's name before it.
pub(super) fn canonical_subject(name: &TrustDomainName, source: &Source, subject: &str) -> String {
    if source.outline().profile.global_subject {
        subject.to_owned()
    } else {
        format!("{name}:{subject}")
    }
}
