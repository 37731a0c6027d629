//! Signature algorithms.

/// The asymmetric algorithms that are ever verified here. Symmetric ones and
/// `none` have no representation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    Es256,
    Es384,
    Es512,
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    EdDsa,
}

impl Algorithm {
    pub const ALL: &'static [Self] = &[
        Self::Es256,
        Self::Es384,
        Self::Es512,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::EdDsa,
    ];
    /// The JOSE name, compared case-sensitively.
    pub const fn as_str(self) -> &'static str {
        todo!()
    }
    pub fn from_name(_name: &str) -> Option<Self> {
        todo!()
    }
}
