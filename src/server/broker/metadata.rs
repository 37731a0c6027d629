//! The metadata documents (RFC 8414, OpenID Connect Discovery 1.0).

use serde::Serialize;

use crate::{exchange::grant_types, model::IssuerUrl};

#[derive(Serialize)]
struct Metadata<'a> {
    issuer: &'a str,
    token_endpoint: String,
    jwks_uri: String,
    grant_types_supported: Vec<&'static str>,
    token_endpoint_auth_methods_supported: &'static [&'static str],
    // Required by both documents, though there is no authorization endpoint to
    // give a response; common clients refuse an empty list.
    response_types_supported: &'static [&'static str],
    subject_types_supported: &'static [&'static str],
    id_token_signing_alg_values_supported: &'static [&'static str],
}

/// The document for an issuer.
pub(super) fn document(issuer: &IssuerUrl) -> String {
    let issuer = issuer.as_str();
    let base = issuer.strip_suffix('/').unwrap_or(issuer);
    let metadata = Metadata {
        issuer,
        token_endpoint: format!("{base}/oauth2/token"),
        jwks_uri: format!("{base}/.well-known/jwks.json"),
        grant_types_supported: grant_types().iter().map(|grant| grant.as_str()).collect(),
        token_endpoint_auth_methods_supported: &["none"],
        response_types_supported: &["none"],
        subject_types_supported: &["public"],
        id_token_signing_alg_values_supported: &["ES256"],
    };
    // A struct of strings always serialises.
    serde_json::to_string(&metadata).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_issuer_is_byte_identical_and_urls_are_under_it() {
        for issuer in ["https://assay.example", "https://assay.example/"] {
            let parsed: serde_json::Value =
                serde_json::from_str(&document(&issuer.parse().unwrap())).unwrap();
            assert_eq!(parsed["issuer"], issuer);
            assert_eq!(
                parsed["token_endpoint"],
                "https://assay.example/oauth2/token"
            );
            assert_eq!(
                parsed["jwks_uri"],
                "https://assay.example/.well-known/jwks.json"
            );
        }
    }
}
