use serde_json::json;

use super::*;
use crate::evidence::testkit::{
    self, GITHUB, at, check, check_at, domain, good, key, key_set, sign_text, stranger, texts,
};

fn reason(kind: &str, token: &str) -> Reason {
    check(&domain(kind, &[]), token).unwrap_err().reason
}

fn with_keys(kind: &str, token: &str, keys: &Snapshot) -> Result<Identity, Rejection> {
    let domain = domain(kind, &[]);
    verify(testkit::parse(token), TokenType::Jwt, &domain, keys, at(1))
}

#[test]
fn a_good_token_of_each_kind_is_an_identity() {
    let expected = [
        ("spiffe", "spiffe://prod.acme.example/ns/billing/sa/worker"),
        ("kubernetes", "test:system:serviceaccount:billing:worker"),
        (
            "githubActions",
            "test:repo:acme@123456/worker@456789:environment:production",
        ),
        ("oidc", "test:e7171700-1111"),
    ];
    assert_eq!(expected.len(), super::super::PRESETS.len());
    for (kind, subject) in expected {
        let domain = domain(kind, &[]);
        let token = good(kind).sign();
        let identity = check(&domain, &token).unwrap();
        assert_eq!(identity.subject(), subject);
        assert!(Arc::ptr_eq(identity.trust_domain(), &domain));
        assert_eq!(*identity.digest(), testkit::parse(&token).digest());
        assert_eq!(identity.kid(), Some(identity.algorithm().as_str()));
    }
}

#[test]
fn c_03_a_bad_signature_is_told_before_anything_that_the_token_says() {
    let token = good("oidc");
    let forged = token.sign_with(stranger("ES256"));
    assert_eq!(reason("oidc", &forged), Reason::SignatureInvalid);
    // Expired and from nobody we know, and still.
    let forged = token
        .with(&["exp"], 1)
        .with(&["iss"], "https://evil.test")
        .sign_with(stranger("ES256"));
    let rejection = check(&domain("oidc", &[]), &forged).unwrap_err();
    assert_eq!(rejection.reason, Reason::SignatureInvalid);
    assert_eq!(rejection.passed, ["type", "header", "algorithm", "key"]);
}

#[test]
fn every_byte_of_what_was_signed_counts() {
    let token = good("spiffe").sign();
    let domain = domain("spiffe", &[]);
    assert!(check(&domain, &token).is_ok());
    for at in (0..token.len()).step_by(7) {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        let parsed = Compact::parse(&changed, testkit::MAX_TOKEN);
        let keys = testkit::keys(domain.preset);
        let verdict =
            parsed.map(|p| verify(p, TokenType::Jwt, &domain, &keys, testkit::at(1)).is_ok());
        assert!(!verdict.unwrap_or(false), "byte {at}");
    }
}

#[test]
fn j_05_an_algorithm_that_the_trust_domain_does_not_allow_is_refused() {
    let narrow = domain("oidc", &[("algorithms", texts(&["RS256"]))]);
    let rejection = check(&narrow, &good("oidc").sign()).unwrap_err();
    assert_eq!(rejection.reason, Reason::AlgorithmNotAllowed);
    assert_eq!(rejection.wanted.as_deref(), Some("RS256"));
    let token = good("oidc").header("alg", "RS256").header("kid", "RS256");
    assert!(check(&narrow, &token.sign()).is_ok());
    // PS256 over the same RSA key.
    let token = token.header("alg", "PS256").sign_with(key("RS256"));
    assert_eq!(
        check(&narrow, &token).unwrap_err().reason,
        Reason::AlgorithmNotAllowed
    );
    // ES256 says the header, but the key of that id is an RSA key.
    let token = good("oidc").header("kid", "RS256").sign();
    assert_eq!(reason("oidc", &token), Reason::AlgorithmNotAllowed);
}

#[test]
fn j_15_a_key_of_another_issuer_is_unknown() {
    let token = good("oidc").header("kid", "theirs");
    let token = token.sign_with(stranger("ES256"));
    let rejection = check(&domain("oidc", &[]), &token).unwrap_err();
    assert_eq!(rejection.reason, Reason::KeyUnknown);
    assert_eq!(rejection.found.as_deref(), Some("theirs"));
    assert_eq!(rejection.passed, ["type", "header", "algorithm"]);
}

