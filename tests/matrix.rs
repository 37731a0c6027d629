//! Every kind of evidence against every check.
//!
//! Brokers were broken by the second way in, which lacked a check that the
//! first one had. Here each kind of source answers for each check: a good token
//! is broken in one thing, and the exact refusal is asserted. A kind without a
//! good token, or a check without an answer for a kind, does not pass.

#[path = "../src/evidence/testkit.rs"]
mod testkit;

use std::sync::Arc;

use assay::{
    base,
    evidence::{self, PRESETS, Rejection, Source, TokenType, TrustDomain},
    jose, keys, model,
    model::Reason,
};
use serde_json::json;
use testkit::{BROKER, T0, good};

/// The checks. A new one is added here; the compiler then asks how a token is
/// broken for it, and what each kind answers.
macro_rules! checks {
    ($($check:ident)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Check { $($check),* }
        const CHECKS: &[Check] = &[$(Check::$check),*];
    };
}

checks! {
    TypeOfAnotherUse AlgorithmNotAllowed AlgorithmOfTheKey KeyIdMissing KeyIdUnknown
    ExtraHeader SignatureOfAStranger SignedBytesChanged ExpiredAndForged
    IssuerMissing IssuerOther IssuerList IssuerSlash SelfIssued
    AudienceMissing AudienceOther AudienceShared AudienceOfWrongType AudienceNear
    ExpiryMissing ExpiryText Expired ExpiryHuge
    IssueTimeMissing IssueTimeText IssuedInFuture NotYetValid NotBeforeText
    LifetimeTooLong TooOld
    SubjectMissing SubjectEmpty SubjectOfWrongType SubjectLong SubjectControl
    TokenIdMissing TokenIdOfWrongType TokenIdLong
    Bound SecurityEvent
    OtherTenant OtherSubjectForm RequiredClaimMissing RequiredClaimOfWrongType
}

/// What a kind answers to a token that is broken in one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// It is refused, for this reason.
    Refused(Reason),
    /// It is accepted, and this is why that is right.
    Accepted(&'static str),
}

use Answer::{Accepted, Refused};

/// The kinds, so that a new source stops the compilation here too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Spiffe,
    Kubernetes,
    GithubActions,
    Oidc,
}

fn kind(source: &Source) -> Kind {
    match source {
        Source::Spiffe(_) => Kind::Spiffe,
        Source::Kubernetes(_) => Kind::Kubernetes,
        Source::GithubActions(_) => Kind::GithubActions,
        Source::Oidc(_) => Kind::Oidc,
    }
}

/// What each kind answers to each check.
fn answer(kind: Kind, check: Check) -> Answer {
    use Check as C;
    use Reason as R;
    const UNVOUCHED: Answer = Accepted("nothing vouches for the iss of a JWT-SVID: it is not read");
    match (check, kind) {
        (C::TypeOfAnotherUse, _) => Refused(R::TypeNotAllowed),
        (C::AlgorithmNotAllowed, _) => Refused(R::AlgorithmNotAllowed),
        (C::AlgorithmOfTheKey, _) => Refused(R::AlgorithmNotAllowed),
        (C::KeyIdMissing, _) => Refused(R::KeyIdMissing),
        (C::KeyIdUnknown, _) => Refused(R::KeyUnknown),
        (C::ExtraHeader, Kind::Spiffe) => Refused(R::HeaderNotAllowed),
        (C::ExtraHeader, _) => Accepted("issuers add x5t and the like, which change nothing"),
        (C::SignatureOfAStranger | C::SignedBytesChanged | C::ExpiredAndForged, _) => {
            Refused(R::SignatureInvalid)
        }
        (C::IssuerMissing, Kind::Spiffe) => UNVOUCHED,
        (C::IssuerMissing, _) => Refused(R::ClaimMissing),
        (C::IssuerOther | C::IssuerSlash, Kind::Spiffe) => UNVOUCHED,
        (C::IssuerOther | C::IssuerSlash, _) => Refused(R::IssuerUnknown),
        (C::IssuerList, _) => Refused(R::ClaimInvalid),
        (C::SelfIssued, _) => Refused(R::TokenSelfIssued),
        (C::AudienceMissing | C::ExpiryMissing | C::SubjectMissing, _) => Refused(R::ClaimMissing),
        (C::AudienceOther | C::AudienceShared | C::AudienceNear, _) => Refused(R::AudienceMismatch),
        (C::AudienceOfWrongType | C::ExpiryText, _) => Refused(R::ClaimInvalid),
        (C::Expired, _) => Refused(R::TokenExpired),
        (C::ExpiryHuge | C::LifetimeTooLong, _) => Refused(R::TokenLifetimeTooLong),
        (C::IssueTimeMissing, Kind::Spiffe) => Accepted("a JWT-SVID need not have iat"),
        (C::IssueTimeMissing, _) => Refused(R::ClaimMissing),
        (C::IssueTimeText | C::NotBeforeText, _) => Refused(R::ClaimInvalid),
        (C::IssuedInFuture | C::NotYetValid, _) => Refused(R::TokenNotYetValid),
        (C::TooOld, _) => Refused(R::TokenTooOld),
        (C::SubjectEmpty | C::SubjectLong | C::SubjectControl, _) => Refused(R::SubjectInvalid),
        (C::SubjectOfWrongType, _) => Refused(R::ClaimInvalid),
        (C::TokenIdMissing, Kind::GithubActions) => Refused(R::ClaimMissing),
        (C::TokenIdMissing, _) => {
            Accepted("replay is told by the digest, and jti is for the record")
        }
        (C::TokenIdOfWrongType | C::TokenIdLong, _) => Refused(R::ClaimInvalid),
        (C::Bound | C::SecurityEvent, _) => Refused(R::TokenKindRefused),
        (C::OtherTenant, Kind::Spiffe) => Refused(R::IssuerUnknown),
        (C::OtherTenant, Kind::GithubActions) => Refused(R::TenantMismatch),
        (C::OtherTenant, Kind::Kubernetes) => Refused(R::IssuerUnknown),
        (C::OtherTenant, Kind::Oidc) => Refused(R::IssuerUnknown),
        (C::OtherSubjectForm, Kind::Spiffe | Kind::Kubernetes) => Refused(R::SubjectInvalid),
        (C::OtherSubjectForm, Kind::GithubActions) => Accepted("sub is customisable, and not read"),
        (C::OtherSubjectForm, Kind::Oidc) => Accepted("a generic subject has no form"),
        (C::RequiredClaimMissing, Kind::Kubernetes | Kind::GithubActions) => {
            Refused(R::ClaimMissing)
        }
        (C::RequiredClaimOfWrongType, Kind::Kubernetes | Kind::GithubActions) => {
            Refused(R::ClaimInvalid)
        }
        (C::RequiredClaimMissing | C::RequiredClaimOfWrongType, Kind::Spiffe | Kind::Oidc) => {
            Accepted("there are no claims beyond the registered ones that must be there")
        }
    }
}

