//! A grant in, a credential out: one file for each type of credential.
//!
//! The grant is taken by value, so that one decision is one credential. What is
//! minted has an end, always: the server that reads it would accept a token
//! without one for ever (measured).

mod self_hosted;

use crate::base::{clock::Moment, secret::Secret};

pub use self_hosted::self_hosted;

/// What was minted. Only this room makes one.
///
/// ```compile_fail
/// fn forge(token: assay::base::secret::Secret) -> assay::mint::Credential {
///     assay::mint::Credential { token, expires_at: Default::default() }
/// }
/// ```
pub struct Credential {
    token: Secret,
    expires_at: Moment,
}

impl Credential {
    /// The token itself.
    pub fn secret(&self) -> &Secret {
        &self.token
    }

    /// When it ends.
    pub fn expires_at(&self) -> Moment {
        self.expires_at
    }
}

/// Minting did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the credential could not be minted")]
pub struct MintError;