#[test]
fn j_17_a_token_without_kid_needs_an_issuer_with_one_key() {
    let token = good("oidc").without_header("kid").sign();
    let preset = testkit::preset("oidc");
    let one = key_set(preset, &[(Some("a"), key("ES256"))]);
    assert!(with_keys("oidc", &token, &one).is_ok());
    let two = key_set(
        preset,
        &[(Some("a"), key("ES256")), (Some("b"), stranger("ES256"))],
    );
    let rejection = with_keys("oidc", &token, &two).unwrap_err();
    assert_eq!(rejection.reason, Reason::KeyIdMissing);

    // SPIFFE: never without.
    let token = good("spiffe");
    let one = key_set(testkit::preset("spiffe"), &[(Some("ES256"), key("ES256"))]);
    assert!(with_keys("spiffe", &token.sign(), &one).is_ok());
    let rejection = with_keys("spiffe", &token.without_header("kid").sign(), &one).unwrap_err();
    assert_eq!(
        (rejection.reason, rejection.field),
        (Reason::KeyIdMissing, Some("kid"))
    );
}

#[test]
fn a_kid_that_stands_on_two_keys_is_no_key() {
    let two = key_set_twice("ES256");
    let rejection = with_keys("oidc", &good("oidc").sign(), &two).unwrap_err();
    assert_eq!(rejection.reason, Reason::KeyIdMissing);
}

fn key_set_twice(kid: &str) -> Snapshot {
    use crate::jose::{KeySet, KeyUse, Signer as _};
    let jwk = |key: &crate::jose::LocalKey| {
        let mut jwk: serde_json::Value = serde_json::from_str(key.public_jwk()).unwrap();
        jwk["kid"] = kid.into();
        jwk
    };
    let set = json!({ "keys": [jwk(key("ES256")), jwk(stranger("ES256"))] }).to_string();
    let algorithms = testkit::preset("oidc").algorithms;
    let (keys, _) = KeySet::parse(set.as_bytes(), KeyUse::Signature, algorithms).unwrap();
    Snapshot {
        keys,
        good_at: None,
    }
}

#[test]
fn j_21_a_type_says_what_a_token_is_for() {
    for kind in ["spiffe", "kubernetes", "githubActions", "oidc"] {
        let domain = domain(kind, &[]);
        for fine in ["JWT", "jwt", "application/jwt", "APPLICATION/JWT"] {
            let token = good(kind).header("typ", fine).sign();
            assert!(check(&domain, &token).is_ok(), "{kind} {fine}");
        }
        assert!(check(&domain, &good(kind).without_header("typ").sign()).is_ok());
        for other in [
            "at+jwt",
            "application/at+jwt",
            "dpop+jwt",
            "secevent+jwt",
            "logout+jwt",
            "wit+jwt",
            "jwt+jwt",
            "application/application/jwt",
            "text/jwt",
            "JWE",
        ] {
            let token = good(kind).header("typ", other).sign();
            let rejection = check(&domain, &token).unwrap_err();
            assert_eq!(
                (rejection.reason, rejection.field),
                (Reason::TypeNotAllowed, Some("typ")),
                "{kind} {other}"
            );
        }
    }
    let jose = |kind: &str| good(kind).header("typ", "JOSE").sign();
    assert!(check(&domain("spiffe", &[]), &jose("spiffe")).is_ok());
    assert_eq!(reason("oidc", &jose("oidc")), Reason::TypeNotAllowed);
}

#[test]
fn j_35_a_jwt_svid_has_no_other_header_parameters() {
    for (name, value) in [("cty", "x"), ("x5t", "x"), ("https://x.test", "x")] {
        let token = good("spiffe").header(name, value).sign();
        let rejection = check(&domain("spiffe", &[]), &token).unwrap_err();
        assert_eq!(rejection.reason, Reason::HeaderNotAllowed, "{name}");
        assert_eq!(rejection.found.as_deref(), Some(name));
        // Elsewhere they are there, and mean nothing.
        let token = good("oidc").header(name, value).sign();
        assert!(check(&domain("oidc", &[]), &token).is_ok(), "{name}");
    }
}

#[test]
fn an_empty_key_set_verifies_nothing() {
    for kind in ["spiffe", "oidc"] {
        let none = key_set(testkit::preset(kind), &[]);
        let rejection = with_keys(kind, &good(kind).sign(), &none).unwrap_err();
        assert_eq!(rejection.reason, Reason::KeyUnknown, "{kind}");
    }
}

