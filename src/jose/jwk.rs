//! JSON Web Key Sets and the JWT keys of SPIFFE bundles, read once when they
//! are loaded.
//!
//! A key that cannot be used is left out and said so; the others work on. A
//! set that holds a private or symmetric key is refused whole: whoever wrote
//! it has published a secret, or wants a public value taken for one. Keys are
//! never chosen by anything but their `kid`, so two keys of one `kid` are both
//! unusable: which one was meant is not ours to guess.

use std::sync::Arc;

use crate::model::Json;

use super::{
    Algorithm, JoseError, SetError, VerifyKey,
    header::{MAX_KID, is_kid},
};

/// Most keys in a set.
pub const MAX_KEYS: usize = 100;
/// Most bytes of a set, wherever it came from.
pub const MAX_BYTES: usize = 1024 * 1024;

/// Members that only a private or symmetric key has.
const PRIVATE: &[&str] = &["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];

/// Which keys of a set count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyUse {
    /// `use` absent or `sig` (OIDC issuers).
    Signature,
    /// `use` is `jwt-svid` (SPIFFE bundles); a kid is required.
    JwtSvid,
}

/// A key of a set that is not used, and why (for logs and `assay issuers`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its place in the set, counted from 0.
    pub position: usize,
    /// What is wrong with it.
    pub why: &'static str,
}

/// What a `kid` leads to.
#[derive(Clone, Copy, Debug)]
pub enum Lookup<'s> {
    /// The one key.
    Found(&'s Arc<VerifyKey>),
    /// No key of that kid.
    Unknown,
    /// The kid stands on several keys (all of them unusable), or the token has
    /// none and there is not exactly one candidate.
    Ambiguous,
}

/// An immutable set of keys.
#[derive(Debug, Default)]
pub struct KeySet {
    /// Sorted by kid; `None` is a kid that stood on several keys.
    by_kid: Vec<(String, Option<Arc<VerifyKey>>)>,
    /// Keys without a kid.
    nameless: Vec<Arc<VerifyKey>>,
    /// Whether a token without a kid can be verified at all.
    kid_required: bool,
}

impl KeySet {
    /// Parses `{"keys":[...]}`. Unusable keys are skipped, never fatal; private
    /// or symmetric members refuse the whole set. Duplicate kids: all entries
    /// of that kid are unusable. At most 100 keys.
    ///
    /// Entries of another `use` are skipped too, and their kids do not count:
    /// they could never have been meant.
    pub fn parse(
        bytes: &[u8],
        uses: KeyUse,
        allowed: &[Algorithm],
    ) -> Result<(Self, Vec<Skipped>), JoseError> {
        if bytes.len() > MAX_BYTES {
            return Err(SetError::TooLarge.into());
        }
        let json = Json::parse(bytes).map_err(SetError::Json)?;
        Self::from_json(&json, uses, allowed)
    }

    /// The same, for a reader that needs other members of the document too.
    pub fn from_json(
        json: &Json,
        uses: KeyUse,
        allowed: &[Algorithm],
    ) -> Result<(Self, Vec<Skipped>), JoseError> {
        let entries = json
            .as_object()
            .and_then(|_| json.get("keys"))
            .and_then(Json::as_list)
            .ok_or(SetError::NoKeys)?;
        if entries.len() > MAX_KEYS {
            return Err(SetError::TooMany.into());
        }
        if let Some(position) = entries.iter().position(is_private) {
            return Err(SetError::Private(position).into());
        }
        Ok(Self::collect(entries, uses, allowed))
    }

