//! Compact JWS, in and out.
//!
//! A token library that serves everybody has to accept what anybody sends, and
//! its history is a list of what that let in: `none`, a public key used as an
//! HMAC secret, keys fetched from an address in the token, a second `sub`.
//! This room serves one purpose, so most of JOSE has no representation here:
//! no symmetric algorithm, no encryption, no JSON serialisation, no key that
//! comes with the token. What is left is parsed once, strictly, and the bytes
//! that were parsed are the bytes that are verified.
//!
//! An algorithm belongs to a key, decided when the key set is loaded. The
//! token's `alg` can only agree with that or be refused.

pub mod algorithm;
pub mod compact;
pub mod error;
pub mod header;
pub mod jwk;
mod rsa;
pub mod sign;
#[cfg(test)]
pub(crate) mod testing;
pub mod thumbprint;
pub mod verify_key;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

pub use algorithm::Algorithm;
pub use compact::{Compact, Jws, Verified};
pub use error::{JoseError, Part, SetError};
pub use header::Header;
pub use jwk::{KeySet, KeyUse, Lookup, Skipped};
pub use sign::{LocalKey, SignError, Signer, encode};
pub use thumbprint::thumbprint;
pub use verify_key::VerifyKey;

/// Strict base64url: no padding, no other alphabet, no white space, and the
/// bits beyond the last byte are zero. Each byte string has one spelling.
fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64url_has_one_spelling_per_byte_string() {
        assert_eq!(decode("-_8"), Some(vec![0xfb, 0xff]));
        for bad in [
            "-_8=", "+/8", "-_9", "-_8 ", " -_8", "-_\n8", "A", "-_8ä", "-_8\0",
        ] {
            assert_eq!(decode(bad), None, "{bad:?}");
        }
    }
}
