use proptest::prelude::*;
use serde_json::{Value as Given, json};

use super::*;
use crate::evidence::{
    Identity,
    testkit::{self, BROKER, T0, Token, any_json, at, check, check_at, domain, good, text, texts},
};

/// What a generic issuer's token is refused for.
fn refused(token: &Token) -> (Reason, Option<&'static str>) {
    let rejection = check(&domain("oidc", &[]), &token.sign()).unwrap_err();
    (rejection.reason, rejection.field)
}

fn accepted(token: &Token) -> Identity {
    check(&domain("oidc", &[]), &token.sign()).unwrap()
}

fn each(values: &[Given], claim: &'static str, reason: Reason) {
    accepted(&good("oidc"));
    for value in values {
        let token = good("oidc").with(&[claim], value.clone());
        assert_eq!(refused(&token), (reason, Some(claim)), "{claim} = {value}");
    }
}

fn others() -> Vec<Given> {
    vec![json!(1), json!(null), json!({}), json!(true)]
}

#[test]
fn c_01_a_token_must_expire() {
    let token = good("oidc").without(&["exp"]);
    assert_eq!(refused(&token), (Reason::ClaimMissing, Some("exp")));
    let texts = [
        json!("1790000300"),
        json!(null),
        json!([T0 + 300]),
        json!({}),
    ];
    each(&texts, "exp", Reason::ClaimInvalid);
}

#[test]
fn c_05_an_audience_is_a_string_or_a_list_of_one() {
    let token = good("oidc").without(&["aud"]);
    assert_eq!(refused(&token), (Reason::ClaimMissing, Some("aud")));
    each(&others(), "aud", Reason::ClaimInvalid);
    each(
        &[
            json!([1]),
            json!([BROKER, 1]),
            json!([null]),
            json!([[BROKER]]),
        ],
        "aud",
        Reason::ClaimInvalid,
    );
    each(
        &[json!(""), json!([]), json!([""])],
        "aud",
        Reason::AudienceMismatch,
    );
    accepted(&good("oidc").with(&["aud"], json!([BROKER])));
}

#[test]
fn c_07_an_audience_that_is_nearly_ours_is_not_ours() {
    let near = [
        "https://Broker.example.com",
        "https://broker.example.com/",
        "https://broker.example.co",
        "https://broker.example.com.evil.test",
        "https://broker.example.com\u{0}",
        "https://broker%2eexample.com",
        "https://brоker.example.com",
        " https://broker.example.com",
        "https://broker.example.com ",
        "broker.example.com",
    ];
    each(
        &near.map(|text| json!(text)),
        "aud",
        Reason::AudienceMismatch,
    );
    each(
        &near.map(|text| json!([text])),
        "aud",
        Reason::AudienceMismatch,
    );
}

#[test]
fn an_audience_is_shared_with_nobody_in_any_position() {
    each(
        &[
            json!([BROKER, "https://other.example"]),
            json!(["https://other.example", BROKER]),
            json!([BROKER, BROKER]),
        ],
        "aud",
        Reason::AudienceMismatch,
    );
}

#[test]
fn configured_audiences_are_alternatives() {
    let ours = domain("oidc", &[("audience", texts(&["one", "two"]))]);
    for audience in ["one", "two"] {
        let token = good("oidc").with(&["aud"], audience);
        assert!(check(&ours, &token.sign()).is_ok(), "{audience}");
    }
    for audience in [json!(BROKER), json!(["one", "two"]), json!("one,two")] {
        let token = good("oidc").with(&["aud"], audience);
        let rejection = check(&ours, &token.sign()).unwrap_err();
        assert_eq!(rejection.reason, Reason::AudienceMismatch);
        assert!(rejection.wanted.unwrap().starts_with("one or two"));
    }
}

#[test]
fn c_09_an_issuer_is_one_string() {
    let token = good("oidc").without(&["iss"]);
    assert_eq!(refused(&token), (Reason::ClaimMissing, Some("iss")));
    each(&others(), "iss", Reason::ClaimInvalid);
    let ours = "https://id.corp.example";
    each(
        &[json!([ours]), json!(["https://evil.test", ours])],
        "iss",
        Reason::ClaimInvalid,
    );
}

