//! Keys and tokens of every shape, well formed or not.

use assay::jose::{Algorithm, LocalKey, Signer};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

/// A signing key under a `kid` of the test's choice.
pub struct TestKey {
    signer: LocalKey,
    kid: String,
}

impl TestKey {
    /// An ES256 key.
    pub fn es256(kid: &str) -> Self {
        Self::generate(Algorithm::Es256, kid)
    }

    /// An RS256 key of 2048 bits.
    pub fn rs256(kid: &str) -> Self {
        Self::generate(Algorithm::Rs256, kid)
    }

    fn generate(algorithm: Algorithm, kid: &str) -> Self {
        Self {
            signer: LocalKey::generate(algorithm).expect("a key"),
            kid: kid.to_owned(),
        }
    }

    /// Its `kid`.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Its algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.signer.algorithm()
    }

    /// The public key as a JWK with `kid`, `alg` and `use: sig`.
    pub fn jwk(&self) -> Value {
        let mut jwk: Value = serde_json::from_str(self.signer.public_jwk()).expect("a JWK");
        jwk["kid"] = json!(self.kid);
        jwk["use"] = json!("sig");
        jwk
    }

    /// The public key as SPIRE publishes it: `use: jwt-svid`, no `alg`.
    pub fn jwt_svid_jwk(&self) -> Value {
        let mut jwk = self.jwk();
        jwk["use"] = json!("jwt-svid");
        if let Some(members) = jwk.as_object_mut() {
            members.remove("alg");
        }
        jwk
    }

    /// The raw signature over any bytes.
    pub fn sign(&self, input: &[u8]) -> Vec<u8> {
        let mut signature = Vec::new();
        self.signer
            .sign(input, &mut signature)
            .expect("a signature");
        signature
    }

    /// The private key in PKCS#8: for algorithms that this program never signs
    /// with, and to look for where it must not be.
    pub fn pkcs8(&self) -> Vec<u8> {
        self.signer.to_pkcs8().expect("a key").expose().to_vec()
    }

    /// A token of these claims, under the usual header.
    pub fn token(&self, claims: &Value) -> String {
        Token::new(claims.clone()).sign(self)
    }
}

/// A token in the making: every part can be changed before it is signed.
#[derive(Clone, Debug)]
pub struct Token {
    header: Map<String, Value>,
    claims: Value,
    removed: Vec<String>,
}

impl Token {
    /// A token of these claims; `alg` and `kid` come from the key, `typ` is `JWT`.
    pub fn new(claims: Value) -> Self {
        let header = Map::from_iter([("typ".to_owned(), json!("JWT"))]);
        Self {
            header,
            claims,
            removed: Vec::new(),
        }
    }

    /// Sets a header parameter, also one that the key would set.
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header.insert(name.to_owned(), value.into());
        self
    }

    /// Leaves a header parameter out.
    pub fn without_header(mut self, name: &str) -> Self {
        self.header.remove(name);
        self.removed.push(name.to_owned());
        self
    }

    /// Sets a claim.
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims[name] = value.into();
        self
    }

    /// Leaves a claim out.
    pub fn without_claim(mut self, name: &str) -> Self {
        if let Some(claims) = self.claims.as_object_mut() {
            claims.remove(name);
        }
        self
    }

    /// Signs it.
    pub fn sign(&self, key: &TestKey) -> String {
        let mut header = self.header.clone();
        for (name, value) in [("alg", key.algorithm().as_str()), ("kid", key.kid())] {
            if !header.contains_key(name) && !self.removed.iter().any(|r| r == name) {
                header.insert(name.to_owned(), json!(value));
            }
        }
        raw_signed(
            Value::Object(header).to_string().as_bytes(),
            self.claims.to_string().as_bytes(),
            key,
        )
    }
}

/// A token of exactly these bytes, signed.
pub fn raw_signed(header: &[u8], claims: &[u8], key: &TestKey) -> String {
    let input = format!("{}.{}", encode(header), encode(claims));
    format!("{input}.{}", encode(&key.sign(input.as_bytes())))
}

/// A token of exactly these bytes and this signature.
pub fn raw(header: &[u8], claims: &[u8], signature: &[u8]) -> String {
    format!(
        "{}.{}.{}",
        encode(header),
        encode(claims),
        encode(signature)
    )
}

/// Base64url without padding.
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// `{"keys":[...]}`.
pub fn jwks(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

/// A SPIFFE bundle document as SPIRE serves it: besides the JWT keys an X.509
/// key without `kid`.
pub fn bundle(keys: &[Value], sequence: Option<u64>, hint: Option<u64>) -> String {
    let mut document = json!({ "keys": keys });
    if let Some(sequence) = sequence {
        document["spiffe_sequence"] = json!(sequence);
    }
    if let Some(hint) = hint {
        document["spiffe_refresh_hint"] = json!(hint);
    }
    document.to_string()
}

/// An `x509-svid` entry as it stands in a bundle: no `kid`, no `alg`.
pub fn x509_svid_jwk(ca: &super::tls::Ca, key: &TestKey) -> Value {
    let mut jwk = key.jwt_svid_jwk();
    jwk["use"] = json!("x509-svid");
    jwk["x5c"] = json!([base64::engine::general_purpose::STANDARD.encode(ca.der())]);
    if let Some(members) = jwk.as_object_mut() {
        members.remove("kid");
    }
    jwk
}
