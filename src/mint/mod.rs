//! A grant in, a credential out: one file for each type of credential.
//!
//! Minting takes the grant by value, so one decision makes one credential, and
//! adds nothing to it: what may be done, where and for how long was decided
//! before. What it does decide is form, and forms that a Temporal server would
//! read as something else are refused here once more.

mod self_hosted;
mod subject;

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
    secret: Secret,
    expires_at: Moment,
}

impl Credential {
    /// The token itself.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// When it stops being accepted: the token's `exp`.
    pub fn expires_at(&self) -> Moment {
        self.expires_at
    }

    /// The whole seconds left at `now`: the `expires_in` of an answer.
    pub fn expires_in(&self, now: Moment) -> u64 {
        self.expires_at.since(now).as_secs()
    }
}

/// Minting did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    /// The signing key could not be used.
    #[error("the credential could not be minted: the signing key could not be used")]
    Sign,
    /// The grant has a value that Temporal would read as something else.
    #[error("the credential could not be minted: {0}")]
    Form(&'static str),
}
