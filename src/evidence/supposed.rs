//! An identity that nobody proved.

use std::collections::BTreeMap;

use crate::model::{Attribute, Attributes, FieldKind, FieldSpec, TrustDomainName, Value};

use super::{
    Preset, Setting, SettingProblem, Source, identity::canonical_subject, settings::closest,
};

/// An identity that nobody proved: what policy tests and simulations decide
/// on. It can be decided, never minted for.
///
/// Its grant is of another type than an [`Identity`](super::Identity)'s, and
/// it does not turn into one: see there.
#[derive(Clone, Debug, PartialEq)]
pub struct Supposed {
    /// The trust domain that it would be from.
    pub trust_domain: TrustDomainName,
    /// What its canonical subject would be.
    pub subject: String,
    /// What rules match.
    pub attributes: Attributes,
}

impl Supposed {
    /// From test values by field name, typed by the source's fields. What the
    /// trust domain pins, and what follows from the given values, is added.
    ///
    /// Whether the trust domain would accept such an identity at all is
    /// another question: [`Source::admits`].
    pub fn new(
        name: &TrustDomainName,
        source: &Source,
        preset: &'static Preset,
        given: &BTreeMap<String, Setting>,
    ) -> Result<Self, SettingProblem> {
        let mut attributes = Attributes::default();
        for (key, setting) in given {
            match setting {
                // `claims: { team: billing }` gives `claims.team`.
                Setting::Map(inner) | Setting::Object(inner) => {
                    for (member, setting) in inner {
                        let key = format!("{key}.{member}");
                        attributes.set(attribute(source, preset, &key, setting)?);
                    }
                }
                _ => attributes.set(attribute(source, preset, key, setting)?),
            }
        }
        let subject = source.suppose(&mut attributes);
        Ok(Self {
            trust_domain: name.clone(),
            subject: canonical_subject(name, source, &subject),
            attributes,
        })
    }
}

fn attribute(
    source: &Source,
    preset: &Preset,
    key: &str,
    setting: &Setting,
) -> Result<Attribute, SettingProblem> {
    let Some(field) = source.field(key) else {
        return Err(unknown(preset, key));
    };
    match value(&field, setting) {
        Some(value) => Ok(Attribute {
            asserted_by: field.asserted_by,
            name: field.name,
            value,
        }),
        None => Err(SettingProblem::new(
            key,
            format!("{} is not a value of this field", setting.type_name()),
        )
        .hint(match field.field.kind {
            FieldKind::Exact | FieldKind::Segments(_) => "a text is expected: quote numbers",
            FieldKind::Flag => "true or false is expected",
            FieldKind::Contains => "a list of texts is expected",
            FieldKind::Any => "a text, a number, true, false or a list of texts is expected",
        })),
    }
}

fn value(field: &FieldSpec, setting: &Setting) -> Option<Value> {
    let any = field.kind == FieldKind::Any;
    match (field.kind, setting) {
        (FieldKind::Flag, Setting::Flag(flag)) => Some(Value::Flag(*flag)),
        (FieldKind::Exact | FieldKind::Segments(_) | FieldKind::Any, Setting::Text(text)) => {
            Some(Value::Text(text.as_str().into()))
        }
        (FieldKind::Contains | FieldKind::Any, Setting::Texts(texts)) => Some(Value::List(
            texts.iter().map(|text| text.as_str().into()).collect(),
        )),
        (_, Setting::Flag(flag)) if any => Some(Value::Flag(*flag)),
        (_, Setting::Number(number)) if any => Some(Value::Number(i64::try_from(*number).ok()?)),
        _ => None,
    }
}

