//! Compact JWS, in and out.
//!
//! SKELETON CONTRACT (owner: jose)

pub mod algorithm;
pub mod compact;
pub mod jwk;
pub mod sign;

pub use algorithm::Algorithm;
pub use compact::{Compact, Header, JoseError, Verified};
pub use jwk::{KeySet, KeyUse, Lookup, Skipped, VerifyKey};
pub use sign::{LocalKey, SignError, Signer, encode};
