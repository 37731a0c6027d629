//! Keys and tokens for tests: every algorithm, and any header and payload,
//! signed for real.

use std::sync::LazyLock;

use aws_lc_rs::{
    encoding::AsBigEndian as _,
    rand::SystemRandom,
    signature::{
        ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair,
        Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512,
        RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaKeyPair,
    },
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{Algorithm, KeySet, KeyUse, LocalKey, Lookup, Signer as _, VerifyKey};

/// A key that tests sign with.
pub(crate) struct TestKey {
    pair: Pair,
    /// The public JWK's members without braces: no kid, alg or use.
    pub(crate) members: String,
}

enum Pair {
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Ed(Ed25519KeyPair),
}

/// Making an RSA key takes long, so there is one.
static RSA: LazyLock<Vec<u8>> = LazyLock::new(|| {
    LocalKey::generate(Algorithm::Rs256)
        .and_then(|key| key.to_pkcs8())
        .unwrap()
        .expose()
        .to_vec()
});

impl TestKey {
    /// A new key (for RSA: the one) that can sign with that algorithm.
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Es256 => {
                let local = LocalKey::generate(algorithm).unwrap();
                let pkcs8 = local.to_pkcs8().unwrap();
                let pair = EcdsaKeyPair::from_pkcs8(
                    &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING,
                    pkcs8.expose(),
                );
                Self::ec(pair.unwrap(), "P-256")
            }
            Algorithm::Es384 => Self::ec(
                EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap(),
                "P-384",
            ),
            Algorithm::Es512 => Self::ec(
                EcdsaKeyPair::generate(&ECDSA_P521_SHA512_FIXED_SIGNING).unwrap(),
                "P-521",
            ),
            Algorithm::EdDsa => {
                let pair = Ed25519KeyPair::generate().unwrap();
                let x = b64(pair.public_key().as_ref());
                Self {
                    members: format!(r#""kty":"OKP","crv":"Ed25519","x":"{x}""#),
                    pair: Pair::Ed(pair),
                }
            }
            _ => {
                let secret = crate::base::secret::Secret::new(RSA.clone());
                let local = LocalKey::from_pkcs8(Algorithm::Rs256, &secret).unwrap();
                let jwk = local.public_jwk();
                let end = jwk.find(r#","kid""#).unwrap();
                Self {
                    members: jwk[1..end].to_owned(),
                    pair: Pair::Rsa(RsaKeyPair::from_pkcs8(&RSA).unwrap()),
                }
            }
        }
    }

    fn ec(pair: EcdsaKeyPair, curve: &str) -> Self {
        let point: aws_lc_rs::encoding::EcPublicKeyUncompressedBin<'_> =
            pair.public_key().as_be_bytes().unwrap();
        let xy = &point.as_ref()[1..];
        let (x, y) = xy.split_at(xy.len() / 2);
        let (x, y) = (b64(x), b64(y));
        Self {
            members: format!(r#""kty":"EC","crv":"{curve}","x":"{x}","y":"{y}""#),
            pair: Pair::Ec(pair),
        }
    }

    /// The raw JOSE signature; the algorithm matters for RSA.
    pub(crate) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Ec(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::Ed(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let encoding = match algorithm {
                    Algorithm::Rs384 => &RSA_PKCS1_SHA384,
                    Algorithm::Rs512 => &RSA_PKCS1_SHA512,
                    Algorithm::Ps256 => &RSA_PSS_SHA256,
                    Algorithm::Ps384 => &RSA_PSS_SHA384,
                    Algorithm::Ps512 => &RSA_PSS_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, message, &mut signature)
                    .unwrap();
                signature
            }
        }
    }

    /// A compact token of this very header and payload.
    pub(crate) fn token(&self, algorithm: Algorithm, header: &str, payload: &str) -> String {
        let signed = format!("{}.{}", b64(header.as_bytes()), b64(payload.as_bytes()));
        let signature = self.sign(algorithm, signed.as_bytes());
        format!("{signed}.{}", b64(&signature))
    }

    /// A usual token.
    pub(crate) fn usual(&self, algorithm: Algorithm) -> String {
        let header = format!(r#"{{"alg":"{algorithm}","kid":"k1","typ":"JWT"}}"#);
        self.token(algorithm, &header, r#"{"sub":"s","exp":1790000000}"#)
    }

    /// A set of this key alone, with kid `k1` and these further members.
    pub(crate) fn set(&self, more: &str) -> String {
        format!(r#"{{"keys":[{{{},"kid":"k1"{more}}}]}}"#, self.members)
    }

    /// Ready to verify with all of its algorithms.
    pub(crate) fn verifier(&self) -> std::sync::Arc<VerifyKey> {
        let set = load(&self.set(""));
        match set.lookup(Some("k1")) {
            Lookup::Found(key) => key.clone(),
            other => panic!("{other:?}"),
        }
    }
}

/// A set with everything allowed, in which nothing is skipped.
pub(crate) fn load(text: &str) -> KeySet {
    let (set, skipped) = KeySet::parse(text.as_bytes(), KeyUse::Signature, Algorithm::ALL).unwrap();
    assert_eq!(skipped, []);
    set
}

pub(crate) fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
