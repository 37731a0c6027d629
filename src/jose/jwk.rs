//! JSON Web Key Sets (RFC 7517), and the JWT keys of SPIFFE bundles, parsed
//! once: a key is bound at load to the algorithms that it may be used with.

use std::{collections::HashMap, sync::Arc};

use aws_lc_rs::{encoding::AsDer as _, rsa::PublicKeyComponents, signature::ParsedPublicKey};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::model::Json;

use super::{Algorithm, JoseError, algorithm::Family, weak};

/// Most keys in one set.
pub const MAX_KEYS: usize = 100;

/// Which keys of a set count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyUse {
    /// `use` is absent or `sig` (OpenID Connect issuers).
    Signature,
    /// `use` is `jwt-svid`, and there is a `kid` (SPIFFE Trust Domain and
    /// Bundle, section 4.2).
    JwtSvid,
}

/// A public key, ready to verify, bound to the algorithms that it may be used
/// with: those of its type and curve, of its own `alg` if it has one, and of
/// the trust domain.
pub struct VerifyKey {
    kid: Option<String>,
    algorithms: Vec<Algorithm>,
    verifiers: Vec<(Algorithm, ParsedPublicKey)>,
}

impl VerifyKey {
    /// The key id.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The algorithms that the key is bound to.
    pub fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }

    pub(super) fn verifier(&self, algorithm: Algorithm) -> Option<&ParsedPublicKey> {
        let (_, key) = self.verifiers.iter().find(|(a, _)| *a == algorithm)?;
        Some(key)
    }

    /// Verifies a raw signature under the key's first algorithm. For measuring
    /// what a verification alone costs; tokens are verified by
    /// [`Compact::verify`](super::Compact::verify).
    #[doc(hidden)]
    pub fn verify_raw(&self, message: &[u8], signature: &[u8]) -> bool {
        let first = self.verifiers.first();
        first.is_some_and(|(_, key)| key.verify_sig(message, signature).is_ok())
    }
}

/// A key of a set that is not used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its position in `keys`, from 0.
    pub position: usize,
    /// Why.
    pub why: &'static str,
}

/// What a `kid` leads to.
pub enum Lookup<'s> {
    /// The one key.
    Found(&'s Arc<VerifyKey>),
    /// No usable key has that kid.
    Unknown,
    /// The kid stands on several keys, none of which is used; or the token has
    /// no kid and there is not exactly one key.
    Ambiguous,
}

/// An immutable set of keys.
#[derive(Default)]
pub struct KeySet {
    keys: Vec<Arc<VerifyKey>>,
    by_kid: HashMap<String, usize>,
    twice: Vec<String>,
}

impl KeySet {
    /// Parses `{"keys": [...]}`. A key that cannot be used is skipped and never
    /// fatal; a private or symmetric key refuses the whole set, since whoever
    /// published it has published a secret. A kid that stands twice makes all
    /// its keys unusable.
    pub fn parse(
        bytes: &[u8],
        uses: KeyUse,
        allowed: &[Algorithm],
    ) -> Result<(Self, Vec<Skipped>), JoseError> {
        Self::from_json(&Json::parse(bytes)?, uses, allowed)
    }

