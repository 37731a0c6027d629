//! The protected header, as far as it is ever used.
//!
//! Every parameter that names a key, a place to fetch one, or another way to
//! read the payload is refused whatever its value: such a parameter either
//! does nothing here, and then its sender is mistaken, or it would let the
//! token choose how it is judged.

use crate::{
    base::text,
    model::{Json, json::JsonError},
};

use super::{
    Algorithm,
    error::{JoseError, Part},
};

/// Longest `kid`, in bytes, in a token and in a key set.
pub const MAX_KID: usize = 512;
/// Longest `typ`, in bytes (RFC 6838 section 4.2 allows 127 on each side of the slash).
const MAX_TYP: usize = 255;

/// Parameters that are refused in any form: keys and addresses that come with
/// the token, criticality, unencoded payloads, and everything of JWE.
const REFUSED: &[&str] = &[
    "crit", "b64", "jku", "jwk", "x5u", "x5c", "zip", "enc", "epk", "apu", "apv", "iv", "tag",
    "p2s", "p2c",
];

/// The protected header, as far as it is ever used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// `alg`: one of the asymmetric algorithms.
    pub algorithm: Algorithm,
    /// `kid`: 1 to 512 bytes without control characters.
    pub kid: Option<String>,
    /// `typ`, as sent.
    pub typ: Option<String>,
    /// Names of header parameters other than alg, kid, typ that change nothing
    /// but were there (`x5t`, `cty` ...); a SPIFFE source refuses any.
    pub extra: Vec<String>,
}

impl Header {
    /// Whether `typ` is this media type, compared without regard to case and
    /// with `application/` understood (RFC 7515 section 4.1.9).
    pub fn typ_is(&self, media_type: &str) -> bool {
        self.typ
            .as_deref()
            .is_some_and(|typ| short(typ).eq_ignore_ascii_case(short(media_type)))
    }

    /// Whether `typ` says nothing about the token's purpose: absent, `JWT` or `JOSE`.
    pub fn typ_is_plain(&self) -> bool {
        self.typ.is_none() || self.typ_is("JWT") || self.typ_is("JOSE")
    }

    /// From the decoded first part.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, JoseError> {
        let json = Json::parse(bytes).map_err(|e: JsonError| JoseError::Json(Part::Header, e))?;
        let Json::Object(members) = json else {
            return Err(JoseError::NotAnObject(Part::Header));
        };
        let (mut algorithm, mut kid, mut typ, mut extra) = (None, None, None, Vec::new());
        let mut refused = None;
        for (name, value) in members {
            match name.as_str() {
                "alg" => algorithm = Some(value),
                "kid" => kid = Some(value),
                "typ" => typ = Some(value),
                "cty" if is_nested(&value) => refused = Some("cty: JWT"),
                _ => match REFUSED.iter().find(|r| **r == name) {
                    Some(found) => refused = Some(found),
                    None => extra.push(name),
                },
            }
        }
        // The algorithm first: a token that says `none` is told so, whatever else it says.
        let algorithm = match algorithm {
            Some(Json::Text(name)) => Algorithm::from_name(&name)
                .ok_or_else(|| JoseError::AlgorithmRefused(text::display(&name, 32)))?,
            _ => return Err(JoseError::AlgorithmMissing),
        };
        if let Some(name) = refused {
            return Err(JoseError::HeaderRefused(name));
        }
        Ok(Self {
            algorithm,
            kid: kid.map(kid_text).transpose()?,
            typ: typ.map(typ_text).transpose()?,
            extra,
        })
    }
}

fn short(media_type: &str) -> &str {
    match media_type.split_at_checked("application/".len()) {
        Some((prefix, rest))
            if prefix.eq_ignore_ascii_case("application/") && !rest.contains('/') =>
        {
            rest
        }
        _ => media_type,
    }
}

/// `cty: JWT` says that the payload is another token (RFC 7519 section 5.2).
fn is_nested(cty: &Json) -> bool {
    cty.as_text()
        .is_some_and(|text| short(text).eq_ignore_ascii_case("JWT"))
}

/// Whether a text can be a `kid` here.
pub(super) fn is_kid(text: &str) -> bool {
    (1..=MAX_KID).contains(&text.len()) && !text.chars().any(char::is_control)
}

