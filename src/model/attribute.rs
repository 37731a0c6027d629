//! What an identity is known by: named, typed attributes, each with the party
//! that vouches for it.

use std::{fmt, sync::Arc};

/// Who put a value into the evidence.
///
/// A value that the caller itself chose can never satisfy a rule alone
/// (session tags, branch names, build variables, a token's own audience).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Asserter {
    /// The platform that issued the evidence: ids, the SPIFFE ID.
    Issuer,
    /// An administrator of the tenant: environments, tags, protected refs.
    Admin,
    /// Whoever runs the workload: branch names, the actor, free-form claims.
    Caller,
}

impl Asserter {
    /// The word used in traces and documentation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Issuer => "issuer",
            Self::Admin => "admin",
            Self::Caller => "caller",
        }
    }
}

/// The typed value of an attribute. Types are never coerced: the number 74 and
/// the text "74" are different values.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text.
    Text(Arc<str>),
    /// A whole number.
    Number(i64),
    /// True or false.
    Flag(bool),
    /// A list of texts.
    List(Vec<Arc<str>>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => write!(f, "{number}"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::List(items) => f.write_str(&items.join(", ")),
        }
    }
}

/// One fact about an identity.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    /// Its name, which is also the name of the rule field that matches it.
    pub name: Arc<str>,
    /// Its value.
    pub value: Value,
    /// Who vouches for it.
    pub asserted_by: Asserter,
}

/// The attributes of one identity, in the order of the source's fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attributes(Vec<Attribute>);

impl Attributes {
    /// Adds an attribute. A name that is already there is replaced.
    pub fn set(&mut self, attribute: Attribute) {
        match self.0.iter_mut().find(|a| a.name == attribute.name) {
            Some(old) => *old = attribute,
            None => self.0.push(attribute),
        }
    }

    /// The attribute of that name.
    pub fn get(&self, name: &str) -> Option<&Attribute> {
        self.0.iter().find(|a| &*a.name == name)
    }

    /// All attributes.
    pub fn iter(&self) -> impl Iterator<Item = &Attribute> {
        self.0.iter()
    }
}

impl FromIterator<Attribute> for Attributes {
    fn from_iter<I: IntoIterator<Item = Attribute>>(iter: I) -> Self {
        let mut all = Self::default();
        iter.into_iter().for_each(|a| all.set(a));
        all
    }
}

/// How a field's values are matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// Text, exact only: ids, and names that have no structure.
    Exact,
    /// Text in segments between these separators; `*` stands for the whole of
    /// one segment or a part of it, and never crosses a separator.
    Segments(&'static [char]),
    /// True or false.
    Flag,
    /// A list of texts: the rule names a value that must be one of them.
    Contains,
    /// A claim whose type only the token tells. A rule's text, number or flag
    /// equals a value of the same type, or one whole element of a list of texts.
    Any,
}

/// One field that rules of a source can match: the vocabulary of that source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name in a rule's `match`, and of the attribute.
    pub name: &'static str,
    /// One sentence for the schema and the documentation.
    pub doc: &'static str,
    /// How values are matched.
    pub kind: FieldKind,
    /// Who vouches for the value.
    pub asserted_by: Asserter,
}

/// A field as one configured source has it.
///
/// Most are the field itself. The free claims of a generic source share one
/// field (`claims`) and differ in name (`claims.team`), and some fields are
/// also known by another name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldSpec {
    /// The name of the attribute that it matches.
    pub name: Arc<str>,
    /// How it is matched, and who vouches for it.
    pub field: &'static Field,
}

/// What a spec says beyond its name is what its field says.
impl std::ops::Deref for FieldSpec {
    type Target = Field;

    fn deref(&self) -> &Field {
        self.field
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_twice_replaces() {
        let attribute = |v: &str| Attribute {
            name: "ref".into(),
            value: Value::Text(v.into()),
            asserted_by: Asserter::Caller,
        };
        let all: Attributes = [attribute("a"), attribute("b")].into_iter().collect();
        assert_eq!(all.iter().count(), 1);
        assert_eq!(all.get("ref").unwrap().value.to_string(), "b");
    }

    #[test]
    fn a_spec_has_its_own_name_and_its_fields_kind() {
        static CLAIMS: Field = Field {
            name: "claims",
            doc: "A claim.",
            kind: FieldKind::Any,
            asserted_by: Asserter::Caller,
        };
        let spec = FieldSpec {
            name: "claims.team".into(),
            field: &CLAIMS,
        };
        assert_eq!((&*spec.name, spec.field.name), ("claims.team", "claims"));
        assert_eq!(
            (spec.kind, spec.asserted_by),
            (FieldKind::Any, Asserter::Caller)
        );
    }
}