    /// The same, from JSON that was parsed already.
    pub fn from_json(
        json: &Json,
        uses: KeyUse,
        allowed: &[Algorithm],
    ) -> Result<(Self, Vec<Skipped>), JoseError> {
        let keys = json
            .get("keys")
            .and_then(Json::as_list)
            .ok_or(JoseError::KeySet("there is no array `keys`"))?;
        if keys.len() > MAX_KEYS {
            return Err(JoseError::KeySet("there are more than 100 keys"));
        }
        if keys.iter().any(is_secret) {
            return Err(JoseError::KeySet("it holds a private or symmetric key"));
        }
        let mut skipped = Vec::new();
        let mut usable = Vec::new();
        for (position, key) in keys.iter().enumerate() {
            match read(key, uses, allowed) {
                Ok(key) => usable.push((position, key)),
                Err(why) => skipped.push(Skipped { position, why }),
            }
        }
        // Counted over all entries, usable or not: an attacker's entry beside
        // the good one must not decide which of them counts.
        let mut count: HashMap<&str, usize> = HashMap::new();
        for kid in keys.iter().filter_map(|key| key.get("kid")?.as_text()) {
            *count.entry(kid).or_default() += 1;
        }
        let mut set = Self::default();
        for (position, key) in usable {
            let kid = key.kid.clone();
            if kid
                .as_deref()
                .is_some_and(|kid| count.get(kid).is_some_and(|n| *n > 1))
            {
                skipped.push(Skipped {
                    position,
                    why: "its kid stands on several keys",
                });
                continue;
            }
            if let Some(kid) = kid {
                set.by_kid.insert(kid, set.keys.len());
            }
            set.keys.push(Arc::new(key));
        }
        let twice = count.into_iter().filter(|(_, n)| *n > 1);
        set.twice = twice.map(|(kid, _)| kid.to_owned()).collect();
        Ok((set, skipped))
    }

    /// The key for a token's `kid`.
    pub fn lookup(&self, kid: Option<&str>) -> Lookup<'_> {
        match kid {
            Some(kid) => match self.by_kid.get(kid).and_then(|at| self.keys.get(*at)) {
                Some(key) => Lookup::Found(key),
                None if self.twice.iter().any(|twice| twice == kid) => Lookup::Ambiguous,
                None => Lookup::Unknown,
            },
            None => match self.keys.as_slice() {
                [only] => Lookup::Found(only),
                [] => Lookup::Unknown,
                _ => Lookup::Ambiguous,
            },
        }
    }

    /// How many keys are usable.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no key is usable.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The key ids, in the order of the set.
    pub fn kids(&self) -> Vec<&str> {
        self.keys.iter().filter_map(|key| key.kid()).collect()
    }
}

fn is_secret(key: &Json) -> bool {
    let has = |name: &&str| key.get(name).is_some();
    ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"]
        .iter()
        .any(has)
        || key.get("kty").and_then(Json::as_text) == Some("oct")
}

fn read(key: &Json, uses: KeyUse, allowed: &[Algorithm]) -> Result<VerifyKey, &'static str> {
    if key.as_object().is_none() {
        return Err("it is not an object");
    }
    check_use(key, uses)?;
    let kid = match key.get("kid") {
        None => None,
        Some(Json::Text(kid)) if (1..=512).contains(&kid.len()) => Some(kid.clone()),
        Some(_) => return Err("its kid is not text of 1 to 512 bytes"),
    };
    if uses == KeyUse::JwtSvid && kid.is_none() {
        return Err("it has no kid");
    }
    let named = match key.get("alg") {
        None => None,
        Some(Json::Text(name)) => {
            Some(Algorithm::from_name(name).ok_or("its alg is not one that is verified here")?)
        }
        Some(_) => return Err("its alg is not text"),
    };
    let (family, material) = material(key)?;
    let of_its_kind: Vec<_> = Algorithm::ALL
        .iter()
        .filter(|a| a.family() == family)
        .collect();
    if named.is_some_and(|named| named.family() != family) {
        return Err("its alg does not fit its key type");
    }
    let algorithms: Vec<Algorithm> = of_its_kind
        .into_iter()
        .copied()
        .filter(|a| named.is_none_or(|named| named == *a) && allowed.contains(a))
        .collect();
    if algorithms.is_empty() {
        return Err("its algorithms are not among those allowed for this source");
    }
    let verifiers = algorithms
        .iter()
        .map(|algorithm| {
            let parsed = ParsedPublicKey::new(algorithm.verification(), &material)
                .map_err(|_| "its key material is not a valid public key")?;
            Ok((*algorithm, parsed))
        })
        .collect::<Result<_, &'static str>>()?;
    Ok(VerifyKey {
        kid,
        algorithms,
        verifiers,
    })
}