/// A good token broken in one thing, as text, and when it is shown.
fn broken(kind: Kind, preset: &str, check: Check) -> (String, i64) {
    use Check as C;
    let token = good(preset);
    let life = {
        let claims = &token.claims;
        claims["exp"].as_i64().unwrap() - T0
    };
    let cap = i64::from(testkit::preset(preset).max_lifetime.as_secs());
    let other = if token.algorithm() == "RS256" {
        "ES256"
    } else {
        "RS256"
    };
    let set = |name: &'static str, value: serde_json::Value| token.clone().with(&[name], value);
    let claim = match kind {
        Kind::Kubernetes => Some(["kubernetes.io", "namespace"].as_slice()),
        Kind::GithubActions => Some(["repository_id"].as_slice()),
        Kind::Spiffe | Kind::Oidc => None,
    };
    let changed = match check {
        C::TypeOfAnotherUse => token.clone().header("typ", "at+jwt"),
        C::AlgorithmNotAllowed => {
            // Signed with the right key, by an algorithm that is off.
            let token = match kind {
                Kind::GithubActions => token.clone().header("alg", "RS512"),
                Kind::Oidc => token.clone().header("alg", "ES384"),
                Kind::Spiffe => token.clone().header("alg", "EdDSA"),
                Kind::Kubernetes => token.clone().header("alg", "PS256"),
            };
            return (token.sign_with(testkit::key(&good(preset).algorithm())), 1);
        }
        C::AlgorithmOfTheKey => {
            // The key of this id is of the other family.
            let token = token.clone().header("alg", other);
            return (token.sign_with(testkit::key(other)), 1);
        }
        C::KeyIdMissing => token.clone().without_header("kid"),
        C::KeyIdUnknown => token.clone().header("kid", "rotated"),
        C::ExtraHeader => token.clone().header("x5t", "AAAA"),
        C::SignatureOfAStranger => {
            return (token.sign_with(testkit::stranger(&token.algorithm())), 1);
        }
        C::SignedBytesChanged => {
            let (one, two) = (token.sign(), set("aud", json!("other")).sign());
            let (input, _) = two.rsplit_once('.').unwrap();
            let (_, signature) = one.rsplit_once('.').unwrap();
            return (format!("{input}.{signature}"), 1);
        }
        C::ExpiredAndForged => {
            let token = set("exp", json!(1));
            return (token.sign_with(testkit::stranger(&token.algorithm())), 1);
        }
        C::IssuerMissing => token.clone().without(&["iss"]),
        C::IssuerOther => set("iss", json!("https://evil.test")),
        C::IssuerList => set("iss", json!([token.claims["iss"]])),
        C::IssuerSlash => {
            let issuer = token.claims["iss"].as_str().unwrap_or("https://x.test");
            set("iss", json!(format!("{issuer}/")))
        }
        C::SelfIssued => set("iss", json!(BROKER)),
        C::AudienceMissing => token.clone().without(&["aud"]),
        C::AudienceOther => set("aud", json!("https://other.example")),
        C::AudienceShared => set("aud", json!([BROKER, "https://other.example"])),
        C::AudienceOfWrongType => set("aud", json!({ "aud": BROKER })),
        C::AudienceNear => set("aud", json!(format!("{BROKER}/"))),
        C::ExpiryMissing => token.clone().without(&["exp"]),
        C::ExpiryText => set("exp", json!((T0 + life).to_string())),
        C::Expired => return (token.sign(), life + 5),
        C::ExpiryHuge => set("exp", json!(1e300)),
        C::IssueTimeMissing => token.clone().without(&["iat"]),
        C::IssueTimeText => set("iat", json!(T0.to_string())),
        C::IssuedInFuture => set("iat", json!(T0 + 10)),
        C::NotYetValid => set("nbf", json!(T0 + 10)),
        C::NotBeforeText => set("nbf", json!(T0.to_string())),
        C::LifetimeTooLong => set("exp", json!(T0 + cap + 1)),
        C::TooOld => return (token.sign(), 106),
        C::SubjectMissing => token.clone().without(&["sub"]),
        C::SubjectEmpty => set("sub", json!("")),
        C::SubjectOfWrongType => set("sub", json!([token.claims["sub"]])),
        C::SubjectLong => set("sub", json!("x".repeat(2049))),
        C::SubjectControl => set(
            "sub",
            json!(format!("{}\n", token.claims["sub"].as_str().unwrap())),
        ),
        C::TokenIdMissing => token.clone().without(&["jti"]),
        C::TokenIdOfWrongType => set("jti", json!(7)),
        C::TokenIdLong => set("jti", json!("x".repeat(257))),
        C::Bound => set("cnf", json!({ "jkt": "x" })),
        C::SecurityEvent => set("events", json!({ "https://x.test/event": {} })),
        C::OtherTenant => match kind {
            Kind::Spiffe => set("sub", json!("spiffe://other.example/ns/billing/sa/worker")),
            Kind::GithubActions => set("repository_owner_id", json!("999999")),
            Kind::Kubernetes => set(
                "iss",
                json!("https://oidc.eks.us-east-1.amazonaws.com/id/B"),
            ),
            Kind::Oidc => set("iss", json!("https://id.other.example")),
        },
        C::OtherSubjectForm => set("sub", json!("somebody else")),
        C::RequiredClaimMissing => claim.map_or(token.clone(), |path| token.clone().without(path)),
        C::RequiredClaimOfWrongType => {
            claim.map_or(token.clone(), |path| token.clone().with(path, 7))
        }
    };
    (changed.sign(), 1)
}

