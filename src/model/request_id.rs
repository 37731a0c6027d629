//! The id of one request: in the answer, the audit record and the logs.

use std::fmt;

/// 80 random bits behind 48 bits of time, in Crockford's base 32: sorts by time,
/// and can be read over a telephone. Shape of a ULID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(u128);

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl RequestId {
    /// From the time in milliseconds and ten random bytes.
    pub fn new(millis: i64, random: [u8; 10]) -> Self {
        let time = u128::from(millis.unsigned_abs() & 0xffff_ffff_ffff);
        let tail = random
            .iter()
            .fold(0u128, |acc, b| acc << 8 | u128::from(*b));
        Self(time << 80 | tail)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0u8; 26];
        for (i, c) in text.iter_mut().enumerate() {
            *c = ALPHABET[(self.0 >> (5 * (25 - i)) & 31) as usize];
        }
        // The alphabet is ASCII.
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_26_characters_and_sort_by_time() {
        let a = RequestId::new(1_790_000_000_000, [0xff; 10]).to_string();
        let b = RequestId::new(1_790_000_000_001, [0; 10]).to_string();
        assert_eq!(a.len(), 26);
        assert!(a < b, "{a} {b}");
    }
}
