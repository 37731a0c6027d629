//! What tests of evidence share: a trust domain and a good token of each kind,
//! to be broken in one place.
//!
//! The tests under `tests/` use this very file, so that a kind has one good
//! token in the whole tree.
#![expect(dead_code, reason = "each test program uses its own part of this file")]

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::json;

use crate::{
    base::clock::Moment,
    evidence::{
        Identity, PRESETS, Preset, Rejection, Setting, SettingProblem, Settings, TokenType,
        TrustDomain, verify,
    },
    jose::{Algorithm, Compact, KeySet, KeyUse, LocalKey, Signer},
    keys::Snapshot,
    model::{Attributes, Value},
};

/// The broker's issuer, and so the audience that it accepts.
pub(crate) const BROKER: &str = "https://broker.example.com";
/// GitHub's issuer.
pub(crate) const GITHUB: &str = "https://token.actions.githubusercontent.com";
/// When tokens are issued, in seconds.
pub(crate) const T0: i64 = 1_790_000_000;
/// Largest token that is read.
pub(crate) const MAX_TOKEN: usize = 16 * 1024;

/// A moment some seconds after the tokens were issued.
pub(crate) fn at(secs: i64) -> Moment {
    Moment::from_secs(T0 + secs)
}

static ES256: LazyLock<LocalKey> = LazyLock::new(|| generate(Algorithm::Es256));
static ES256_OTHER: LazyLock<LocalKey> = LazyLock::new(|| generate(Algorithm::Es256));
static RS256: LazyLock<LocalKey> = LazyLock::new(|| generate(Algorithm::Rs256));
static RS256_OTHER: LazyLock<LocalKey> = LazyLock::new(|| generate(Algorithm::Rs256));

fn generate(algorithm: Algorithm) -> LocalKey {
    LocalKey::generate(algorithm).expect("a key can be generated")
}

/// The issuer's key of that algorithm.
pub(crate) fn key(algorithm: &str) -> &'static LocalKey {
    match algorithm {
        "RS256" => &RS256,
        _ => &ES256,
    }
}

/// A key of that algorithm that the issuer never published.
pub(crate) fn stranger(algorithm: &str) -> &'static LocalKey {
    match algorithm {
        "RS256" => &RS256_OTHER,
        _ => &ES256_OTHER,
    }
}

/// A key set of these keys under these key ids, read as the preset says.
pub(crate) fn key_set(preset: &Preset, keys: &[(Option<&str>, &LocalKey)]) -> Snapshot {
    let word = match preset.key_use {
        KeyUse::JwtSvid => "jwt-svid",
        KeyUse::Signature => "sig",
    };
    let jwks: Vec<_> = keys
        .iter()
        .map(|(kid, key)| {
            let mut jwk: serde_json::Value =
                serde_json::from_str(key.public_jwk()).expect("a JWK is JSON");
            jwk["use"] = word.into();
            match kid {
                Some(kid) => jwk["kid"] = (*kid).into(),
                None => drop(jwk.as_object_mut().and_then(|jwk| jwk.remove("kid"))),
            }
            jwk
        })
        .collect();
    let text = json!({ "keys": jwks }).to_string();
    let (keys, skipped) = KeySet::parse(text.as_bytes(), preset.key_use, preset.algorithms)
        .expect("the key set is good");
    assert_eq!(skipped, [], "every key is usable");
    Snapshot {
        keys,
        good_at: None,
    }
}

/// The issuer's key set: a key of each algorithm, under the algorithm's name.
pub(crate) fn keys(preset: &Preset) -> Snapshot {
    let both = ["ES256", "RS256"];
    let usable = both.iter().filter(|name| {
        let algorithm = Algorithm::from_name(name);
        algorithm.is_some_and(|a| preset.algorithms.contains(&a))
    });
    let keys: Vec<_> = usable.map(|name| (Some(*name), key(name))).collect();
    key_set(preset, &keys)
}

/// The same, and beside each key one that nobody has.
pub(crate) fn keys_two_of_each(preset: &Preset) -> Snapshot {
    let names = ["ES256", "RS256"];
    let usable = names.iter().filter(|name| {
        let algorithm = Algorithm::from_name(name);
        algorithm.is_some_and(|a| preset.algorithms.contains(&a))
    });
    let mut all: Vec<_> = usable
        .clone()
        .map(|name| (Some(*name), key(name)))
        .collect();
    all.extend(usable.map(|name| (Some("spare"), stranger(name))).take(1));
    key_set(preset, &all)
}

