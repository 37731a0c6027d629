//! A grant in, a credential out: one file per credential type.
//!
//! SKELETON CONTRACT (owner: signing+mint)

use crate::{
    base::{clock::Moment, secret::Secret},
    policy::Grant,
    signing::ActiveKey,
};

/// What was minted. Only this room makes one.
pub struct Credential {
    _private: (),
}

impl Credential {
    /// The token itself.
    pub fn secret(&self) -> &Secret {
        todo!()
    }
    pub fn expires_at(&self) -> Moment {
        todo!()
    }
}

/// Minting did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the credential could not be minted")]
pub struct MintError;

/// Mints the self-hosted JWT (facts: DESIGN 6). Takes the grant by value. `id` is the lease's id and the token's `jti`.
pub fn self_hosted(
    _grant: Grant,
    _id: &str,
    _issuer: &str,
    _key: &ActiveKey,
    _now: Moment,
) -> Result<Credential, MintError> {
    todo!()
}
