//! A SPIFFE trust domain: JWT-SVIDs.
//!
//! The SPIFFE ID in `sub` is the whole identity; its trust domain picks the
//! bundle, and only that bundle's `jwt-svid` keys verify it. `iss` means
//! nothing here. SPIRE hands out the same token again until it is renewed, so
//! single use is off (JWT-SVID section 3 and 4).

use crate::{
    jose::{Algorithm, KeyUse},
    model::{
        Asserter, Attributes, Field, FieldKind, Json, Reason, SpiffeId, SpiffeTrustDomain, Ttl,
        Value,
        shape::{Form, Kind, Object},
    },
};

use super::{
    Outline, Preset, Profile, Rejection, Selector, SettingProblem, Settings, Source, attributes,
    preset::{self, field, optional, required, settings},
    settings::Reader,
};

/// The preset `spiffe`.
pub static PRESET: Preset = Preset {
    name: "spiffe",
    settings: settings! { "A SPIFFE trust domain, whose workloads show JWT-SVIDs.":
        required("trustDomain", "The trust domain's name, such as `prod.corp.example`.", Kind::Text(Form::Free)),
        required("bundle", "Where its bundle comes from.", BUNDLE),
        preset::ALGORITHMS,
    },
    fields: FIELDS,
    must_pin: &[&["path"], &["id"]],
    untrusted: &[],
    algorithms: &[
        Algorithm::Es256,
        Algorithm::Es384,
        Algorithm::Es512,
        Algorithm::Rs256,
        Algorithm::Rs384,
        Algorithm::Rs512,
        Algorithm::Ps256,
        Algorithm::Ps384,
        Algorithm::Ps512,
    ],
    key_use: KeyUse::JwtSvid,
    max_lifetime: Ttl::secs(3600),
    max_age: Some(Ttl::secs(3600)),
    single_use: false,
    build,
};

static PROFILE: Profile = Profile {
    types: &["JWT", "JOSE"],
    extra_headers: false,
    key_id_required: true,
    issued_at_required: false,
    max_subject: crate::model::spiffe_id::MAX_SPIFFE_ID,
    global_subject: true,
    ..Profile::OIDC
};

const BUNDLE: Kind = Kind::Object(&Object {
    doc: "Where a SPIFFE bundle comes from.",
    keys: &[
        optional(
            "endpoint",
            "The URL of its bundle endpoint.",
            Kind::Text(Form::Url),
        ),
        optional(
            "profile",
            "How the endpoint is authenticated: `https_web` is the Web PKI.",
            Kind::Word(&["https_web"]),
        ),
        optional(
            "file",
            "A file with the bundle document, which is watched.",
            Kind::Text(Form::Path),
        ),
        preset::CA,
        preset::ALLOW_PRIVATE_ADDRESS,
    ],
});

const FIELDS: &[Field] = &[
    field(
        "path",
        "The path of the SPIFFE ID, with its leading slash.",
        FieldKind::Segments(&['/']),
        Asserter::Issuer,
    ),
    field(
        "id",
        "The whole SPIFFE ID.",
        FieldKind::Exact,
        Asserter::Issuer,
    ),
];

/// A configured SPIFFE trust domain.
#[derive(Clone, Debug)]
pub struct Spiffe {
    pub(super) outline: Outline,
    trust_domain: SpiffeTrustDomain,
}

fn build(settings: &Settings) -> Result<Source, Vec<SettingProblem>> {
    let mut reader = Reader::new(settings);
    let trust_domain: Option<SpiffeTrustDomain> = reader.required("trustDomain");
    reader.finish(trust_domain.map(|trust_domain| {
        let selector = Selector::Spiffe(trust_domain.clone());
        let mut outline = Outline::new(&PRESET, &PROFILE, selector);
        outline.prefixed = &["path"];
        Source::Spiffe(Spiffe {
            outline,
            trust_domain,
        })
    }))
}

impl Spiffe {
    pub(super) fn read(&self, claims: &Json) -> Result<Attributes, Rejection> {
        let id = parse(
            claims
                .get("sub")
                .and_then(Json::as_text)
                .unwrap_or_default(),
        )?;
        let mut attributes = Attributes::default();
        set(&mut attributes, "path", id.path());
        set(&mut attributes, "id", id.as_str());
        Ok(attributes)
    }

    pub(super) fn admits(&self, attributes: &Attributes) -> Result<(), Rejection> {
        let id = parse(attributes::text(attributes, "id").unwrap_or_default())?;
        if id.trust_domain() == self.trust_domain.as_str() {
            return Ok(());
        }
        Err(Rejection::new(Reason::IssuerUnknown, "sub")
            .found(id.trust_domain())
            .wanted(self.trust_domain.as_str()))
    }

    /// A path stands for the id in this trust domain, and an id has a path.
    pub(super) fn suppose(&self, attributes: &mut Attributes) -> String {
        if let Some(path) = attributes::text(attributes, "path") {
            let id = format!("spiffe://{}{path}", self.trust_domain);
            if attributes.get("id").is_none() {
                set(attributes, "id", &id);
            }
        }
        let id = attributes::text(attributes, "id")
            .unwrap_or_default()
            .to_owned();
        if let Ok(parsed) = id.parse::<SpiffeId>() {
            set(attributes, "path", parsed.path());
        }
        id
    }
}

