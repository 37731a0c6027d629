//! Tokens as real issuers make them, through the whole of evidence: picked by
//! the registry, verified, read into exactly these attributes or refused for
//! exactly this reason.

#[path = "../src/evidence/testkit.rs"]
mod testkit;

use std::collections::{BTreeMap, BTreeSet};

use assay::{
    base,
    evidence::{
        self, Entry, Identity, PRESETS, Registry, Rejection, Setting, Settings, TokenType,
        TrustDomain, authenticate,
    },
    jose, keys,
    keys::Handle,
    model,
};
use serde_json::Value;
use testkit::{BROKER, Token};

const FILE: &str = include_str!("fixtures/tokens.json");

struct Fixtures {
    domains: BTreeMap<String, Value>,
    usual: Vec<String>,
    tokens: Vec<Value>,
}

impl Fixtures {
    fn read() -> Self {
        let mut file: Value = serde_json::from_str(FILE).unwrap();
        assert_eq!(file["t0"], testkit::T0);
        let mut take = |name: &str| file[name].take();
        Self {
            domains: serde_json::from_value(take("domains")).unwrap(),
            usual: serde_json::from_value(take("usual")).unwrap(),
            tokens: serde_json::from_value(take("tokens")).unwrap(),
        }
    }

    /// The trust domains that a fixture is tried against, all with the keys
    /// that its issuer would publish.
    fn registry(&self, fixture: &Value) -> Registry {
        let named = fixture["domains"].as_array().unwrap();
        let names = named.iter().flat_map(|name| match name.as_str().unwrap() {
            "usual" => self.usual.clone(),
            other => vec![other.to_owned()],
        });
        let entries = names.map(|name| {
            let given = &self.domains[&name];
            let preset = testkit::preset(given["kind"].as_str().unwrap());
            let domain = TrustDomain::new(
                name.parse().unwrap(),
                preset,
                &Settings {
                    values: settings(&given["settings"]),
                },
                &BROKER.parse().unwrap(),
            );
            let kid = fixture["header"]["kid"].as_str();
            let algorithm = fixture["header"]["alg"].as_str().unwrap();
            let usable = jose::Algorithm::from_name(algorithm)
                .is_some_and(|a| preset.algorithms.contains(&a));
            let published = usable.then(|| (kid, testkit::key(algorithm)));
            let snapshot = testkit::key_set(preset, published.as_slice());
            Entry {
                domain: domain.unwrap_or_else(|problems| panic!("{name}: {problems:?}")),
                keys: Handle::fixed(snapshot.keys, testkit::at(0)),
            }
        });
        Registry::new(BROKER.parse().unwrap(), entries.collect())
    }
}

fn settings(given: &Value) -> BTreeMap<String, Setting> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let members = given.as_object().unwrap().iter();
    let settings = members.map(|(key, value)| {
        let setting = match value {
            Value::String(text) => Setting::Text(text.clone()),
            Value::Bool(flag) => Setting::Flag(*flag),
            Value::Array(items) => Setting::Texts(items.iter().map(text).collect()),
            Value::Object(_) => Setting::Object(settings(value)),
            other => panic!("{key}: {other}"),
        };
        (key.clone(), setting)
    });
    settings.collect()
}

/// As the exchange does it: each candidate in turn, then why not.
fn verify(
    registry: &Registry,
    token: &str,
    now: base::clock::Moment,
) -> Result<Identity, Rejection> {
    let parsed = testkit::parse(token);
    let mut refused = registry.refusal(&parsed);
    for entry in registry.candidates(&parsed) {
        let keys = entry.keys.snapshot();
        match authenticate(testkit::parse(token), &entry.domain, &keys) {
            Ok(authentic) => match authentic.judge(TokenType::Jwt, now) {
                Ok(identity) => return Ok(identity),
                Err(rejection) => refused = rejection,
            },
            Err(unauthentic) => refused = unauthentic.rejection,
        }
    }
    Err(refused)
}

fn shifted(claims: &Value, by: i64) -> Value {
    let mut claims = claims.clone();
    for name in ["iat", "nbf", "exp", "auth_time"] {
        if let Some(time) = claims.get(name).and_then(Value::as_i64) {
            claims[name] = (time + by).into();
        }
    }
    claims
}

