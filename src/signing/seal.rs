//! Private keys at rest: AES-256-GCM under the key-encryption key.

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, NONCE_LEN, RandomizedNonceKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{base::secret::Secret, model::{TargetName, TargetSigning}};

use super::SigningError;

/// Seals and unseals private keys.
pub(super) struct Sealer(RandomizedNonceKey);

impl Sealer {
    /// Takes a key-encryption key of 32 bytes: raw, or as 64 hexadecimal
    /// digits, or in standard base64 with padding.
    pub(super) fn new(key: &Secret) -> Result<Self, SigningError> {
        let text = key.expose();
        let decoded = match text.len() {
            32 => Some(Secret::new(text.to_vec())),
            64 => hex(text).map(Secret::new),
            44 => STANDARD.decode(text).ok().filter(|key| key.len() == 32).map(Secret::new),
            _ => None,
        };
        let decoded = decoded.ok_or(SigningError::KeyEncryptionKey)?;
        RandomizedNonceKey::new(&AES_256_GCM, decoded.expose())
            .map(Self)
            .map_err(|_| SigningError::KeyEncryptionKey)
    }

    /// Nonce, ciphertext and tag. What the key is for is authenticated with it,
    /// so that one row's key cannot be moved to another target.
    pub(super) fn seal(&self, of: &Of<'_>, private: &Secret) -> Result<Vec<u8>, SigningError> {
        let mut text = private.expose().to_vec();
        let nonce = self
            .0
            .seal_in_place_append_tag(Aad::from(of.bytes()), &mut text)
            .map_err(|_| SigningError::KeyEncryptionKey)?;
        let mut sealed = nonce.as_ref().to_vec();
        sealed.append(&mut text);
        Ok(sealed)
    }

    pub(super) fn unseal(&self, of: &Of<'_>, sealed: &[u8]) -> Result<Secret, SigningError> {
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN).ok_or(SigningError::Sealed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SigningError::Sealed)?;
        let mut text = text.to_vec();
        let opened = self.0.open_in_place(nonce, Aad::from(of.bytes()), &mut text);
        let length = opened.map_err(|_| SigningError::Sealed)?.len();
        text.truncate(length);
        Ok(Secret::new(text))
    }
}

/// What a sealed key is for.
pub(super) struct Of<'a> {
    pub(super) target: &'a TargetName,
    pub(super) kid: &'a str,
    pub(super) signing: TargetSigning,
}

impl Of<'_> {
    fn bytes(&self) -> Vec<u8> {
        // Names and thumbprints hold no `|`.
        format!("assay signing key|{}|{}|{}", self.target, self.kid, self.signing.as_str()).into_bytes()
    }
}

fn hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    text.chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(key: &[u8]) -> Result<Sealer, SigningError> {
        Sealer::new(&Secret::new(key.to_vec()))
    }

    #[test]
    fn a_key_is_bound_to_what_it_is_for() {
        let target = "prod".parse().unwrap();
        let other = "test".parse().unwrap();
        let of = |target, kid, signing| Of { target, kid, signing };
        let sealer = sealer(&[7; 32]).unwrap();
        let private = Secret::new(b"private".to_vec());
        let good = of(&target, "k", TargetSigning::Es256);
        let sealed = sealer.seal(&good, &private).unwrap();
        assert_eq!(sealer.unseal(&good, &sealed).unwrap().expose(), b"private");
        for wrong in [
            of(&other, "k", TargetSigning::Es256),
            of(&target, "l", TargetSigning::Es256),
            of(&target, "k", TargetSigning::Rs256),
        ] {
            assert!(matches!(sealer.unseal(&wrong, &sealed), Err(SigningError::Sealed)));
        }
        let another = super::tests::sealer(&[8; 32]).unwrap();
        assert!(matches!(another.unseal(&good, &sealed), Err(SigningError::Sealed)));
        for at in 0..sealed.len() {
            let mut broken = sealed.clone();
            broken[at] ^= 1;
            assert!(sealer.unseal(&good, &broken).is_err(), "byte {at}");
        }
        assert!(sealer.unseal(&good, &sealed[..5]).is_err());
        assert_ne!(sealed, sealer.seal(&good, &private).unwrap(), "a nonce is never used twice");
    }

    #[test]
    fn the_key_encryption_key_has_three_spellings() {
        let target = "prod".parse().unwrap();
        let of = Of { target: &target, kid: "k", signing: TargetSigning::Es256 };
        let sealed = sealer(&[0xab; 32]).unwrap().seal(&of, &Secret::new(vec![1])).unwrap();
        let base64 = STANDARD.encode([0xab; 32]);
        for spelling in ["ab".repeat(32), "AB".repeat(32), base64] {
            assert!(sealer(spelling.as_bytes()).unwrap().unseal(&of, &sealed).is_ok(), "{spelling}");
        }
        for wrong in [&b""[..], &[1; 31], &[1; 33], &[b'g'; 64], &[b'!'; 44]] {
            assert!(matches!(sealer(wrong), Err(SigningError::KeyEncryptionKey)), "{wrong:?}");
        }
    }
}