fn parse(subject: &str) -> Result<SpiffeId, Rejection> {
    subject
        .parse()
        .map_err(|e: crate::model::spiffe_id::SpiffeIdError| {
            Rejection::new(Reason::SubjectInvalid, "sub")
                .found(subject)
                .wanted(e.to_string())
        })
}

fn set(attributes: &mut Attributes, name: &'static str, text: &str) {
    attributes::set(attributes, FIELDS, name, Value::Text(text.into()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::testkit::{self, check, domain, good, lines, text};

    fn subject(subject: &str) -> Result<crate::evidence::Identity, Rejection> {
        let token = good("spiffe").with(&["sub"], subject);
        check(&domain("spiffe", &[]), &token.sign())
    }

    fn reason(id: &str) -> Reason {
        subject(id).unwrap_err().reason
    }

    #[test]
    fn s_01_a_jwt_svid_is_its_spiffe_id() {
        let identity = subject("spiffe://prod.acme.example/ns/billing/sa/worker").unwrap();
        assert_eq!(
            lines(identity.attributes()),
            [
                "path=\"/ns/billing/sa/worker\"",
                "id=\"spiffe://prod.acme.example/ns/billing/sa/worker\"",
            ]
        );
        assert!(!identity.trust_domain().single_use);
    }

    #[test]
    fn si_3_ids_of_2048_bytes_are_supported() {
        let long = |n: usize| {
            let start = "spiffe://prod.acme.example/";
            format!("{start}{}", "x".repeat(n - start.len()))
        };
        assert!(subject(&long(2048)).is_ok());
        assert_eq!(reason(&long(2049)), Reason::SubjectInvalid);
    }

    #[test]
    fn s_03_s_05_and_s_09_other_forms_are_refused() {
        for id in [
            "spiffe://prod.acme.example",
            "spiffe://prod.acme.example/",
            "spiffe://prod.acme.example//x",
            "spiffe://prod.acme.example/x/",
            "spiffe://prod.acme.example/../x",
            "spiffe://prod.acme.example/x%2fy",
            "spiffe://prod.acme.example/x?y",
            "spiffe://prod.acme.example/x#y",
            "spiffe://prod.acme.example:8443/x",
            "spiffe://u@prod.acme.example/x",
            "spiffe://PROD.acme.example/x",
            "SPIFFE://prod.acme.example/x",
            "Spiffe://prod.acme.example/x",
            "spiffe:/prod.acme.example/x",
            "spiffe:prod.acme.example",
            "http://prod.acme.example/x",
            "spiffe:///x",
            "prod.acme.example/x",
            "x",
        ] {
            assert_eq!(reason(id), Reason::SubjectInvalid, "{id}");
        }
        for id in [
            "spiffe://prod.acme.example/...",
            "spiffe://prod.acme.example/.x",
        ] {
            assert!(subject(id).is_ok(), "{id}");
        }
    }

    #[test]
    fn s_07_an_id_of_another_trust_domain_is_not_ours() {
        for id in [
            "spiffe://prod.acme.example.evil/ns/x",
            "spiffe://prod.acme.examplex/ns/x",
            "spiffe://evil/prod.acme.example/ns/x",
            "spiffe://acme.example/ns/x",
        ] {
            assert_eq!(reason(id), Reason::IssuerUnknown, "{id}");
        }
    }

    #[test]
    fn s_11_only_the_algorithms_of_the_specification_are_allowed() {
        assert!(!PRESET.algorithms.contains(&Algorithm::EdDsa));
        assert_eq!(PRESET.algorithms.len(), Algorithm::ALL.len() - 1);
    }

    #[test]
    fn a_wit_svid_is_no_bearer_token() {
        let wit = good("spiffe")
            .with(&["cnf"], serde_json::json!({ "jwk": {} }))
            .without(&["aud"]);
        let typed = wit.clone().header("typ", "wit+jwt");
        let domain = domain("spiffe", &[]);
        let refused = |token: testkit::Token| check(&domain, &token.sign()).unwrap_err().reason;
        assert_eq!(refused(typed), Reason::TypeNotAllowed);
        assert_eq!(refused(wit), Reason::TokenKindRefused);
    }

    #[test]
    fn the_trust_domain_is_named_and_nothing_else() {
        for wrong in [
            "spiffe://prod.acme.example",
            "Prod.example",
            "a/b",
            "a:1",
            "",
        ] {
            let problems =
                testkit::try_domain("test", "spiffe", &[("trustDomain", text(wrong))]).unwrap_err();
            assert_eq!(problems[0].key, "trustDomain", "{wrong}");
        }
    }

    #[test]
    fn the_bundle_is_never_inferred() {
        assert!(domain("spiffe", &[]).source.default_keys().is_none());
        let required = |key: &&crate::model::shape::Key| key.name == "bundle" && key.required;
        assert!(PRESET.settings.keys.iter().any(|key| required(&key)));
    }
}