#[test]
fn c_11_and_c_15_an_issuer_that_is_nearly_the_configured_one_is_another() {
    let near = [
        "https://id.corp.example/",
        "https://ID.corp.example",
        "http://id.corp.example",
        "https://id.corp.example.evil.test",
        "https://evil.test/?https://id.corp.example",
        "https://id.corp.example\r\nX: y",
        "",
    ];
    each(&near.map(|text| json!(text)), "iss", Reason::IssuerUnknown);
}

#[test]
fn our_own_tokens_are_no_evidence() {
    each(&[json!(BROKER)], "iss", Reason::TokenSelfIssued);
    // SPIFFE ignores `iss`, except when it is ours.
    let spiffe = domain("spiffe", &[]);
    let token = good("spiffe").with(&["iss"], BROKER);
    assert_eq!(
        check(&spiffe, &token.sign()).unwrap_err().reason,
        Reason::TokenSelfIssued
    );
    let token = good("spiffe").with(&["iss"], "https://oidc.prod.acme.example");
    assert!(check(&spiffe, &token.sign()).is_ok());
}

#[test]
fn expiry_has_leeway_and_no_more() {
    let token = good("oidc").sign();
    let reason = |secs, leeway: u64| {
        let domain = domain(
            "oidc",
            &[("leeway", crate::evidence::Setting::Number(leeway))],
        );
        check_at(&domain, &token, at(secs))
            .map_err(|r| r.reason)
            .err()
    };
    assert_eq!(reason(299, 0), None);
    assert_eq!(reason(300, 0), Some(Reason::TokenExpired));
    assert_eq!(reason(304, 5), None);
    assert_eq!(reason(305, 5), Some(Reason::TokenExpired));
    assert_eq!(reason(359, 60), None);
    assert_eq!(reason(360, 60), Some(Reason::TokenExpired));
}

#[test]
fn an_identity_expires_when_its_token_does_without_leeway() {
    assert_eq!(accepted(&good("oidc")).expires_at(), at(300));
    let token = good("oidc").with(&["exp"], json!(T0 as f64 + 300.25));
    assert_eq!(
        accepted(&token).expires_at(),
        Moment::from_millis((T0 + 300) * 1000 + 250)
    );
}

#[test]
fn tokens_of_the_future_are_refused() {
    for claim in ["iat", "nbf"] {
        let token = |secs: i64| good("oidc").with(&[claim], T0 + secs);
        // One second has passed, and five are forgiven.
        accepted(&token(6));
        assert_eq!(
            refused(&token(7)),
            (Reason::TokenNotYetValid, Some(claim)),
            "{claim}"
        );
        let given = [json!("1790000000"), json!(null), json!([]), json!(true)];
        each(&given, claim, Reason::ClaimInvalid);
    }
}

#[test]
fn iat_is_required_unless_the_source_does_without() {
    let token = good("oidc").without(&["iat"]);
    assert_eq!(refused(&token), (Reason::ClaimMissing, Some("iat")));
    let spiffe = domain("spiffe", &[]);
    let token = good("spiffe").without(&["iat"]).sign();
    assert!(check(&spiffe, &token).is_ok());
    // An ID token has one (OpenID Connect Core section 2).
    let keys = testkit::keys(spiffe.preset);
    let rejection = crate::evidence::verify(
        testkit::parse(&token),
        TokenType::IdToken,
        &spiffe,
        &keys,
        at(1),
    );
    assert_eq!(rejection.unwrap_err().reason, Reason::ClaimMissing);
}

