//! One place that a credential is for.

use super::{Namespace, TargetName, Ttl};

/// The algorithm that a target's credentials are signed with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TargetSigning {
    /// ECDSA on P-256 with SHA-256.
    #[default]
    Es256,
    /// RSA (PKCS #1 v1.5) with SHA-256.
    Rs256,
}

impl TargetSigning {
    /// The JOSE name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }
}

/// A configured target.
///
/// The one kind so far is a self-hosted Temporal cluster; further kinds turn
/// the fields that are particular to it into a variant of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name: the `audience` that a caller asks for.
    pub name: TargetName,
    /// A URI that means the same, for callers that send `resource`.
    pub resource: Option<String>,
    /// `host:port` of the Temporal frontend, handed to the caller.
    pub address: String,
    /// The `aud` of the minted token (Temporal's `authorization.audience`).
    pub audience: String,
    /// The only namespaces that any role may name on this target.
    pub namespaces: Vec<Namespace>,
    /// Longest lifetime of a credential for this target.
    pub max_ttl: Ttl,
    /// The algorithm of its signing key.
    pub signing: TargetSigning,
    /// `jwtKeyProvider.refreshInterval` of the slowest server that reads this
    /// target's key set: a new key is published at least this long before use.
    pub jwks_refresh: Ttl,
    /// How long a signing key signs before the next one takes over.
    pub key_lifetime: Ttl,
    /// The claim that carries permissions (Temporal's `permissionsClaimName`).
    pub permissions_claim: String,
}
