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