#[test]
fn c_13_lifetimes_are_capped() {
    let cap = |secs: i64| good("oidc").with(&["exp"], T0 + secs);
    accepted(&cap(3600));
    for secs in [3601, 10 * 365 * 24 * 3600, i64::MAX - T0] {
        assert_eq!(
            refused(&cap(secs)),
            (Reason::TokenLifetimeTooLong, Some("exp")),
            "{secs}"
        );
    }
    let short = domain("oidc", &[("maxTokenLifetime", text("299s"))]);
    let rejection = check(&short, &good("oidc").sign()).unwrap_err();
    assert_eq!(rejection.reason, Reason::TokenLifetimeTooLong);
    assert_eq!(rejection.found.as_deref(), Some("300s"));
}

#[test]
fn c_13_a_lifetime_without_iat_counts_from_now() {
    let spiffe = domain("spiffe", &[]);
    let cap = |secs: i64| {
        let token = good("spiffe").without(&["iat"]).with(&["exp"], T0 + secs);
        check(&spiffe, &token.sign()).map_err(|r| r.reason).err()
    };
    assert_eq!(cap(3601), None);
    assert_eq!(cap(3602), Some(Reason::TokenLifetimeTooLong));
}

#[test]
fn old_tokens_are_refused_where_age_is_bounded() {
    let token = good("oidc").with(&["exp"], T0 + 3600).sign();
    let reason = |secs| {
        let domain = domain("oidc", &[("maxTokenAge", text("10m"))]);
        check_at(&domain, &token, at(secs))
            .map_err(|r| r.reason)
            .err()
    };
    assert_eq!(reason(605), None);
    assert_eq!(reason(606), Some(Reason::TokenTooOld));
    // A Kubernetes token is as old as the kubelet lets it be.
    let cluster = domain("kubernetes", &[]);
    let token = good("kubernetes").with(&["exp"], T0 + 24 * 3600).sign();
    assert!(check_at(&cluster, &token, at(23 * 3600)).is_ok());
}

#[test]
fn odd_numbers_are_judged_and_never_panic() {
    let huge = [json!(1e300), json!(9e18), json!(i64::MAX), json!(u64::MAX)];
    each(&huge, "exp", Reason::TokenLifetimeTooLong);
    let past = [
        json!(-1),
        json!(0),
        json!(i64::MIN),
        json!(-1e300),
        json!(-0.5),
    ];
    each(&past, "exp", Reason::TokenExpired);
    for early in &past {
        let token = good("oidc").with(&["iat"], early.clone());
        assert_eq!(refused(&token).0, Reason::TokenLifetimeTooLong, "{early}");
    }
    each(&huge, "iat", Reason::TokenNotYetValid);
    each(&huge, "nbf", Reason::TokenNotYetValid);
    for early in past {
        accepted(&good("oidc").with(&["nbf"], early));
    }
    accepted(&good("oidc").with(&["iat"], json!(T0 as f64 + 0.5)));
}

#[test]
fn a_subject_is_there_bounded_and_plain() {
    let token = good("oidc").without(&["sub"]);
    assert_eq!(refused(&token), (Reason::ClaimMissing, Some("sub")));
    each(&others(), "sub", Reason::ClaimInvalid);
    each(&[json!([]), json!(["x"])], "sub", Reason::ClaimInvalid);
    let long = "x".repeat(1025);
    each(
        &[
            json!(""),
            json!("a\u{0}"),
            json!("a\nb"),
            json!("a\u{85}b"),
            json!(long),
        ],
        "sub",
        Reason::SubjectInvalid,
    );
    accepted(&good("oidc").with(&["sub"], "x".repeat(1024)));
    accepted(&good("oidc").with(&["sub"], "organization:Acme:project:Default Project"));
}

#[test]
fn c_17_a_subject_is_kept_as_it_is() {
    for sub in ["WL:OK", "wl:ok ", "wl:ok/", "wl:ok%00", "wl:оk"] {
        let identity = accepted(&good("oidc").with(&["sub"], sub));
        assert_eq!(identity.subject(), format!("test:{sub}"));
    }
}

