//! What a condition becomes: the part of CEL that is total and cheap.

use std::sync::Arc;

/// One expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Bool(bool),
    Number(i64),
    Text(Arc<str>),
    Texts(Vec<Arc<str>>),
    /// `attrs.NAME`.
    Attribute(Arc<str>),
    /// `subject`.
    Subject,
    /// The variable of the `all` or `exists` around it.
    Item,
    /// `has(attrs.NAME)`.
    Has(Arc<str>),
    Not(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    /// `a ? b : c`.
    If(Box<Node>, Box<Node>, Box<Node>),
    Compare(Comparison, Box<Node>, Box<Node>),
    /// `a in b`.
    In(Box<Node>, Box<Node>),
    /// `a.startsWith(b)` and its like.
    Search(Search, Box<Node>, Box<Node>),
    /// `size(a)`.
    Size(Box<Node>),
    /// `list.all(x, body)`, `list.exists(x, body)`.
    Each(Each, Box<Node>, Box<Node>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Search {
    StartsWith,
    EndsWith,
    Contains,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Each {
    All,
    Exists,
}

/// The type of a value, where it is known before evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Bool,
    Number,
    Text,
    List,
    /// Only the token tells.
    Any,
}

impl Type {
    /// Whether a value of this type could be one of the other.
    pub(super) fn may_be(self, other: Self) -> bool {
        self == other || self == Self::Any || other == Self::Any
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Number => "a number",
            Self::Text => "text",
            Self::List => "a list of texts",
            Self::Any => "of any type",
        }
    }
}
