//! Private keys at rest: AES-256-GCM under the key-encryption key.
//!
//! A sealed key is a small envelope: a version byte, the longest lifetime of
//! any token that the key may have signed, a nonce, and the PKCS #8 document
//! encrypted. What stands in the clear, and whose key it is, is authenticated
//! with it, so that a row can neither be moved to another target nor be made
//! to look as if its tokens had expired.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use crate::{
    base::secret::Secret,
    model::{TargetName, TargetSigning, Ttl},
};

use super::SigningError;

const VERSION: u8 = 1;
/// Version and lifetime.
const CLEAR: usize = 1 + 4;

/// Seals and unseals private keys.
pub(super) struct Sealer(RandomizedNonceKey);

/// Whose key it is.
pub(super) struct Owner<'a> {
    pub(super) target: &'a TargetName,
    pub(super) kid: &'a str,
    pub(super) signing: TargetSigning,
}

impl Sealer {
    /// Takes a key-encryption key of 32 bytes. Its length decides how it is
    /// read: 32 bytes raw, 64 hexadecimal digits, 43 or 44 characters of
    /// base64 (either alphabet, with or without padding). 32 printable
    /// characters are refused: they are a passphrase or a shorter key in
    /// hexadecimal, never 32 random bytes.
    pub(super) fn new(key: &Secret) -> Result<Self, SigningError> {
        let text = key.expose();
        let bytes = match text.len() {
            32 if text.iter().all(|b| (0x20..0x7f).contains(b)) => None,
            32 => Some(text.to_vec()),
            43 | 44 => base64(text),
            64 => hex(text),
            _ => None,
        };
        let bytes = bytes.map(Secret::new).filter(|b| b.expose().len() == 32);
        let bytes = bytes.ok_or(SigningError::KeyEncryptionKey)?;
        RandomizedNonceKey::new(&AES_256_GCM, bytes.expose())
            .map(Self)
            .map_err(|_| SigningError::KeyEncryptionKey)
    }

    /// Makes an envelope.
    pub(super) fn seal(
        &self,
        owner: &Owner<'_>,
        longest: Ttl,
        private: &Secret,
    ) -> Result<Vec<u8>, SigningError> {
        let mut envelope = vec![VERSION];
        envelope.extend(longest.as_secs().to_be_bytes());
        // Encrypted in place: no copy of the private key is left behind.
        let mut text = private.expose().to_vec();
        let nonce = self
            .0
            .seal_in_place_append_tag(Aad::from(owner.bound_to(&envelope)), &mut text)
            .map_err(|_| SigningError::Key)?;
        envelope.extend(nonce.as_ref());
        envelope.append(&mut text);
        Ok(envelope)
    }

    /// Opens an envelope: the private key, and the longest lifetime.
    pub(super) fn unseal(
        &self,
        owner: &Owner<'_>,
        envelope: &[u8],
    ) -> Result<(Secret, Ttl), SigningError> {
        let (clear, rest) = envelope
            .split_at_checked(CLEAR)
            .ok_or(SigningError::Sealed)?;
        let [VERSION, longest @ ..] = clear else {
            return Err(SigningError::Sealed);
        };
        let longest = <[u8; 4]>::try_from(longest).map_err(|_| SigningError::Sealed)?;
        let longest =
            Ttl::from_secs(u32::from_be_bytes(longest).into()).map_err(|_| SigningError::Sealed)?;
        let (nonce, text) = rest
            .split_at_checked(NONCE_LEN)
            .ok_or(SigningError::Sealed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SigningError::Sealed)?;
        let mut text = text.to_vec();
        let length = self
            .0
            .open_in_place(nonce, Aad::from(owner.bound_to(clear)), &mut text)
            .map_err(|_| SigningError::Sealed)?
            .len();
        text.truncate(length);
        Ok((Secret::new(text), longest))
    }
}

impl Owner<'_> {
    /// The associated data. Names and thumbprints hold no `|`.
    fn bound_to(&self, clear: &[u8]) -> Vec<u8> {
        let signing = self.signing.as_str();
        let mut bytes = format!("assay|{}|{}|{signing}|", self.target, self.kid).into_bytes();
        bytes.extend(clear);
        bytes
    }
}