#[test]
fn c_19_a_token_id_is_bounded_text_and_there_where_it_must_be() {
    each(&others(), "jti", Reason::ClaimInvalid);
    let long = "x".repeat(1 << 12);
    each(
        &[
            json!(""),
            json!("a\u{0}"),
            json!("x".repeat(257)),
            json!(long),
        ],
        "jti",
        Reason::ClaimInvalid,
    );
    let identity = accepted(&good("oidc").with(&["jti"], "x".repeat(256)));
    assert_eq!(identity.jti().map(str::len), Some(256));
    assert_eq!(accepted(&good("oidc")).jti(), None);

    let github = domain("githubActions", &[]);
    assert!(check(&github, &good("githubActions").sign()).is_ok());
    let token = good("githubActions").without(&["jti"]);
    assert_eq!(
        check(&github, &token.sign()).unwrap_err().reason,
        Reason::ClaimMissing
    );
}

#[test]
fn a_token_that_is_bound_or_a_message_proves_nothing_by_itself() {
    let cnf = json!({ "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" });
    each(
        &[cnf, json!(null), json!({})],
        "cnf",
        Reason::TokenKindRefused,
    );
    let logout = json!({ "http://schemas.openid.net/event/backchannel-logout": {} });
    each(&[logout], "events", Reason::TokenKindRefused);
}

#[test]
fn the_first_thing_wrong_is_what_is_told() {
    let token = good("oidc")
        .with(&["aud"], "other")
        .with(&["exp"], 1)
        .without(&["sub"]);
    let domain = domain("oidc", &[]);
    let rejection = check(&domain, &token.sign()).unwrap_err();
    assert_eq!(rejection.reason, Reason::AudienceMismatch);
    let passed = [
        "type",
        "header",
        "algorithm",
        "key",
        "signature",
        "bearer",
        "issuer",
    ];
    assert_eq!(rejection.passed, passed);
    assert_eq!(rejection.found.as_deref(), Some("other"));
    assert_eq!(rejection.wanted.as_deref(), Some(BROKER));
}

proptest! {
    /// Whatever stands in a claim that decides, it is refused or it is in order;
    /// nothing panics and nothing is read as something else.
    #[test]
    fn no_value_of_a_checked_claim_slips_through(
        kind in 0..crate::evidence::PRESETS.len(),
        claim in prop::sample::select(&["iss", "sub", "aud", "exp", "iat", "nbf", "jti", "cnf"]),
        value in any_json(),
    ) {
        let kind = crate::evidence::PRESETS[kind].name;
        let claims = good(kind).with(&[claim], value.clone()).claims.to_string();
        let claims = Json::parse(claims.as_bytes()).unwrap();
        let domain = domain(kind, &[]);
        let case = Case { claims: &claims, domain: &domain, kind: TokenType::Jwt, now: at(1) };
        let verdict = STEPS.iter().try_for_each(|(_, check)| check(&case));
        let in_order = match claim {
            "cnf" => false,
            "iss" | "sub" | "jti" => value.is_string(),
            "aud" => value == BROKER || value == json!([BROKER]),
            _ => value.is_number(),
        };
        prop_assert!(verdict.is_err() || in_order, "{claim} = {value}");
        if let Err(rejection) = verdict {
            prop_assert!(rejection.found.is_none_or(|f| !f.contains(char::is_control)));
        }
    }

    /// Time is compared, never wrapped.
    #[test]
    fn a_token_passes_exactly_within_its_times(iat in -100i64..100, life in 0i64..8000, now in -200i64..9000) {
        let claims = good("oidc").with(&["iat"], T0 + iat).with(&["exp"], T0 + iat + life);
        let claims = Json::parse(claims.claims.to_string().as_bytes()).unwrap();
        let domain = domain("oidc", &[]);
        let case = Case { claims: &claims, domain: &domain, kind: TokenType::Jwt, now: at(now) };
        let verdict = STEPS.iter().try_for_each(|(_, check)| check(&case));
        let good = now < iat + life + 5 && iat <= now + 5 && life <= 3600 && now - iat <= 3605;
        prop_assert_eq!(verdict.is_ok(), good);
    }
}