/// A text setting.
pub(crate) fn text(text: &str) -> Setting {
    Setting::Text(text.to_owned())
}

/// A list setting.
pub(crate) fn texts(texts: &[&str]) -> Setting {
    Setting::Texts(texts.iter().map(|&text| text.to_owned()).collect())
}

/// An object setting.
pub(crate) fn object(members: &[(&str, Setting)]) -> Setting {
    Setting::Object(map(members))
}

/// Settings by key.
pub(crate) fn map(members: &[(&str, Setting)]) -> BTreeMap<String, Setting> {
    let owned = members.iter().map(|(k, v)| ((*k).to_owned(), v.clone()));
    owned.collect()
}

/// The preset of that name.
pub(crate) fn preset(name: &str) -> &'static Preset {
    let found = PRESETS.iter().find(|preset| preset.name == name);
    found.unwrap_or_else(|| panic!("no preset {name}"))
}

/// The least that each kind of source needs, with some settings changed.
pub(crate) fn settings(kind: &str, changed: &[(&str, Setting)]) -> Settings {
    let mut values = match kind {
        "spiffe" => map(&[
            ("trustDomain", text("prod.acme.example")),
            ("bundle", object(&[("file", text("bundle.json"))])),
        ]),
        "kubernetes" => map(&[(
            "issuer",
            text("https://oidc.eks.us-east-1.amazonaws.com/id/D4A0"),
        )]),
        "githubActions" => map(&[("organizationId", text("123456"))]),
        "oidc" => map(&[
            ("issuer", text("https://id.corp.example")),
            ("algorithms", texts(&["ES256", "RS256"])),
        ]),
        other => panic!("say here what {other} needs at least"),
    };
    values.extend(map(changed));
    Settings { values }
}

/// A trust domain of that kind, named `test`, with some settings changed.
pub(crate) fn domain(kind: &str, changed: &[(&str, Setting)]) -> Arc<TrustDomain> {
    domain_named("test", kind, changed)
}

/// A trust domain of that kind and name, with some settings changed.
pub(crate) fn domain_named(
    name: &str,
    kind: &str,
    changed: &[(&str, Setting)],
) -> Arc<TrustDomain> {
    try_domain(name, kind, changed).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// The same, with the problems that the settings have.
pub(crate) fn try_domain(
    name: &str,
    kind: &str,
    changed: &[(&str, Setting)],
) -> Result<Arc<TrustDomain>, Vec<SettingProblem>> {
    TrustDomain::new(
        name.parse().expect("a name"),
        preset(kind),
        &settings(kind, changed),
        &BROKER.parse().expect("an issuer"),
    )
}

/// A token as JSON, to be changed and signed.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    /// Its header.
    pub(crate) header: serde_json::Value,
    /// Its claims.
    pub(crate) claims: serde_json::Value,
}

/// A token that the trust domain of [`domain`] accepts as it is.
pub(crate) fn good(kind: &str) -> Token {
    let (algorithm, claims) = match kind {
        "spiffe" => (
            "ES256",
            json!({
                "sub": "spiffe://prod.acme.example/ns/billing/sa/worker",
                "aud": [BROKER], "iat": T0, "exp": T0 + 300,
            }),
        ),
        "kubernetes" => (
            "RS256",
            json!({
                "iss": "https://oidc.eks.us-east-1.amazonaws.com/id/D4A0",
                "sub": "system:serviceaccount:billing:worker",
                "aud": [BROKER], "iat": T0, "nbf": T0, "exp": T0 + 3600,
                "jti": "71100000-1111-4222-8333-444455556666",
                "kubernetes.io": {
                    "namespace": "billing",
                    "serviceaccount": { "name": "worker", "uid": "5a000000-1111" },
                    "pod": { "name": "worker-6d5f7c9b8-x2x7k", "uid": "0b0d0000-1111" },
                    "node": { "name": "ip-10-0-1-17", "uid": "0de00000-1111" },
                },
            }),
        ),
        "githubActions" => (
            "RS256",
            json!({
                "iss": GITHUB,
                "sub": "repo:acme@123456/worker@456789:environment:production",
                "aud": BROKER, "iat": T0, "nbf": T0 - 600, "exp": T0 + 300,
                "jti": "0c2b5a1e-6f1d-4f5e-9a51-2f3f9a0b7c11",
                "repository": "acme/worker", "repository_id": "456789",
                "repository_owner": "acme", "repository_owner_id": "123456",
                "repository_visibility": "private",
                "ref": "refs/heads/main", "ref_type": "branch", "ref_protected": "true",
                "sha": "7e3b1f0c2d4a5968778695a4b3c2d1e0f9e8d7c6",
                "head_ref": "", "base_ref": "", "event_name": "push",
                "environment": "production", "workflow": "Deploy to production",
                "workflow_ref": "acme/worker/.github/workflows/deploy.yml@refs/heads/main",
                "workflow_sha": "7e3b1f0c2d4a5968778695a4b3c2d1e0f9e8d7c6",
                "job_workflow_ref": "acme/ci/.github/workflows/worker.yml@refs/tags/v3",
                "job_workflow_sha": "a1b2c3d4e5f60718293a4b5c6d7e8f9001122334",
                "runner_environment": "github-hosted", "run_id": "16543210987",
                "actor": "octo-dev", "actor_id": "9001",
            }),
        ),
        "oidc" => (
            "ES256",
            json!({
                "iss": "https://id.corp.example", "sub": "e7171700-1111",
                "aud": BROKER, "iat": T0, "exp": T0 + 300,
                "team": "billing", "build": 74, "email_verified": true,
                "groups": ["admin-readonly", "dev"],
                "extra_claims": { "tier": "gold" },
            }),
        ),
        other => panic!("say here what a good token of {other} is"),
    };
    Token {
        header: json!({ "alg": algorithm, "kid": algorithm, "typ": "JWT" }),
        claims,
    }
}

