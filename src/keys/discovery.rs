//! OpenID Connect Discovery: two members of the document are read.
//!
//! What the document says about algorithms is not: which ones count is
//! configured. `jwks_uri` must be on the issuer's own origin, so that whoever
//! can change the document still cannot send the broker elsewhere; an issuer
//! that keeps its keys on another host is configured with their URL.

use crate::{
    base::text,
    model::{HttpsUrl, IssuerUrl, Json},
};

use super::KeyFault;

/// Most bytes of a discovery document.
pub(super) const MAX_BYTES: usize = 64 * 1024;

/// The `jwks_uri` of a discovery document that is the issuer's.
pub(super) fn jwks_uri(issuer: &IssuerUrl, document: &[u8]) -> Result<HttpsUrl, KeyFault> {
    let document = Json::parse(document).map_err(KeyFault::DiscoveryFormat)?;
    let member = |name| {
        document
            .get(name)
            .and_then(Json::as_text)
            .ok_or(KeyFault::DiscoveryMember(name))
    };
    let found = member("issuer")?;
    if found != issuer.as_str() {
        return Err(KeyFault::IssuerDiffers {
            wanted: issuer.to_string(),
            found: text::display(found, 200),
        });
    }
    let uri: HttpsUrl = member("jwks_uri")?.parse().map_err(KeyFault::JwksUri)?;
    if !uri.same_origin(&issuer.discovery()) {
        return Err(KeyFault::JwksElsewhere {
            found: text::display(&uri.url().origin().ascii_serialization(), 200),
        });
    }
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::issuer::UrlError;

    fn read(document: &str) -> Result<String, KeyFault> {
        let issuer = "https://a.example/x".parse().unwrap();
        jwks_uri(&issuer, document.as_bytes()).map(|uri| uri.to_string())
    }

    fn with(jwks_uri: &str) -> Result<String, KeyFault> {
        read(&format!(
            r#"{{"issuer":"https://a.example/x","jwks_uri":{jwks_uri}}}"#
        ))
    }

    #[test]
    fn a_document_leads_to_its_key_set() {
        assert_eq!(
            with(r#""https://a.example/keys""#),
            Ok("https://a.example/keys".into())
        );
        assert_eq!(
            with(r#""https://a.example:443/keys""#).unwrap(),
            "https://a.example/keys"
        );
    }

    #[test]
    fn u_09_a_jwks_uri_elsewhere_is_refused() {
        let elsewhere = |origin: &str| {
            Err(KeyFault::JwksElsewhere {
                found: origin.into(),
            })
        };
        for (uri, wanted) in [
            (
                r#""https://evil.example/keys""#,
                elsewhere("https://evil.example"),
            ),
            (
                r#""https://a.example.evil/keys""#,
                elsewhere("https://a.example.evil"),
            ),
            (
                r#""https://sub.a.example/keys""#,
                elsewhere("https://sub.a.example"),
            ),
            (
                r#""https://a.example:8443/keys""#,
                elsewhere("https://a.example:8443"),
            ),
            (
                r#""http://a.example/keys""#,
                Err(KeyFault::JwksUri(UrlError::Scheme)),
            ),
            (
                r#""file:///etc/passwd""#,
                Err(KeyFault::JwksUri(UrlError::Scheme)),
            ),
            (r#""/keys""#, Err(KeyFault::JwksUri(UrlError::Malformed))),
            (
                r#""https://a.example@evil.example/""#,
                Err(KeyFault::JwksUri(UrlError::Extra)),
            ),
            ("null", Err(KeyFault::DiscoveryMember("jwks_uri"))),
            ("[]", Err(KeyFault::DiscoveryMember("jwks_uri"))),
        ] {
            assert_eq!(with(uri), wanted, "{uri}");
        }
        assert_eq!(
            read(r#"{"issuer":"https://a.example/x"}"#),
            Err(KeyFault::DiscoveryMember("jwks_uri"))
        );
    }

    #[test]
    fn the_issuer_is_compared_byte_for_byte() {
        for found in [
            "https://a.example/x/",
            "https://a.example",
            "https://A.example/x",
            "https://a.example:443/x",
            "https://a.example/x\\n",
            "",
        ] {
            let document = format!(r#"{{"issuer":"{found}","jwks_uri":"https://a.example/keys"}}"#);
            assert!(
                matches!(read(&document), Err(KeyFault::IssuerDiffers { .. })),
                "{found}"
            );
        }
        assert_eq!(
            read(r#"{"issuer":["https://a.example/x"],"jwks_uri":"https://a.example/keys"}"#),
            Err(KeyFault::DiscoveryMember("issuer"))
        );
    }

    #[test]
    fn u_11_listed_algorithms_change_nothing() {
        assert!(
            read(
                r#"{"issuer":"https://a.example/x","jwks_uri":"https://a.example/k",
                    "id_token_signing_alg_values_supported":["none","HS256"]}"#
            )
            .is_ok()
        );
    }

    #[test]
    fn a_member_that_stands_twice_is_refused() {
        assert!(matches!(
            read(
                r#"{"issuer":"https://a.example/x","jwks_uri":"https://a.example/k","jwks_uri":"https://a.example/l"}"#
            ),
            Err(KeyFault::DiscoveryFormat(_))
        ));
    }

    proptest! {
        #[test]
        fn no_document_leads_off_the_origin(text in ".{0,60}", host in "[a-z.@:/\\\\?#]{0,20}") {
            for uri in [text, format!("https://{host}"), format!("https://a.example{host}")] {
                let document = format!(
                    r#"{{"issuer":"https://a.example/x","jwks_uri":{}}}"#,
                    serde_json::to_string(&uri).unwrap()
                );
                if let Ok(uri) = read(&document) {
                    prop_assert!(uri.starts_with("https://a.example/"), "{}", uri);
                }
            }
        }
    }
}
