//! JSON Web Key Sets and SPIFFE bundles' JWT keys: parsed once, algorithm bound at load.

use std::sync::Arc;

use super::Algorithm;

/// Which keys of a set count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyUse {
    /// `use` absent or `sig` (OIDC issuers).
    Signature,
    /// `use` is `jwt-svid` (SPIFFE bundles); a kid is required.
    JwtSvid,
}

/// A public key, ready to verify, bound to the algorithms that it may be used with.
pub struct VerifyKey {
    _private: (),
}

impl VerifyKey {
    pub fn kid(&self) -> Option<&str> {
        todo!()
    }
    pub fn algorithms(&self) -> &[Algorithm] {
        todo!()
    }
}

/// A key of a set that is not used, and why (for logs and `assay issuers`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    pub position: usize,
    pub why: &'static str,
}

/// What a `kid` leads to.
pub enum Lookup<'s> {
    Found(&'s Arc<VerifyKey>),
    /// No key of that kid.
    Unknown,
    /// The kid stands on several keys (all of them unusable), or the token has none and there is not exactly one candidate.
    Ambiguous,
}

/// An immutable set of keys.
#[derive(Default)]
pub struct KeySet {
    _private: (),
}

impl KeySet {
    /// Parses `{"keys":[...]}`. Unusable keys are skipped, never fatal; private or symmetric members refuse the whole set.
    /// Duplicate kids: all entries of that kid are unusable. At most 100 keys.
    pub fn parse(
        _bytes: &[u8],
        _uses: KeyUse,
        _allowed: &[Algorithm],
    ) -> Result<(Self, Vec<Skipped>), super::JoseError> {
        todo!()
    }
    pub fn lookup(&self, _kid: Option<&str>) -> Lookup<'_> {
        todo!()
    }
    pub fn len(&self) -> usize {
        todo!()
    }
    pub fn is_empty(&self) -> bool {
        todo!()
    }
    pub fn kids(&self) -> Vec<&str> {
        todo!()
    }
}
