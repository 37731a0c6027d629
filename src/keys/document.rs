//! The document with the keys: a JWKS, or a SPIFFE bundle.
//!
//! The two look alike and mean different things when they are empty. An OIDC
//! issuer without keys is broken, and the last good set stays. A SPIFFE bundle
//! without keys says that the trust domain has no valid keys any more, and is
//! obeyed (SPIFFE Trust Domain and Bundle, 4.1.3).

use std::time::Duration;

use crate::{
    jose::{KeySet, KeyUse, Skipped},
    model::Json,
};

use super::{KeyFault, Spec};

/// Most bytes of a JWKS or bundle document.
pub(super) const MAX_BYTES: usize = 256 * 1024;

/// A document that was read whole.
pub(super) struct Document {
    pub(super) keys: KeySet,
    pub(super) skipped: Vec<Skipped>,
    /// `spiffe_sequence`.
    pub(super) sequence: Option<u64>,
    /// `spiffe_refresh_hint`.
    pub(super) hint: Option<Duration>,
}

/// Reads a document as the spec says.
pub(super) fn read(spec: &Spec, bytes: &[u8]) -> Result<Document, KeyFault> {
    let (keys, skipped) =
        KeySet::parse(bytes, spec.uses, &spec.allowed).map_err(KeyFault::KeySet)?;
    let (sequence, hint) = match spec.uses {
        KeyUse::JwtSvid => {
            let bundle = Json::parse(bytes).map_err(KeyFault::Bundle)?;
            (sequence(&bundle)?, hint(&bundle))
        }
        KeyUse::Signature if keys.is_empty() => return Err(empty(&skipped)),
        KeyUse::Signature => (None, None),
    };
    Ok(Document {
        keys,
        skipped,
        sequence,
        hint,
    })
}

fn empty(skipped: &[Skipped]) -> KeyFault {
    KeyFault::Empty {
        skipped: skipped.len(),
        first: skipped
            .first()
            .map(|s| format!("; the first: {}", s.why))
            .unwrap_or_default(),
    }
}

fn sequence(bundle: &Json) -> Result<Option<u64>, KeyFault> {
    match bundle.get("spiffe_sequence") {
        None => Ok(None),
        Some(Json::Integer(number)) => u64::try_from(*number)
            .map(Some)
            .map_err(|_| KeyFault::SequenceMalformed),
        Some(_) => Err(KeyFault::SequenceMalformed),
    }
}

/// A hint that is none is no reason to refuse the keys beside it.
fn hint(bundle: &Json) -> Option<Duration> {
    match bundle.get("spiffe_refresh_hint") {
        Some(Json::Integer(secs @ 1..)) => u64::try_from(*secs).ok().map(Duration::from_secs),
        _ => None,
    }
}
