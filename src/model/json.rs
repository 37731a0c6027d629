//! JSON from strangers: parsed once, strictly, within bounds.
//!
//! Duplicate members are refused at every depth (RFC 7515 section 4 and RFC 7519
//! section 4 leave a choice; "last wins" lets two readers of one token
//! disagree). Nesting and the number of values are bounded before memory is.

use std::{cell::Cell, fmt};

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// Deepest nesting of arrays and objects.
pub const MAX_DEPTH: u8 = 16;
/// Most values (members, elements, scalars) in one document.
pub const MAX_VALUES: u32 = 4096;
/// Most members in one object.
pub const MAX_MEMBERS: usize = 256;

/// A JSON value. Members keep their order; names are unique.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number written without fraction or exponent that fits 64 bits.
    Integer(i64),
    /// Any other number. Always finite.
    Float(f64),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Json>),
    /// An object.
    Object(Vec<(String, Json)>),
}

/// Why a text is not acceptable JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON, or not UTF-8.
    #[error("not well-formed JSON")]
    Syntax,
    /// A member name stands twice in one object.
    #[error("a member name stands twice in one object")]
    DuplicateMember,
    /// Too deep or too many values.
    #[error(
        "nested deeper than 16 levels, or more than 4096 values, or more than 256 members in one object"
    )]
    TooComplex,
}

impl Json {
    /// Parses one document; trailing bytes other than white space are refused.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        let limits = Limits {
            left: Cell::new(MAX_VALUES),
            fault: Cell::new(None),
        };
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        let parsed = Seed {
            limits: &limits,
            depth: 0,
        }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
        parsed.map_err(|_| limits.fault.get().unwrap_or(JsonError::Syntax))
    }

    /// The member of that name, if this is an object that has it.
    pub fn get(&self, name: &str) -> Option<&Json> {
        match self {
            Self::Object(members) => members.iter().find(|(n, _)| n == name).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The value at a path of member names.
    pub fn at<S: AsRef<str>>(&self, path: &[S]) -> Option<&Json> {
        path.iter()
            .try_fold(self, |value, name| value.get(name.as_ref()))
    }

    /// The text, if this is a string.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The elements, if this is an array.
    pub fn as_list(&self) -> Option<&[Json]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// The members, if this is an object.
    pub fn as_object(&self) -> Option<&[(String, Json)]> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }

    /// The JSON name of this value's type, for messages.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Integer(_) | Self::Float(_) => "number",
            Self::Text(_) => "string",
            Self::List(_) => "array",
            Self::Object(_) => "object",
        }
    }
}

/// What is left of the budget, and which rule was broken: serde's error type
/// carries only text, so the reason travels beside it.
struct Limits {
    left: Cell<u32>,
    fault: Cell<Option<JsonError>>,
}

impl Limits {
    fn fail<E: de::Error>(&self, fault: JsonError) -> E {
        self.fault.set(Some(fault));
        E::custom(fault)
    }

    fn take<E: de::Error>(&self) -> Result<(), E> {
        match self.left.get().checked_sub(1) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(self.fail(JsonError::TooComplex)),
        }
    }
}

#[derive(Clone, Copy)]
struct Seed<'l> {
    limits: &'l Limits,
    depth: u8,
}

impl Seed<'_> {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(self.limits.fail(JsonError::TooComplex));
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        self.limits.take()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        // Beyond i64 no claim has a meaning that an exact value would keep.
        Ok(i64::try_from(value).map_or(Json::Float(value as f64), Json::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let inner = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(Json::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let inner = self.deeper()?;
        let mut members: Vec<(String, Json)> = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if members.len() == MAX_MEMBERS {
                return Err(self.limits.fail(JsonError::TooComplex));
            }
            if members.iter().any(|(n, _)| *n == name) {
                return Err(self.limits.fail(JsonError::DuplicateMember));
            }
            let value = map.next_value_seed(inner)?;
            members.push((name, value));
        }
        Ok(Json::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_types() {
        let json =
            Json::parse(br#"{"a":74,"b":74.0,"c":"74","d":[true,null],"e":{"f":7.4e1}}"#).unwrap();
        assert_eq!(json.get("a"), Some(&Json::Integer(74)));
        assert_eq!(json.get("b"), Some(&Json::Float(74.0)));
        assert_eq!(json.get("c").unwrap().as_text(), Some("74"));
        assert_eq!(json.get("d").unwrap().as_list().unwrap().len(), 2);
        assert_eq!(json.at(&["e", "f"]), Some(&Json::Float(74.0)));
        assert_eq!(json.at(&["e", "g"]), None);
    }

    #[test]
    fn duplicates_are_refused_at_every_depth() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"x":{"a":1,"b":2,"a":3}}"#,
            r#"[{"a":1,"\u0061":2}]"#,
        ] {
            assert_eq!(
                Json::parse(text.as_bytes()),
                Err(JsonError::DuplicateMember),
                "{text}"
            );
        }
        assert!(Json::parse(br#"{"a":{"a":1},"b":{"a":1}}"#).is_ok());
    }

    #[test]
    fn depth_and_size_are_bounded() {
        let nested = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert!(Json::parse(nested(16).as_bytes()).is_ok());
        assert_eq!(
            Json::parse(nested(17).as_bytes()),
            Err(JsonError::TooComplex)
        );
        assert_eq!(
            Json::parse(nested(100_000).as_bytes()),
            Err(JsonError::TooComplex)
        );
        let many = |n: usize| format!("[{}]", vec!["0"; n].join(","));
        assert!(Json::parse(many(4095).as_bytes()).is_ok());
        assert_eq!(
            Json::parse(many(4096).as_bytes()),
            Err(JsonError::TooComplex)
        );
        let wide = |n: usize| {
            let members: Vec<_> = (0..n).map(|i| format!("\"{i}\":0")).collect();
            format!("{{{}}}", members.join(","))
        };
        assert!(Json::parse(wide(256).as_bytes()).is_ok());
        assert_eq!(
            Json::parse(wide(257).as_bytes()),
            Err(JsonError::TooComplex)
        );
    }

    #[test]
    fn anything_that_is_not_one_document_is_refused() {
        for bad in [
            &b""[..],
            b"{",
            b"{} {}",
            b"{}x",
            b"\xff",
            b"\"\xc3\x28\"",
            b"NaN",
            b"1e999",
            b"{'a':1}",
            b"\xef\xbb\xbf{}",
            b"[1,]",
        ] {
            assert_eq!(Json::parse(bad), Err(JsonError::Syntax), "{bad:?}");
        }
    }
}
