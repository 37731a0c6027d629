//! The protected header (RFC 7515 section 4), reduced to what is ever used.

use crate::model::Json;

use super::{Algorithm, compact::JoseError};

/// The protected header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The algorithm that the token claims. The key has the last word.
    pub algorithm: Algorithm,
    /// The key id: 1 to 512 bytes without control characters.
    pub kid: Option<String>,
    /// The media type, as sent.
    pub typ: Option<String>,
    /// Other parameters that are there and change nothing (`x5t`, `cty` ...).
    pub extra: Vec<String>,
}

/// Longest `kid` and `typ`, in bytes.
const MAX_TEXT: usize = 512;

/// Parameters that would make a verifier take a key or an encoding from the
/// token itself. None is ever right here, understood or not.
const REFUSED: &[&str] = &[
    "crit", "jku", "jwk", "x5u", "x5c", "b64", "zip", "enc", "p2c", "p2s", "epk", "apu", "apv",
    "iv", "tag",
];

impl Header {
    pub(super) fn read(json: &Json) -> Result<Self, JoseError> {
        let members = json.as_object().ok_or(JoseError::Form)?;
        let mut extra = Vec::new();
        for (name, _) in members {
            if let Some(refused) = REFUSED.iter().find(|refused| *refused == name) {
                return Err(JoseError::Header(refused));
            }
            if !matches!(name.as_str(), "alg" | "kid" | "typ") {
                extra.push(name.clone());
            }
        }
        let algorithm = match json.get("alg") {
            Some(Json::Text(name)) => Algorithm::from_name(name).ok_or(JoseError::Algorithm)?,
            _ => return Err(JoseError::Algorithm),
        };
        Ok(Self {
            algorithm,
            kid: text(json.get("kid")).ok_or(JoseError::KeyId)?,
            typ: text(json.get("typ")).ok_or(JoseError::Type)?,
            extra,
        })
    }

    /// The media type in lower case and without `application/` (RFC 7515
    /// section 4.1.9): two spellings of one type are one type.
    pub fn media_type(&self) -> Option<String> {
        let typ = self.typ.as_deref()?.to_ascii_lowercase();
        Some(match typ.strip_prefix("application/") {
            Some(short) if !short.contains('/') => short.to_owned(),
            _ => typ,
        })
    }
}

/// The outer option is whether the value is acceptable, the inner whether it is there.
fn text(value: Option<&Json>) -> Option<Option<String>> {
    match value {
        None => Some(None),
        Some(Json::Text(text))
            if (1..=MAX_TEXT).contains(&text.len()) && !text.chars().any(char::is_control) =>
        {
            Some(Some(text.clone()))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Header, JoseError> {
        Header::read(&Json::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn a_plain_header_is_read() {
        let header =
            read(r#"{"alg":"ES256","kid":"k","typ":"application/JWT","x5t":"t"}"#).unwrap();
        assert_eq!(header.algorithm, Algorithm::Es256);
        assert_eq!(header.kid.as_deref(), Some("k"));
        assert_eq!(header.media_type().as_deref(), Some("jwt"));
        assert_eq!(header.extra, ["x5t"]);
    }

    #[test]
    fn j_07_and_j_11_parameters_that_steer_verification_are_refused() {
        for name in REFUSED {
            for value in [
                "[]",
                "\"b64\"",
                "[\"x\"]",
                "null",
                "{}",
                "\"https://evil.test\"",
            ] {
                let text = format!(r#"{{"alg":"ES256","{name}":{value}}}"#);
                assert_eq!(read(&text), Err(JoseError::Header(name)), "{text}");
            }
        }
    }

    #[test]
    fn j_09_key_ids_are_short_plain_text() {
        for kid in ["1", "null", "{}", "[]", "\"\"", "\"a\\u0000\"", "\"a\\nb\""] {
            let text = format!(r#"{{"alg":"ES256","kid":{kid}}}"#);
            assert_eq!(read(&text), Err(JoseError::KeyId), "{text}");
        }
        let long = |n: usize| format!(r#"{{"alg":"ES256","kid":"{}"}}"#, "k".repeat(n));
        assert!(read(&long(512)).is_ok());
        assert_eq!(read(&long(513)), Err(JoseError::KeyId));
    }

    #[test]
    fn algorithms_are_named_exactly() {
        for alg in [
            "",
            r#""alg":"none""#,
            r#""alg":"NONE""#,
            r#""alg":"HS256""#,
            r#""alg":1"#,
            r#""alg":["ES256"]"#,
        ] {
            assert_eq!(
                read(&format!("{{{alg}}}")),
                Err(JoseError::Algorithm),
                "{alg}"
            );
        }
        assert_eq!(Header::read(&Json::List(Vec::new())), Err(JoseError::Form));
    }
}