fn unknown(preset: &Preset, key: &str) -> SettingProblem {
    let names = || preset.fields.iter().map(|field| field.name);
    let problem = SettingProblem::new(key, format!("`{key}` is not a field of {}", preset.name));
    problem.hint(match closest(key, names()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("its fields are {}", names().collect::<Vec<_>>().join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        evidence::testkit::{self, check, domain, good, lines, map, object, text, texts},
        model::{Asserter, Reason},
    };

    fn suppose(kind: &str, given: &[(&str, Setting)]) -> Result<Supposed, SettingProblem> {
        let domain = domain(kind, &[]);
        Supposed::new(&domain.name, &domain.source, domain.preset, &map(given))
    }

    fn admitted(kind: &str, given: &[(&str, Setting)]) -> Option<Reason> {
        let supposed = suppose(kind, given).unwrap();
        let source = &domain(kind, &[]).source;
        source.admits(&supposed.attributes).err().map(|r| r.reason)
    }

    #[test]
    fn a_path_and_an_id_stand_for_each_other() {
        let id = "spiffe://prod.acme.example/ns/x";
        let by_path = suppose("spiffe", &[("path", text("/ns/x"))]).unwrap();
        let by_id = suppose("spiffe", &[("id", text(id))]).unwrap();
        assert_eq!(by_path.subject, id);
        assert_eq!(by_id.subject, id);
        for supposed in [by_path, by_id] {
            assert_eq!(
                supposed.attributes.get("path").unwrap().value,
                Value::Text("/ns/x".into())
            );
            assert_eq!(
                supposed.attributes.get("id").unwrap().value,
                Value::Text(id.into())
            );
        }
    }

    #[test]
    fn what_verification_would_refuse_is_refused_here() {
        let id = |id: &str| admitted("spiffe", &[("id", text(id))]);
        assert_eq!(id("spiffe://prod.acme.example/x"), None);
        assert_eq!(
            id("spiffe://dev.acme.example/x"),
            Some(Reason::IssuerUnknown)
        );
        assert_eq!(
            id("spiffe://prod.acme.example/"),
            Some(Reason::SubjectInvalid)
        );
        let event = |event: &str| admitted("githubActions", &[("event", text(event))]);
        assert_eq!(event("push"), None);
        assert_eq!(event("pull_request_target"), Some(Reason::EventForbidden));
        let owner = |id: &str| admitted("githubActions", &[("organizationId", text(id))]);
        assert_eq!(owner("123456"), None);
        assert_eq!(owner("999999"), Some(Reason::TenantMismatch));
    }

    #[test]
    fn names_and_types_are_those_of_the_source() {
        let github = |key: &str, value: Setting| suppose("githubActions", &[(key, value)]);
        assert!(github("ref", text("refs/heads/main")).is_ok());
        assert!(github("refProtected", Setting::Flag(true)).is_ok());
        let problem = github("enviroment", text("x")).unwrap_err();
        assert_eq!(problem.hint.as_deref(), Some("did you mean `environment`?"));
        let problem = github("zzz", text("x")).unwrap_err();
        assert!(problem.hint.unwrap().contains("repositoryId"));
        for (key, wrong) in [
            ("repositoryId", Setting::Number(7)),
            ("refProtected", text("true")),
            ("ref", texts(&["a"])),
            ("ref", Setting::Flag(true)),
        ] {
            let problem = github(key, wrong).unwrap_err();
            assert_eq!(problem.key, key);
            assert!(problem.hint.is_some());
        }
    }

    #[test]
    fn free_claims_are_given_as_an_object_and_keep_their_types() {
        let given = object(&[
            ("team", text("billing")),
            ("build", Setting::Number(74)),
            ("ok", Setting::Flag(true)),
            ("groups", texts(&["a"])),
        ]);
        let supposed = suppose("oidc", &[("claims", given), ("subject", text("s"))]).unwrap();
        assert_eq!(supposed.subject, "test:s");
        assert_eq!(
            lines(&supposed.attributes),
            [
                "claims.build=74",
                "claims.groups=[\"a\"]",
                "claims.ok=true",
                "claims.team=\"billing\"",
                "subject=\"s\"",
            ]
        );
        for key in ["exp", "sub"] {
            let wrong = object(&[(key, text("x"))]);
            assert!(suppose("oidc", &[("claims", wrong)]).is_err(), "{key}");
        }
        let big = object(&[("n", Setting::Number(u64::MAX))]);
        assert!(suppose("oidc", &[("claims", big)]).is_err());
    }

    /// Tests in files are worth nothing if what they decide on differs from
    /// what a token of the same values becomes.
    #[test]
    fn the_attributes_of_a_token_supposed_again_are_the_same() {
        for preset in crate::evidence::PRESETS {
            let domain = domain(preset.name, &[]);
            let identity = check(&domain, &good(preset.name).sign()).unwrap();
            let mut given = BTreeMap::new();
            for attribute in identity.attributes().iter() {
                let setting = match &attribute.value {
                    Value::Text(text) => testkit::text(text),
                    Value::Flag(flag) => Setting::Flag(*flag),
                    Value::Number(number) => Setting::Number(u64::try_from(*number).unwrap()),
                    Value::List(items) => {
                        Setting::Texts(items.iter().map(ToString::to_string).collect())
                    }
                };
                given.insert(attribute.name.to_string(), setting);
            }
            let supposed =
                Supposed::new(&domain.name, &domain.source, domain.preset, &given).unwrap();
            let sorted = |attributes: &Attributes| {
                let mut all: Vec<(String, Value, Asserter)> = attributes
                    .iter()
                    .map(|a| (a.name.to_string(), a.value.clone(), a.asserted_by))
                    .collect();
                all.sort_by(|a, b| a.0.cmp(&b.0));
                all
            };
            assert_eq!(
                sorted(&supposed.attributes),
                sorted(identity.attributes()),
                "{}",
                preset.name
            );
        }
    }
}
