//! JWK thumbprints (RFC 7638, RFC 8037 section 2): a name for a key that is
//! computed from the key and nothing else.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::model::Json;

use super::compact::sha256;

/// The SHA-256 thumbprint of a public key, in base64url. `None` if the JWK
/// lacks a required member, has one that would need escaping, or is of a type
/// that is not used here.
pub fn thumbprint(jwk: &Json) -> Option<String> {
    // Required members only, in lexicographic order, without white space.
    let names: &[&str] = match jwk.get("kty")?.as_text()? {
        "EC" => &["crv", "kty", "x", "y"],
        "RSA" => &["e", "kty", "n"],
        "OKP" => &["crv", "kty", "x"],
        _ => return None,
    };
    let mut members = Vec::with_capacity(names.len());
    for name in names {
        let value = jwk.get(name)?.as_text()?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if !value.bytes().all(plain) {
            return None;
        }
        members.push(format!("\"{name}\":\"{value}\""));
    }
    let canonical = format!("{{{}}}", members.join(","));
    Some(URL_SAFE_NO_PAD.encode(sha256(canonical.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<String> {
        thumbprint(&Json::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn only_required_members_count_in_any_order() {
        let bare = of(
            r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
        );
        assert_eq!(
            bare.as_deref(),
            Some("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k")
        );
        let more = of(
            r#"{"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","use":"sig","kid":"a","crv":"Ed25519","kty":"OKP"}"#,
        );
        assert_eq!(more, bare);
    }

    #[test]
    fn incomplete_or_odd_keys_have_none() {
        for bad in [
            "{}",
            r#"{"kty":"EC","crv":"P-256","x":"AA"}"#,
            r#"{"kty":"EC","crv":"P-256","x":"AA","y":1}"#,
            r#"{"kty":"oct","k":"AA"}"#,
            r#"{"kty":"OKP","crv":"Ed25519","x":"A\",\"y\":\"A"}"#,
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