fn kid_text(value: Json) -> Result<String, JoseError> {
    match value {
        Json::Text(text) if is_kid(&text) => Ok(text),
        _ => Err(JoseError::KeyId),
    }
}

fn typ_text(value: Json) -> Result<String, JoseError> {
    match value {
        Json::Text(text)
            if (1..=MAX_TYP).contains(&text.len())
                && text.bytes().all(|b| (0x21..=0x7e).contains(&b)) =>
        {
            Ok(text)
        }
        _ => Err(JoseError::Type),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Reason;

    fn parse(text: &str) -> Result<Header, JoseError> {
        Header::parse(text.as_bytes())
    }

    fn reason(text: &str) -> Reason {
        match parse(text) {
            Ok(header) => panic!("{text} was accepted: {header:?}"),
            Err(error) => error.reason(),
        }
    }

    #[test]
    fn a_usual_header_is_read() {
        let header =
            parse(r#"{"alg":"RS256","kid":"k1","typ":"JWT","x5t":"abc","x5t#S256":"d"}"#).unwrap();
        assert_eq!(header.algorithm, Algorithm::Rs256);
        assert_eq!(header.kid.as_deref(), Some("k1"));
        assert_eq!(header.extra, ["x5t", "x5t#S256"]);
        assert_eq!(parse(r#"{"alg":"EdDSA"}"#).unwrap().kid, None);
        assert_eq!(
            parse(r#"{"alg":"Ed25519"}"#).unwrap().algorithm,
            Algorithm::EdDsa
        );
    }

    #[test]
    fn j_01_every_spelling_of_none_is_refused() {
        for name in ["none", "None", "NONE", "nOnE", "noNE", "none ", ""] {
            let text = format!(r#"{{"alg":"{name}","kid":"k1"}}"#);
            assert_eq!(reason(&text), Reason::AlgorithmNotAllowed, "{name}");
        }
    }

    #[test]
    fn j_03_symmetric_and_unknown_algorithms_are_refused() {
        for name in [
            "HS256",
            "HS384",
            "HS512",
            "ES256K",
            "rs256",
            "RS256\\u0000",
            "A128KW",
        ] {
            let text = format!(r#"{{"alg":"{name}"}}"#);
            assert_eq!(reason(&text), Reason::AlgorithmNotAllowed, "{name}");
        }
        for alg in ["null", "1", "[\"RS256\"]", "{}", "true"] {
            let text = format!(r#"{{"alg":{alg}}}"#);
            assert_eq!(parse(&text), Err(JoseError::AlgorithmMissing), "{alg}");
        }
        assert_eq!(parse("{}"), Err(JoseError::AlgorithmMissing));
    }

    #[test]
    fn an_algorithm_is_shown_safely() {
        let error = parse(&format!(r#"{{"alg":"\u001b[31m{}"}}"#, "x".repeat(99))).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("\\u{1b}[31m") && text.len() < 100, "{text}");
    }

    #[test]
    fn j_07_keys_and_addresses_in_the_token_are_refused() {
        for member in [
            r#""jku":"http://127.0.0.1/k""#,
            r#""jku":"https://issuer.test/other""#,
            r#""x5u":"https://issuer.test/x""#,
            r#""jwk":{"kty":"EC"}"#,
            r#""x5c":["MIIB"]"#,
            r#""jku":null"#,
        ] {
            let text = format!(r#"{{"alg":"ES256","kid":"k1",{member}}}"#);
            assert_eq!(reason(&text), Reason::HeaderNotAllowed, "{member}");
        }
    }

    #[test]
    fn j_09_a_kid_is_bounded_plain_text() {
        for kid in [
            "\"\"".to_owned(),
            "1".to_owned(),
            "{}".to_owned(),
            "null".to_owned(),
            "[\"k1\"]".to_owned(),
            "\"\\u0000\"".to_owned(),
            "\"a\\nb\"".to_owned(),
            "\"\\u0085\"".to_owned(),
            format!("\"{}\"", "k".repeat(513)),
        ] {
            let text = format!(r#"{{"alg":"ES256","kid":{kid}}}"#);
            assert_eq!(reason(&text), Reason::KeyIdMissing, "{kid}");
        }
        // Nothing here uses a kid as a path or a query: it is only compared.
        for kid in [
            "../../../../dev/null",
            "' OR 1=1--",
            &"k".repeat(512),
            "ключ",
        ] {
            let header = parse(&format!(r#"{{"alg":"ES256","kid":"{kid}"}}"#)).unwrap();
            assert_eq!(header.kid.as_deref(), Some(kid));
        }
    }

    #[test]
    fn j_11_crit_is_refused_in_any_form() {
        for crit in [
            "[]",
            "\"b64\"",
            "[\"alg\"]",
            "[\"x\",\"x\"]",
            "[\"x\"]",
            "null",
            "{}",
            "[\"exp\"]",
        ] {
            let text = format!(r#"{{"alg":"ES256","crit":{crit}}}"#);
            assert_eq!(
                parse(&text),
                Err(JoseError::HeaderRefused("crit")),
                "{crit}"
            );
        }
    }

    #[test]
    fn j_11_unencoded_payloads_are_refused() {
        for member in [r#""b64":false"#, r#""b64":true"#] {
            let text = format!(r#"{{"alg":"ES256",{member}}}"#);
            assert_eq!(reason(&text), Reason::HeaderNotAllowed, "{member}");
        }
    }

    #[test]
    fn j_13_a_duplicate_member_is_refused() {
        for text in [
            r#"{"alg":"RS256","alg":"none"}"#,
            r#"{"alg":"none","alg":"RS256"}"#,
            r#"{"alg":"RS256","kid":"a","kid":"b"}"#,
            r#"{"alg":"RS256","\u0061lg":"RS256"}"#,
        ] {
            assert_eq!(reason(text), Reason::MemberDuplicated, "{text}");
        }
    }

    #[test]
    fn j_21_typ_is_compared_as_a_media_type() {
        let header = parse(r#"{"alg":"ES256","typ":"application/AT+JWT"}"#).unwrap();
        assert!(header.typ_is("at+jwt") && header.typ_is("application/at+jwt"));
        assert!(!header.typ_is("jwt") && !header.typ_is_plain());
        for plain in ["JWT", "jwt", "application/jwt", "JOSE", "Application/jose"] {
            let header = parse(&format!(r#"{{"alg":"ES256","typ":"{plain}"}}"#)).unwrap();
            assert!(header.typ_is_plain(), "{plain}");
        }
        assert!(parse(r#"{"alg":"ES256"}"#).unwrap().typ_is_plain());
        for other in [
            "dpop+jwt",
            "secevent+jwt",
            "logout+jwt",
            "wit+jwt",
            "text/jwt",
            "JWT/x",
        ] {
            let header = parse(&format!(r#"{{"alg":"ES256","typ":"{other}"}}"#)).unwrap();
            assert!(!header.typ_is_plain(), "{other}");
        }
        for bad in ["\"\"", "1", "null", "\"a b\"", "\"ä\""] {
            let text = format!(r#"{{"alg":"ES256","typ":{bad}}}"#);
            assert_eq!(reason(&text), Reason::TypeNotAllowed, "{bad}");
        }
    }

    #[test]
    fn j_23_jwe_parameters_are_refused() {
        for member in ["zip", "enc", "epk", "apu", "apv", "iv", "tag", "p2s", "p2c"] {
            let text = format!(r#"{{"alg":"ES256","{member}":"x"}}"#);
            assert_eq!(reason(&text), Reason::HeaderNotAllowed, "{member}");
        }
        assert_eq!(
            reason(r#"{"alg":"RSA-OAEP","enc":"A256GCM","zip":"DEF"}"#),
            Reason::AlgorithmNotAllowed
        );
    }

    #[test]
    fn a_nested_token_is_refused_and_another_cty_recorded() {
        for cty in ["JWT", "jwt", "application/jwt"] {
            let text = format!(r#"{{"alg":"ES256","cty":"{cty}"}}"#);
            assert_eq!(reason(&text), Reason::HeaderNotAllowed, "{cty}");
        }
        let header = parse(r#"{"alg":"ES256","cty":"json","x":1}"#).unwrap();
        assert_eq!(header.extra, ["cty", "x"]);
    }

    #[test]
    fn a_header_is_one_object() {
        for bad in [
            "",
            "[]",
            "null",
            "\"x\"",
            "{\"alg\":\"ES256\"}{}",
            "{\"alg\":\"ES256\"} x",
        ] {
            assert_eq!(reason(bad), Reason::TokenMalformed, "{bad}");
        }
    }
}