fn base64(text: &[u8]) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    [alphabet::STANDARD, alphabet::URL_SAFE]
        .iter()
        .find_map(|a| GeneralPurpose::new(a, LENIENT).decode(text).ok())
}

fn hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    text.chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

    use super::*;

    fn sealer(key: &[u8]) -> Result<Sealer, SigningError> {
        Sealer::new(&Secret::new(key.to_vec()))
    }

    fn private() -> Secret {
        Secret::new(b"a private key".to_vec())
    }

    #[test]
    fn a_sealed_key_opens_only_for_its_owner() {
        let (prod, test) = ("prod".parse().unwrap(), "test".parse().unwrap());
        let owner = |target, kid, signing| Owner {
            target,
            kid,
            signing,
        };
        let sealer = sealer(&[7; 32]).unwrap();
        let right = owner(&prod, "k", TargetSigning::Es256);
        let sealed = sealer.seal(&right, Ttl::secs(900), &private()).unwrap();
        let (opened, longest) = sealer.unseal(&right, &sealed).unwrap();
        assert_eq!(
            (opened.expose(), longest),
            (private().expose(), Ttl::secs(900))
        );
        for wrong in [
            owner(&test, "k", TargetSigning::Es256),
            owner(&prod, "l", TargetSigning::Es256),
            owner(&prod, "k", TargetSigning::Rs256),
        ] {
            let opened = sealer.unseal(&wrong, &sealed);
            assert!(matches!(opened, Err(SigningError::Sealed)));
        }
        let other_kek = super::tests::sealer(&[8; 32]).unwrap();
        assert!(other_kek.unseal(&right, &sealed).is_err());
    }

    #[test]
    fn no_byte_of_an_envelope_can_be_changed_or_cut_off() {
        let target = "prod".parse().unwrap();
        let owner = Owner {
            target: &target,
            kid: "k",
            signing: TargetSigning::Es256,
        };
        let sealer = sealer(&[7; 32]).unwrap();
        let sealed = sealer.seal(&owner, Ttl::secs(900), &private()).unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(sealer.unseal(&owner, &changed).is_err(), "byte {at}");
            assert!(sealer.unseal(&owner, &sealed[..at]).is_err(), "cut at {at}");
        }
        assert!(!sealed.windows(7).any(|w| w == b"private"));
        let again = sealer.seal(&owner, Ttl::secs(900), &private()).unwrap();
        assert_ne!(sealed, again, "no nonce is used twice");
    }

    #[test]
    fn a_key_encryption_key_has_32_bytes_in_four_spellings() {
        let target = "prod".parse().unwrap();
        let owner = Owner {
            target: &target,
            kid: "k",
            signing: TargetSigning::Es256,
        };
        let key = [0xfb; 32];
        let sealed = sealer(&key)
            .unwrap()
            .seal(&owner, Ttl::secs(1), &private())
            .unwrap();
        for spelling in [
            "fb".repeat(32),
            "FB".repeat(32),
            STANDARD.encode(key),
            STANDARD_NO_PAD.encode(key),
            URL_SAFE.encode(key),
            URL_SAFE_NO_PAD.encode(key),
        ] {
            let sealer = sealer(spelling.as_bytes()).unwrap();
            assert!(sealer.unseal(&owner, &sealed).is_ok(), "{spelling}");
        }
        for wrong in [
            &b""[..],
            &[1; 31],
            &[1; 33],
            &[b'g'; 64],
            &[b'!'; 44],
            &[b'A'; 42],
            // Printable: a passphrase, or 16 bytes in hexadecimal.
            b"correct horse battery staple 123",
            b"0123456789abcdef0123456789abcdef",
            // Base64 of 31 and of 33 bytes.
            &STANDARD.encode([1; 31]).into_bytes(),
            &STANDARD.encode([1; 33]).into_bytes(),
        ] {
            let found = sealer(wrong);
            assert!(
                matches!(found, Err(SigningError::KeyEncryptionKey)),
                "{wrong:?}"
            );
        }
    }
}