/// A trust domain of that kind, all of whose checks are on.
fn configured(kind: &str) -> Arc<TrustDomain> {
    testkit::domain(kind, &[("maxTokenAge", testkit::text("100s"))])
}

fn verdict(domain: &Arc<TrustDomain>, token: &str, secs: i64) -> Result<String, Rejection> {
    let keys = testkit::keys_two_of_each(domain.preset);
    let now = testkit::at(secs);
    let parsed = testkit::parse(token);
    evidence::verify(parsed, TokenType::Jwt, domain, &keys, now).map(|i| i.subject().to_owned())
}

#[test]
fn every_kind_answers_for_every_check() {
    for preset in PRESETS {
        let domain = configured(preset.name);
        let kind = kind(&domain.source);
        let good = good(preset.name).sign();
        for check in CHECKS {
            let before = verdict(&domain, &good, 1);
            assert!(before.is_ok(), "{kind:?}: {before:?}");
            let (token, secs) = broken(kind, preset.name, *check);
            let found = verdict(&domain, &token, secs);
            match answer(kind, *check) {
                Refused(reason) => {
                    let rejection = found.expect_err(&format!("{kind:?} {check:?}"));
                    assert_eq!(
                        rejection.reason, reason,
                        "{kind:?} {check:?}: {rejection:?}"
                    );
                    assert!(rejection.field.is_some(), "{kind:?} {check:?}");
                }
                Accepted(why) => {
                    assert!(found.is_ok(), "{kind:?} {check:?} ({why}): {found:?}");
                }
            }
        }
    }
}

#[test]
fn every_step_of_verification_refuses_something_of_every_kind() {
    for preset in PRESETS {
        let domain = configured(preset.name);
        let kind = kind(&domain.source);
        let mut failed: Vec<&'static str> = Vec::new();
        for check in CHECKS {
            let (token, secs) = broken(kind, preset.name, *check);
            if let Err(rejection) = verdict(&domain, &token, secs) {
                failed.extend(evidence::steps().nth(rejection.passed.len()));
            }
        }
        for step in evidence::steps() {
            // What a kind has no use for, it has no refusal for.
            let unused = match kind {
                Kind::Spiffe => [].as_slice(),
                Kind::GithubActions => &["header"],
                Kind::Kubernetes => &["header", "admission"],
                Kind::Oidc => &["header", "attributes", "admission"],
            };
            assert!(
                failed.contains(&step) != unused.contains(&step),
                "{kind:?}: {step}"
            );
        }
    }
}