#[test]
fn every_fixture_is_what_it_should_be_whenever_it_is_made() {
    let fixtures = Fixtures::read();
    for shift in [0, 100 * 24 * 3600, -400 * 24 * 3600] {
        for fixture in &fixtures.tokens {
            let name = &fixture["name"];
            let token = Token {
                header: fixture["header"].clone(),
                claims: shifted(&fixture["claims"], shift),
            };
            let registry = fixtures.registry(fixture);
            let found = match verify(&registry, &token.sign(), testkit::at(shift + 1)) {
                Ok(identity) => {
                    let mut attributes = testkit::lines(identity.attributes());
                    attributes.sort();
                    serde_json::json!({ "subject": identity.subject(), "attributes": attributes })
                }
                Err(rejection) => serde_json::json!({
                    "reason": rejection.reason.code(),
                    "field": rejection.field,
                }),
            };
            assert_eq!(found, fixture["expect"], "{name}");
        }
    }
}

/// A refusal above is worth something only if the same token passes when the
/// one thing is put right.
#[test]
fn refused_fixtures_pass_when_the_one_thing_is_put_right() {
    type Mend = fn(Token) -> Token;
    let mends: &[(&str, Mend)] = &[
        ("gha_pull_request_target", |t| {
            t.with(&["event_name"], "push")
        }),
        ("gha_recycled_name", |t| {
            t.with(&["repository_owner_id"], "123456")
        }),
        ("gha_enterprise_issuer", |t| {
            t.with(&["iss"], testkit::GITHUB)
        }),
        ("k8s_eks_irsa_default_aud", |t| t.with(&["aud"], BROKER)),
        ("k8s_default_token_1y", |t| {
            let t = t.with(&["aud"], BROKER).with(&["exp"], testkit::T0 + 3600);
            t.without(&["kubernetes.io", "warnafter"])
        }),
        ("spiffe_foreign_td", |t| {
            t.with(
                &["sub"],
                "spiffe://prod.acme.example/ns/billing/sa/temporal-worker",
            )
        }),
        ("spiffe_wit_svid", |t| {
            let t = t.header("typ", "JWT").without(&["cnf"]);
            t.with(&["aud"], BROKER)
        }),
        ("depot_ci", |t| t.with(&["sub"], "org_abc")),
        ("nomad_default_no_exp", |t| {
            let t = t.with(&["iss"], "https://nomad.corp.example");
            t.with(&["aud"], BROKER).with(&["exp"], testkit::T0 + 600)
        }),
        ("cognito_client_credentials", |t| t.with(&["aud"], BROKER)),
        ("google_user", |t| t.with(&["aud"], BROKER)),
    ];
    let fixtures = Fixtures::read();
    let mut refused = BTreeSet::new();
    for fixture in &fixtures.tokens {
        let name = fixture["name"].as_str().unwrap();
        let usual = fixture["domains"][0] == "usual" && fixture["domains"][1].is_null();
        if fixture["expect"]["reason"].is_null() || !usual {
            continue;
        }
        refused.insert(name);
        // Its issuer is no URL, so nothing puts it right.
        if name == "k8s_legacy_secret" {
            continue;
        }
        let (_, mend) = mends
            .iter()
            .find(|(of, _)| *of == name)
            .unwrap_or_else(|| panic!("say how {name} is put right"));
        let token = mend(Token {
            header: fixture["header"].clone(),
            claims: fixture["claims"].clone(),
        });
        let registry = fixtures.registry(fixture);
        if let Err(rejection) = verify(&registry, &token.sign(), testkit::at(1)) {
            panic!("{name}: {rejection:?}");
        }
    }
    assert_eq!(refused.len(), mends.len() + 1, "{refused:?}");
}

#[test]
fn every_kind_of_source_has_fixtures_that_pass() {
    let fixtures = Fixtures::read();
    for preset in PRESETS {
        let accepted = fixtures.tokens.iter().filter(|fixture| {
            let subject = fixture["expect"]["subject"].as_str().unwrap_or_default();
            let of = |(name, given): (&String, &Value)| {
                let spiffe = subject.starts_with("spiffe://") && given["kind"] == "spiffe";
                given["kind"] == preset.name && (spiffe || subject.starts_with(&format!("{name}:")))
            };
            !subject.is_empty() && fixtures.domains.iter().any(of)
        });
        assert!(accepted.count() >= 1, "{preset:?}");
    }
}
