//! Any OpenID Connect issuer that has no preset of its own.
//!
//! Rules match `subject` and claims by name. Nothing is known about who puts
//! what into these tokens, so the administrator says which claims callers
//! choose, and rules of issuers that serve strangers must pin the tenant.

use std::collections::BTreeMap;

use crate::{
    jose::{Algorithm, KeyUse},
    model::{
        Asserter, Attribute, Attributes, Field, FieldKind, FieldSpec, IssuerUrl, Json, Ttl, Value,
        shape::{self, Kind},
    },
};

use super::{
    Outline, Preset, Profile, Rejection, Selector, Setting, SettingProblem, Settings, Source,
    attributes,
    preset::{self, field, optional, required, settings},
    settings::Reader,
};

/// The preset `oidc`.
pub static PRESET: Preset = Preset {
    name: "oidc",
    settings: settings! { "An OpenID Connect issuer that has no preset of its own.":
        preset::ISSUER,
        required("algorithms", "The signature algorithms that are accepted.", preset::ALGORITHM_LIST),
        optional("claimPaths", "Names for claims inside objects: NAME: [outer, inner].", Kind::Map(&TEXTS)),
        optional("callerClaims", "The names of claims whose value the caller chooses: they alone satisfy no rule.", TEXTS),
        preset::KEYS,
    },
    fields: &[SUBJECT, CLAIM],
    must_pin: &[&["subject"], &["claims"]],
    untrusted: &[],
    algorithms: Algorithm::ALL,
    key_use: KeyUse::Signature,
    max_lifetime: Ttl::secs(3600),
    max_age: Some(Ttl::secs(3600)),
    single_use: true,
    build,
};

const TEXTS: Kind = Kind::List(&Kind::Text(shape::Form::Free));

const SUBJECT: Field = field(
    "subject",
    "The `sub` claim.",
    FieldKind::Segments(&['/', ':']),
    Asserter::Issuer,
);
const CLAIM: Field = field(
    "claims",
    "A top-level claim by its name, or one of `claimPaths`.",
    FieldKind::Any,
    Asserter::Issuer,
);
static CLAIM_OF_ISSUER: Field = CLAIM;
static CLAIM_OF_CALLER: Field = Field {
    asserted_by: Asserter::Caller,
    ..CLAIM
};