impl Token {
    /// With a claim set; a path of names leads into objects.
    pub(crate) fn with(mut self, path: &[&str], value: impl Into<serde_json::Value>) -> Self {
        let mut at = &mut self.claims;
        for name in path {
            at = &mut at[*name];
        }
        *at = value.into();
        self
    }

    /// Without a claim.
    pub(crate) fn without(mut self, path: &[&str]) -> Self {
        let (last, outer) = path.split_last().expect("a path");
        let mut at = &mut self.claims;
        for name in outer {
            at = &mut at[*name];
        }
        drop(at.as_object_mut().and_then(|object| object.remove(*last)));
        self
    }

    /// With a header parameter set.
    pub(crate) fn header(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.header[name] = value.into();
        self
    }

    /// Without a header parameter.
    pub(crate) fn without_header(mut self, name: &str) -> Self {
        drop(self.header.as_object_mut().and_then(|h| h.remove(name)));
        self
    }

    /// The algorithm that the header names.
    pub(crate) fn algorithm(&self) -> String {
        self.header["alg"].as_str().unwrap_or_default().to_owned()
    }

    /// Signed by the issuer.
    pub(crate) fn sign(&self) -> String {
        self.sign_with(key(&self.algorithm()))
    }

    /// Signed by this key, whatever the header says.
    pub(crate) fn sign_with(&self, key: &LocalKey) -> String {
        sign_text(&self.header.to_string(), &self.claims.to_string(), key)
    }
}

/// A token of these very texts.
pub(crate) fn sign_text(header: &str, claims: &str, key: &LocalKey) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let input = format!("{}.{}", part(header), part(claims));
    let mut signature = Vec::new();
    key.sign(input.as_bytes(), &mut signature)
        .expect("the key signs");
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Verifies a token's text a second after it was issued.
pub(crate) fn check(domain: &Arc<TrustDomain>, token: &str) -> Result<Identity, Rejection> {
    check_at(domain, token, at(1))
}

/// Verifies a token's text at a moment.
pub(crate) fn check_at(
    domain: &Arc<TrustDomain>,
    token: &str,
    now: Moment,
) -> Result<Identity, Rejection> {
    let keys = keys(domain.preset);
    verify(parse(token), TokenType::Jwt, domain, &keys, now)
}

/// A token's text as a compact JWS.
pub(crate) fn parse(token: &str) -> Compact<'_> {
    Compact::parse(token, MAX_TOKEN).unwrap_or_else(|e| panic!("{e}"))
}

/// The attributes as `name=value` lines, in their order.
pub(crate) fn lines(attributes: &Attributes) -> Vec<String> {
    let line = |value: &Value| match value {
        Value::Text(text) => format!("{text:?}"),
        Value::List(items) => format!("{items:?}"),
        Value::Number(_) | Value::Flag(_) => value.to_string(),
    };
    let all = attributes.iter();
    all.map(|a| format!("{}={}", a.name, line(&a.value)))
        .collect()
}

/// Any JSON value.
pub(crate) fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<u64>().prop_map(serde_json::Value::from),
        any::<f64>().prop_map(serde_json::Value::from),
        ".{0,40}".prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            proptest::collection::btree_map("[a-z]{1,8}", inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}