fn check_use(key: &Json, uses: KeyUse) -> Result<(), &'static str> {
    let named = match key.get("use") {
        None => None,
        Some(Json::Text(name)) => Some(name.as_str()),
        Some(_) => return Err("its use is not text"),
    };
    match (uses, named) {
        (KeyUse::Signature, None | Some("sig")) | (KeyUse::JwtSvid, Some("jwt-svid")) => {}
        _ => return Err("its use is another one"),
    }
    match key.get("key_ops") {
        None => Ok(()),
        Some(Json::List(ops)) if ops.iter().any(|op| op.as_text() == Some("verify")) => Ok(()),
        Some(_) => Err("its key_ops do not allow verification"),
    }
}

/// The family, and the public key in the form that aws-lc takes.
fn material(key: &Json) -> Result<(Family, Vec<u8>), &'static str> {
    match key.get("kty").and_then(Json::as_text) {
        Some("RSA") => Ok((Family::Rsa, rsa(key)?)),
        Some("EC") => ec(key),
        Some("OKP") if key.get("crv").and_then(Json::as_text) == Some("Ed25519") => {
            let x = bytes(key, "x")?;
            if x.len() != 32 {
                return Err("its x has another length than its curve");
            }
            Ok((Family::Ed25519, x))
        }
        Some("OKP") => Err("its curve is not used for signatures here"),
        _ => Err("its kty is not one that is verified here"),
    }
}

fn ec(key: &Json) -> Result<(Family, Vec<u8>), &'static str> {
    let curve = key.get("crv").and_then(Json::as_text);
    let family = [Algorithm::Es256, Algorithm::Es384, Algorithm::Es512]
        .into_iter()
        .map(Algorithm::family)
        .find(|family| matches!(family, Family::Ec(name, _) if Some(*name) == curve))
        .ok_or("its curve is not one that is verified here")?;
    let Family::Ec(_, length) = family else {
        return Err("its curve is not one that is verified here");
    };
    let (x, y) = (bytes(key, "x")?, bytes(key, "y")?);
    if x.len() != length || y.len() != length {
        return Err("its coordinates have another length than its curve");
    }
    // The uncompressed point (SEC 1, section 2.3.3); aws-lc checks that it is
    // on the curve.
    Ok((family, [&[4][..], &x, &y].concat()))
}

fn rsa(key: &Json) -> Result<Vec<u8>, &'static str> {
    let (n, e) = (bytes(key, "n")?, bytes(key, "e")?);
    let odd = |number: &[u8]| number.last().is_some_and(|last| last & 1 == 1);
    if n.first() == Some(&0)
        || !(256..=1024).contains(&n.len())
        || n[0] & 0x80 == 0 && n.len() == 256
    {
        return Err("its modulus is not 2048 to 8192 bits");
    }
    if !odd(&n) {
        return Err("its modulus is even");
    }
    // A large exponent makes each verification slow; honest keys have 65537.
    if e.first() == Some(&0) || e.len() > 4 || !odd(&e) || e == [1] {
        return Err("its exponent is not an odd number from 3 to 32 bits");
    }
    if weak::is_roca(&n) {
        return Err("its modulus has the fingerprint of a flawed generator (CVE-2017-15361)");
    }
    let components = PublicKeyComponents { n: &n, e: &e };
    let public = components
        .as_der()
        .map_err(|_| "its key material is not a valid public key")?;
    Ok(public.as_ref().to_vec())
}

fn bytes(key: &Json, name: &str) -> Result<Vec<u8>, &'static str> {
    let text = key
        .get(name)
        .and_then(Json::as_text)
        .ok_or("it lacks a number")?;
    // 8192 bits and a little: nothing longer is ever decoded.
    if text.len() > 1400 {
        return Err("a number in it is too long");
    }
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| "a number in it is not unpadded base64url")
}
