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
    let json = Json::parse(bytes).map_err(KeyFault::Format)?;
    let (keys, skipped) =
        KeySet::from_json(&json, spec.uses, &spec.allowed).map_err(KeyFault::KeySet)?;
    let (sequence, hint) = match spec.uses {
        KeyUse::JwtSvid => (sequence(&json)?, hint(&json)),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        jose::{Algorithm, Lookup, Signer as _},
        keys::{Source, fakes},
    };

    fn spec(uses: KeyUse) -> Spec {
        let source = Source::File("/keys.json".into());
        Spec::new(source, uses, vec![Algorithm::Es256])
    }

    fn oidc(text: &str) -> Result<Document, KeyFault> {
        read(&spec(KeyUse::Signature), text.as_bytes())
    }

    fn spiffe(text: &str) -> Result<Document, KeyFault> {
        read(&spec(KeyUse::JwtSvid), text.as_bytes())
    }

    fn bundle(keys: &str, rest: &str) -> String {
        format!(r#"{{"keys":[{keys}]{rest}}}"#)
    }

    #[test]
    fn a_set_is_read_and_what_is_unusable_skipped() {
        let key = fakes::key();
        let document = oidc(&bundle(
            &format!(r#"{},{{"kty":"AKP","kid":"pq"}}"#, key.public_jwk()),
            "",
        ))
        .unwrap();
        assert!(matches!(
            document.keys.lookup(Some(key.kid())),
            Lookup::Found(_)
        ));
        assert_eq!(document.skipped.len(), 1);
    }

    #[test]
    fn an_empty_set_is_a_fault_from_an_issuer_and_obeyed_in_a_bundle() {
        let unusable = |uses: &str| format!(r#"{{"kty":"AKP","kid":"pq","use":"{uses}"}}"#);
        for (oidc_keys, spiffe_keys, skipped) in [
            (String::new(), String::new(), 0),
            (unusable("sig"), unusable("jwt-svid"), 1),
        ] {
            let fault = oidc(&bundle(&oidc_keys, "")).err();
            assert!(matches!(fault, Some(KeyFault::Empty { skipped: n, .. }) if n == skipped));
            let obeyed = spiffe(&bundle(&spiffe_keys, "")).unwrap();
            assert!(obeyed.keys.is_empty());
            assert_eq!(obeyed.skipped.len(), skipped);
        }
    }

    #[test]
    fn u_27_keys_that_are_no_array_are_refused_for_both() {
        for text in [
            "{}",
            "[]",
            r#"{"keys":{}}"#,
            r#"{"keys":null}"#,
            r#"{"keys":"x"}"#,
            r#"{"keys":{"keys":[]}}"#,
        ] {
            assert!(matches!(oidc(text), Err(KeyFault::KeySet(_))), "{text}");
            assert!(matches!(spiffe(text), Err(KeyFault::KeySet(_))), "{text}");
        }
    }

    #[test]
    fn u_05_what_is_not_json_is_refused() {
        let deep = format!(
            r#"{{"keys":{}{}}}"#,
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        for text in ["", "<html></html>", r#"{"keys":["#, &deep] {
            assert!(matches!(oidc(text), Err(KeyFault::Format(_))));
            assert!(matches!(spiffe(text), Err(KeyFault::Format(_))));
        }
    }

    #[test]
    fn only_the_jwt_keys_of_a_bundle_count() {
        let (jwt, x509) = (fakes::key(), fakes::key());
        let document = spiffe(&bundle(
            &[
                fakes::svid_jwk(&jwt),
                x509.public_jwk()
                    .replace(r#""use":"sig""#, r#""use":"x509-svid""#),
            ]
            .join(","),
            "",
        ))
        .unwrap();
        assert_eq!(document.keys.kids(), [jwt.kid()]);
    }

    #[test]
    fn a_bundle_says_its_sequence_and_hint() {
        let document = spiffe(&bundle(
            "",
            r#","spiffe_sequence":7,"spiffe_refresh_hint":60"#,
        ))
        .unwrap();
        assert_eq!(document.sequence, Some(7));
        assert_eq!(document.hint, Some(Duration::from_secs(60)));
        let bare = spiffe(&bundle("", "")).unwrap();
        assert_eq!((bare.sequence, bare.hint), (None, None));
        for hint in ["0", "-1", "1.5", "\"60\"", "null"] {
            let text = bundle("", &format!(r#","spiffe_refresh_hint":{hint}"#));
            assert_eq!(spiffe(&text).unwrap().hint, None, "{hint}");
        }
        for number in ["-1", "1.5", "\"7\"", "null", "9223372036854775808"] {
            let text = bundle("", &format!(r#","spiffe_sequence":{number}"#));
            assert_eq!(spiffe(&text).err(), Some(KeyFault::SequenceMalformed));
        }
    }

    #[test]
    fn an_issuers_set_has_no_sequence() {
        let text = bundle(
            fakes::key().public_jwk(),
            r#","spiffe_sequence":"x","spiffe_refresh_hint":1"#,
        );
        let document = oidc(&text).unwrap();
        assert_eq!((document.sequence, document.hint), (None, None));
    }
}
