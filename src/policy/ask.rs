//! What a caller wants, and how much it is told when it does not get it.

use std::str::FromStr;

use crate::model::{Permission, RoleName, TargetName, Ttl};

/// What the caller wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// One target.
    pub target: TargetName,
    /// A role; without one, the only role that the identity has there.
    pub role: Option<RoleName>,
    /// `namespace:permission` items that narrow the role.
    pub narrow: Vec<Permission>,
    /// A shorter lifetime than the rules give.
    pub ttl: Option<Ttl>,
}

impl Ask {
    /// The plainest ask: whatever one role the identity has on the target.
    pub fn of(target: TargetName) -> Self {
        Self {
            target,
            role: None,
            narrow: Vec::new(),
            ttl: None,
        }
    }
}

/// How much a caller is told about a refusal by policy.
///
/// A caller whose evidence is genuine may still be an attacker who probes
/// which rules exist, so expected values need an explicit `full`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Explain {
    /// The reason only.
    None,
    /// Which field, and the caller's own value.
    #[default]
    Mismatch,
    /// Also the rule, and what it wants.
    Full,
}

impl Explain {
    /// The words in the file.
    pub const WORDS: &'static [&'static str] = &["none", "mismatch", "full"];
}

impl FromStr for Explain {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self::None),
            "mismatch" => Ok(Self::Mismatch),
            "full" => Ok(Self::Full),
            _ => Err("explain is none, mismatch or full"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_and_no_other() {
        let read: Vec<_> = Explain::WORDS.iter().map(|w| w.parse()).collect();
        let all = [Explain::None, Explain::Mismatch, Explain::Full];
        assert_eq!(read, all.map(Ok));
        assert!("Full".parse::<Explain>().is_err());
    }
}
