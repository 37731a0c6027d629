//! Lifetimes, in whole seconds, as written in configuration: `30s`, `15m`, `1h`.

use std::{fmt, str::FromStr, time::Duration};

/// A lifetime of 1 second to 366 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ttl(u32);

/// Longest lifetime, in seconds: 366 days.
pub const MAX_TTL: u32 = 366 * 24 * 3600;

/// Why a text or number is not a lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a duration is a whole number with a unit s, m, h or d, from 1s to 366d (such as 30s, 15m, 1h)"
)]
pub struct TtlError;

impl Ttl {
    /// A lifetime known at compile time; `secs` must be in range.
    pub const fn secs(secs: u32) -> Self {
        assert!(secs >= 1 && secs <= MAX_TTL, "a lifetime of 1s to 366d");
        Self(secs)
    }

    /// A lifetime of whole seconds, if that is in range.
    pub fn from_secs(secs: u64) -> Result<Self, TtlError> {
        match u32::try_from(secs) {
            Ok(secs @ 1..=MAX_TTL) => Ok(Self(secs)),
            _ => Err(TtlError),
        }
    }

    /// Whole seconds.
    pub const fn as_secs(self) -> u32 {
        self.0
    }

    /// As a standard duration.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0 as u64)
    }
}

impl FromStr for Ttl {
    type Err = TtlError;

    fn from_str(text: &str) -> Result<Self, TtlError> {
        let unit_at = text.len().checked_sub(1).ok_or(TtlError)?;
        let (digits, unit) = text.split_at_checked(unit_at).ok_or(TtlError)?;
        let scale = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return Err(TtlError),
        };
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(TtlError);
        }
        let count: u64 = digits.parse().map_err(|_| TtlError)?;
        Self::from_secs(count.checked_mul(scale).ok_or(TtlError)?)
    }
}

impl fmt::Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            s if s % 86_400 == 0 => write!(f, "{}d", s / 86_400),
            s if s % 3600 == 0 => write!(f, "{}h", s / 3600),
            s if s % 60 == 0 => write!(f, "{}m", s / 60),
            s => write!(f, "{s}s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit_and_a_range() {
        assert_eq!("15m".parse(), Ok(Ttl(900)));
        assert_eq!("1d".parse(), Ok(Ttl(86_400)));
        for bad in [
            "",
            "15",
            "0s",
            "-1s",
            "+1s",
            "1.5h",
            "1 h",
            "1w",
            "367d",
            "1ä",
            "99999999999999999999s",
        ] {
            assert!(bad.parse::<Ttl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_print_in_the_largest_whole_unit() {
        for text in ["45s", "15m", "1h", "2d"] {
            assert_eq!(text.parse::<Ttl>().unwrap().to_string(), text);
        }
        assert_eq!("90m".parse::<Ttl>().unwrap().to_string(), "90m");
    }
}