/// Claims that are checked, not matched.
const REGISTERED: &[&str] = &["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];

/// Issuers that serve strangers: a rule must pin one of these claims.
const SHARED: &[(&str, &[&[&str]])] = &[
    (
        "https://gitlab.com",
        &[&["claims.project_id"], &["claims.namespace_id"]],
    ),
    (
        "https://agent.buildkite.com",
        &[&["claims.organization_id"]],
    ),
    (
        "https://app.terraform.io",
        &[&["claims.terraform_organization_id"]],
    ),
    ("https://accounts.google.com", &[&["subject"]]),
    ("https://identity.depot.dev", &[&["claims.org_id"]]),
    ("https://oidc.vercel.com", &[&["claims.owner_id"]]),
];

/// A configured issuer.
#[derive(Clone, Debug)]
pub struct Oidc {
    pub(super) outline: Outline,
    paths: BTreeMap<String, Vec<String>>,
    caller_claims: Vec<String>,
}

fn build(settings: &Settings) -> Result<Source, Vec<SettingProblem>> {
    let mut reader = Reader::new(settings);
    let issuer: Option<IssuerUrl> = reader.required("issuer");
    if reader.texts("algorithms").is_none() {
        reader.problem(
            SettingProblem::new("algorithms", "this setting is required")
                .hint("name what the issuer signs with, such as [RS256]"),
        );
    }
    if let Some(issuer) = &issuer {
        has_preset(&mut reader, issuer);
    }
    let paths = paths(&mut reader);
    let caller_claims = reader.texts("callerClaims").unwrap_or_default();
    reader.finish(issuer.map(|issuer| {
        let shared = SHARED.iter().find(|(shared, _)| *shared == issuer.as_str());
        let mut outline = Outline::new(&PRESET, &Profile::OIDC, Selector::Issuer(issuer));
        if let Some((_, must_pin)) = shared {
            outline.must_pin = must_pin;
        }
        Source::Oidc(Oidc {
            outline,
            paths,
            caller_claims,
        })
    }))
}

fn has_preset(reader: &mut Reader<'_>, issuer: &IssuerUrl) {
    if issuer.as_str().starts_with("https://token.actions.") {
        reader.problem(
            SettingProblem::new("issuer", "every GitHub user can have tokens of this issuer")
                .hint("use `githubActions`, which pins the organisation"),
        );
    }
}

fn paths(reader: &mut Reader<'_>) -> BTreeMap<String, Vec<String>> {
    let mut paths = BTreeMap::new();
    for (name, value) in reader.map("claimPaths").into_iter().flatten() {
        match value {
            Setting::Texts(path) if !path.is_empty() && !REGISTERED.contains(&name.as_str()) => {
                paths.insert(name.clone(), path.clone());
            }
            _ => reader.problem(SettingProblem::new(
                &format!("claimPaths.{name}"),
                "a list of member names is expected, under a name that no checked claim has",
            )),
        }
    }
    paths
}

impl Oidc {
    /// The field `claims.NAME`.
    pub(super) fn claim_field(&self, name: &str) -> Option<FieldSpec> {
        let claim = name.strip_prefix("claims.")?;
        (!claim.is_empty() && !REGISTERED.contains(&claim)).then(|| FieldSpec {
            name: name.into(),
            field: match self.asserter(claim) {
                Asserter::Caller => &CLAIM_OF_CALLER,
                _ => &CLAIM_OF_ISSUER,
            },
        })
    }

    pub(super) fn read(&self, claims: &Json) -> Result<Attributes, Rejection> {
        let mut all = Attributes::default();
        if let Some(subject) = claims.get("sub").and_then(Json::as_text) {
            attributes::set(
                &mut all,
                PRESET.fields,
                "subject",
                Value::Text(subject.into()),
            );
        }
        let top = claims.as_object().unwrap_or_default().iter();
        let top = top
            .filter(|(name, _)| !REGISTERED.contains(&name.as_str()))
            // A name given to a path means that path and nothing else.
            .filter(|(name, _)| !self.paths.contains_key(name))
            .map(|(name, value)| (name, Some(value)));
        let inner = self
            .paths
            .iter()
            .map(|(name, path)| (name, claims.at(path)));
        for (name, value) in top.chain(inner) {
            all_set(&mut all, self.attribute(name, value));
        }
        Ok(all)
    }

    pub(super) fn suppose(&self, all: &mut Attributes) -> String {
        attributes::text(all, "subject")
            .unwrap_or_default()
            .to_owned()
    }

    fn attribute(&self, name: &str, value: Option<&Json>) -> Option<Attribute> {
        attributes::free(&format!("claims.{name}"), value?, self.asserter(name))
    }

    fn asserter(&self, claim: &str) -> Asserter {
        if self.caller_claims.iter().any(|c| c == claim) {
            Asserter::Caller
        } else {
            Asserter::Issuer
        }
    }
}

fn all_set(all: &mut Attributes, attribute: Option<Attribute>) {
    if let Some(attribute) = attribute {
        all.set(attribute);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        evidence::testkit::{GITHUB, check, domain, good, lines, map, text, texts, try_domain},
        model::Reason,
    };

    fn source(changed: &[(&str, Setting)]) -> Source {
        domain("oidc", changed).source.clone()
    }

    #[test]
    fn top_level_claims_are_attributes_in_their_types() {
        let identity = check(&domain("oidc", &[]), &good("oidc").sign()).unwrap();
        let mut found = lines(identity.attributes());
        found.sort();
        assert_eq!(
            found,
            [
                "claims.build=74",
                "claims.email_verified=true",
                "claims.groups=[\"admin-readonly\", \"dev\"]",
                "claims.team=\"billing\"",
                "subject=\"e7171700-1111\"",
            ]
        );
    }

    #[test]
    fn a_claim_inside_an_object_is_reached_by_a_path_and_never_by_dots() {
        let paths = Setting::Map(map(&[("tier", texts(&["extra_claims", "tier"]))]));
        let domain = domain("oidc", &[("claimPaths", paths)]);
        let verdict = |token: &crate::evidence::testkit::Token| {
            let identity = check(&domain, &token.sign()).unwrap();
            identity.attributes().get("claims.tier").cloned()
        };
        let gold = Value::Text("gold".into());
        assert_eq!(verdict(&good("oidc")).unwrap().value, gold);
        // A top-level claim of that name, or a dotted one, is not it.
        let token = good("oidc").with(&["tier"], "forged");
        assert_eq!(verdict(&token).unwrap().value, gold);
        let token = good("oidc")
            .without(&["extra_claims"])
            .with(&["tier"], "forged")
            .with(&["extra_claims.tier"], "forged");
        assert_eq!(verdict(&token), None);
        let token = good("oidc").with(&["extra_claims"], json!("tier"));
        assert_eq!(verdict(&token), None);
    }

    #[test]
    fn claims_are_fields_by_name_and_checked_claims_are_not() {
        let source = source(&[("callerClaims", texts(&["branch"]))]);
        let team = source.field("claims.team").unwrap();
        assert_eq!((&*team.name, team.field.name), ("claims.team", "claims"));
        assert_eq!(
            (team.kind, team.asserted_by),
            (FieldKind::Any, Asserter::Issuer)
        );
        let branch = source.field("claims.branch").unwrap();
        assert_eq!(branch.asserted_by, Asserter::Caller);
        assert_eq!(branch.field.name, "claims");
        assert!(source.field("subject").is_some());
        for registered in REGISTERED {
            assert!(source.field(&format!("claims.{registered}")).is_none());
        }
        for unknown in ["claims.", "team", "claim.team", ""] {
            assert!(source.field(unknown).is_none(), "{unknown}");
        }
    }

    #[test]
    fn caller_claims_are_marked_in_identities_too() {
        let domain = domain("oidc", &[("callerClaims", texts(&["team"]))]);
        let identity = check(&domain, &good("oidc").sign()).unwrap();
        let by = |name: &str| identity.attributes().get(name).unwrap().asserted_by;
        assert_eq!(by("claims.team"), Asserter::Caller);
        assert_eq!(by("claims.build"), Asserter::Issuer);
    }

    #[test]
    fn algorithms_must_be_listed() {
        let settings = Settings {
            values: map(&[("issuer", text("https://id.corp.example"))]),
        };
        assert_eq!(build(&settings).unwrap_err()[0].key, "algorithms");
        for wrong in [
            texts(&[]),
            texts(&["HS256"]),
            texts(&["none"]),
            texts(&["rs256"]),
        ] {
            let problems = try_domain("t", "oidc", &[("algorithms", wrong.clone())]).unwrap_err();
            assert_eq!(problems[0].key, "algorithms", "{wrong:?}");
        }
        let one = domain("oidc", &[("algorithms", texts(&["EdDSA"]))]);
        assert_eq!(one.algorithms, [Algorithm::EdDsa]);
    }

    #[test]
    fn an_issuer_of_strangers_needs_its_tenant_pinned() {
        let must_pin = |issuer: &str| source(&[("issuer", text(issuer))]).must_pin();
        assert_eq!(must_pin("https://id.corp.example"), PRESET.must_pin);
        assert_eq!(must_pin("https://identity.depot.dev"), [&["claims.org_id"]]);
        for (issuer, alternatives) in SHARED {
            let source = source(&[("issuer", text(issuer))]);
            assert_eq!(source.must_pin(), *alternatives);
            for name in alternatives.iter().copied().flatten() {
                assert!(source.field(name).is_some(), "{issuer}: {name}");
            }
        }
    }

    #[test]
    fn issuers_that_have_a_preset_are_sent_there() {
        for issuer in [GITHUB, "https://token.actions.acme.ghe.com"] {
            let problems = try_domain("t", "oidc", &[("issuer", text(issuer))]).unwrap_err();
            assert_eq!(problems[0].key, "issuer");
            assert!(problems[0].hint.as_ref().unwrap().contains("githubActions"));
        }
    }

    #[test]
    fn wrong_paths_are_problems() {
        let wrong = [
            Setting::Map(map(&[("x", texts(&[]))])),
            Setting::Map(map(&[("sub", texts(&["a"]))])),
            Setting::Map(map(&[("x", text("a.b"))])),
        ];
        for paths in wrong {
            let problems = try_domain("t", "oidc", &[("claimPaths", paths.clone())]).unwrap_err();
            assert!(problems[0].key.starts_with("claimPaths."), "{paths:?}");
        }
    }

    #[test]
    fn a_token_of_another_kind_of_issuer_lacks_what_is_asked() {
        // `cognito_client_credentials` has no audience.
        let token = good("oidc").without(&["aud"]).sign();
        let rejection = check(&domain("oidc", &[]), &token).unwrap_err();
        assert_eq!(rejection.reason, Reason::ClaimMissing);
    }
}