    /// The key that a token's `kid` leads to.
    pub fn lookup(&self, kid: Option<&str>) -> Lookup<'_> {
        let Some(kid) = kid else {
            return self.only();
        };
        let found = self
            .by_kid
            .binary_search_by(|(k, _)| k.as_str().cmp(kid))
            .ok()
            .and_then(|at| self.by_kid.get(at));
        match found {
            Some((_, Some(key))) => Lookup::Found(key),
            Some((_, None)) => Lookup::Ambiguous,
            None => Lookup::Unknown,
        }
    }

    /// How many keys are usable.
    pub fn len(&self) -> usize {
        self.keys().count()
    }

    /// Whether no key is usable.
    pub fn is_empty(&self) -> bool {
        self.keys().next().is_none()
    }

    /// The ids of the usable keys that have one, sorted.
    pub fn kids(&self) -> Vec<&str> {
        self.keys().filter_map(|key| key.kid()).collect()
    }

    /// The usable keys.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<VerifyKey>> {
        let named = self.by_kid.iter().filter_map(|(_, key)| key.as_ref());
        named.chain(&self.nameless)
    }

    fn collect(entries: &[Json], uses: KeyUse, allowed: &[Algorithm]) -> (Self, Vec<Skipped>) {
        let mut set = Self {
            kid_required: uses == KeyUse::JwtSvid,
            ..Self::default()
        };
        let mut skipped = Vec::new();
        let mut seen: Vec<(&str, usize)> = Vec::new();
        let mut usable: Vec<(usize, VerifyKey)> = Vec::new();
        for (position, entry) in entries.iter().enumerate() {
            let read = check_use(entry, uses).and_then(|()| {
                let kid = kid(entry, uses)?;
                // An unusable key still occupies its kid.
                seen.extend(kid.map(|kid| (kid, position)));
                VerifyKey::from_jwk(entry, kid, allowed)
            });
            match read {
                Ok(key) => usable.push((position, key)),
                Err(why) => skipped.push(Skipped { position, why }),
            }
        }
        let twice = |kid: &str| seen.iter().filter(|(k, _)| *k == kid).count() > 1;
        for (position, key) in usable {
            match key.kid() {
                None => set.nameless.push(Arc::new(key)),
                Some(kid) if twice(kid) => skipped.push(Skipped {
                    position,
                    why: "its kid stands on another key of the set too",
                }),
                Some(kid) => set.by_kid.push((kid.to_owned(), Some(Arc::new(key)))),
            }
        }
        for (kid, position) in &seen {
            if twice(kid) && seen.iter().any(|(k, p)| k == kid && p < position) {
                set.by_kid.push(((*kid).to_owned(), None));
            }
        }
        set.by_kid.sort_by(|a, b| a.0.cmp(&b.0));
        set.by_kid.dedup_by(|a, b| a.0 == b.0);
        skipped.sort_by_key(|s| s.position);
        (set, skipped)
    }

    /// For a token without a kid: the set's only key, if there is no doubt.
    fn only(&self) -> Lookup<'_> {
        if self.kid_required {
            return Lookup::Ambiguous;
        }
        let doubt = self.by_kid.iter().any(|(_, key)| key.is_none());
        let mut keys = self.keys();
        match (keys.next(), keys.next()) {
            (Some(key), None) if !doubt => Lookup::Found(key),
            (None, _) if !doubt => Lookup::Unknown,
            _ => Lookup::Ambiguous,
        }
    }
}

fn is_private(entry: &Json) -> bool {
    PRIVATE.iter().any(|name| entry.get(name).is_some())
        || entry.get("kty").and_then(Json::as_text) == Some("oct")
}

/// Whether an entry is there to verify this kind of token.
fn check_use(entry: &Json, uses: KeyUse) -> Result<(), &'static str> {
    if entry.as_object().is_none() {
        return Err("it is not an object");
    }
    let name = match entry.get("use") {
        None => None,
        Some(Json::Text(name)) => Some(name.as_str()),
        Some(_) => return Err("its use is not text"),
    };
    match (uses, name) {
        (KeyUse::Signature, None | Some("sig")) | (KeyUse::JwtSvid, Some("jwt-svid")) => {}
        _ => return Err("its use is another one"),
    }
    let operations = match entry.get("key_ops") {
        None => return Ok(()),
        Some(Json::List(operations)) => operations,
        Some(_) => return Err("its key_ops are not a list of texts"),
    };
    match operations
        .iter()
        .map(Json::as_text)
        .collect::<Option<Vec<_>>>()
    {
        Some(names) if names.contains(&"verify") => Ok(()),
        Some(_) => Err("its key_ops do not have verify"),
        None => Err("its key_ops are not a list of texts"),
    }
}

fn kid(entry: &Json, uses: KeyUse) -> Result<Option<&str>, &'static str> {
    const _: () = assert!(MAX_KID == 512, "the message below says so");
    match entry.get("kid") {
        Some(Json::Text(kid)) if is_kid(kid) => Ok(Some(kid)),
        Some(_) => Err("its kid is not text of 1 to 512 bytes without control characters"),
        None if uses == KeyUse::JwtSvid => Err("it has no kid"),
        None => Ok(None),
    }
}

#[cfg(test)]
#[path = "jwk_tests.rs"]
mod tests;
