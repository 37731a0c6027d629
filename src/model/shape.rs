//! The shape of a configuration object, as data.
//!
//! One declaration serves four readers: the strict loader (unknown keys, wrong
//! types, missing keys, with a suggestion), the JSON Schema for editors, the
//! reference documentation, and the source that is configured by it.

/// An object: which keys it may have.
#[derive(Debug, PartialEq, Eq)]
pub struct Object {
    /// One sentence.
    pub doc: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
}

/// One key of an object.
#[derive(Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// One sentence, with unit and range where there is one.
    pub doc: &'static str,
    /// What stands under it.
    pub kind: Kind,
    /// Whether it must be there.
    pub required: bool,
}

/// What stands under a key.
#[derive(Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text of a stated form; the parser gives the details.
    Text(Form),
    /// One of these words.
    Word(&'static [&'static str]),
    /// `true` or `false`.
    Flag,
    /// A whole number in a range.
    Number(u64, u64),
    /// A list.
    List(&'static Kind),
    /// Text, or a list of texts.
    Texts(Form),
    /// A nested object.
    Object(&'static Object),
    /// An object with free keys, all values of one kind.
    Map(&'static Kind),
    /// Exactly one of these keys.
    OneOf(&'static [Key]),
    /// A scalar or list of any type: a test's given claim value.
    Any,
}

/// The form of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// No rule beyond being non-empty.
    Free,
    /// A lower-case name.
    Name,
    /// A duration such as `15m`.
    Duration,
    /// An https URL.
    Url,
    /// An issuer identifier.
    Issuer,
    /// `HOST:PORT`.
    Address,
    /// A path, relative to the file it stands in.
    Path,
    /// `env:NAME` or `file:PATH`.
    Secret,
    /// A Temporal namespace.
    Namespace,
    /// A CEL expression.
    Cel,
    /// An exact value, or one with `*` in segments where the field allows it.
    Pattern,
}
