//! Compact JWS, in and out.
//!
//! This room is the only one that knows what a JWS is, and it is strict where
//! libraries are kind: one serialisation, one spelling of base64url, no header
//! parameter that would change what is verified, and an algorithm that the key
//! decides when it is loaded and the token can only agree with. A token is
//! parsed once, and what is read from it later are the very bytes that were
//! verified.

pub mod algorithm;
pub mod compact;
mod header;
pub mod jwk;
pub mod sign;
mod weak;

pub use algorithm::Algorithm;
pub use compact::{Compact, JoseError, Verified};
pub use header::Header;
pub use jwk::{KeySet, KeyUse, Lookup, Skipped, VerifyKey};
pub use sign::{LocalKey, SignError, Signer, encode};