#[test]
fn s_15_a_key_published_for_another_use_verifies_no_svid() {
    use crate::jose::{KeySet, KeyUse, Signer as _};
    let bundle = |usage: &str| {
        let mut jwk: serde_json::Value = serde_json::from_str(key("ES256").public_jwk()).unwrap();
        jwk["kid"] = "ES256".into();
        jwk["use"] = usage.into();
        let text = json!({ "keys": [jwk] }).to_string();
        let algorithms = testkit::preset("spiffe").algorithms;
        let (keys, _) = KeySet::parse(text.as_bytes(), KeyUse::JwtSvid, algorithms).unwrap();
        Snapshot {
            keys,
            good_at: None,
        }
    };
    let token = good("spiffe").sign();
    assert!(with_keys("spiffe", &token, &bundle("jwt-svid")).is_ok());
    for other in ["x509-svid", "sig", "wit-svid"] {
        let rejection = with_keys("spiffe", &token, &bundle(other)).unwrap_err();
        assert_eq!(rejection.reason, Reason::KeyUnknown, "{other}");
    }
}

#[test]
fn a_refused_token_can_be_tried_with_other_keys() {
    let text = good("oidc").sign();
    let domain = domain("oidc", &[]);
    let preset = testkit::preset("oidc");
    let old = key_set(preset, &[(Some("old"), stranger("ES256"))]);
    let refused = authenticate(testkit::parse(&text), &domain, &old)
        .err()
        .unwrap();
    assert_eq!(refused.rejection.reason, Reason::KeyUnknown);
    let stale = key_set(preset, &[(Some("ES256"), stranger("ES256"))]);
    let refused = authenticate(refused.token, &domain, &stale).err().unwrap();
    assert_eq!(refused.rejection.reason, Reason::SignatureInvalid);
    let fresh = testkit::keys(preset);
    let authentic = authenticate(refused.token, &domain, &fresh).ok().unwrap();
    assert!(authentic.judge(TokenType::Jwt, at(1)).is_ok());
}

#[test]
fn j_29_the_single_use_key_does_not_depend_on_the_signature() {
    let domain = domain("oidc", &[]);
    let (one, two) = (good("oidc").sign(), good("oidc").sign());
    assert_ne!(one, two, "ECDSA signatures of one text differ");
    let digest = |token: &str| *check(&domain, token).unwrap().digest();
    assert_eq!(digest(&one), digest(&two));
    let other = good("oidc").with(&["jti"], "2").sign();
    assert_ne!(digest(&one), digest(&other));
}

#[test]
fn j_33_a_claim_that_stands_twice_never_parses() {
    let claims = good("githubActions").claims.to_string();
    for claim in ["sub", "aud", "repository", "repository_owner_id"] {
        let header = good("githubActions").header.to_string();
        let first = claims.replacen('{', &format!("{{\"{claim}\":\"evil\","), 1);
        let last = format!("{},\"{claim}\":\"evil\"}}", claims.trim_end_matches('}'));
        for twice in [first, last] {
            let token = sign_text(&header, &twice, key("RS256"));
            let error = Compact::parse(&token, testkit::MAX_TOKEN).err().unwrap();
            assert_eq!(error.reason(), Reason::MemberDuplicated, "{claim}");
        }
    }
}

#[test]
fn keys_of_one_trust_domain_vouch_for_nobody_elses_subjects() {
    // `spiffe_foreign_td`: domain A signs for a subject of domain B.
    let foreign = good("spiffe").with(&["sub"], "spiffe://other.example/ns/billing/sa/worker");
    assert_eq!(reason("spiffe", &foreign.sign()), Reason::IssuerUnknown);
    // A cluster signs GitHub's claims.
    let github = good("githubActions").sign();
    assert_eq!(reason("kubernetes", &github), Reason::IssuerUnknown);
    let cluster = good("kubernetes")
        .with(&["iss"], GITHUB)
        .with(&["exp"], testkit::T0 + 300)
        .sign();
    assert_eq!(reason("githubActions", &cluster), Reason::ClaimMissing);
}

#[test]
fn an_expired_token_passed_every_step_before() {
    let rejection = check_at(&domain("oidc", &[]), &good("oidc").sign(), at(400)).unwrap_err();
    assert_eq!(rejection.reason, Reason::TokenExpired);
    let before: Vec<_> = steps().take_while(|step| *step != "expiry").collect();
    assert_eq!(rejection.passed, before);
}

#[test]
fn steps_are_named_once() {
    let all: Vec<_> = steps().collect();
    let unique: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(unique.len(), all.len());
    assert_eq!(all.first(), Some(&"type"));
    assert_eq!(all.last(), Some(&"admission"));
}
