//! RSA keys that are as good as broken.

/// Whether a modulus has the fingerprint of a flawed smart-card library
/// (ROCA, CVE-2017-15361): modulo each of these primes, the modulus is a power
/// of 65537. A good key passes that for all of them with negligible chance.
pub(super) fn is_roca(modulus: &[u8]) -> bool {
    const PRIMES: [u32; 38] = [
        3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89,
        97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
    ];
    PRIMES.iter().all(|prime| {
        let rest = modulus
            .iter()
            .fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime);
        is_power_of_65537(rest, *prime)
    })
}

fn is_power_of_65537(value: u32, prime: u32) -> bool {
    let base = 65537 % prime;
    let mut power = 1;
    for _ in 0..prime {
        if power == value {
            return true;
        }
        power = power * base % prime;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_65537_are_flagged_and_random_numbers_are_not() {
        // 65537^16 as a big-endian number: flagged by construction.
        let mut number = vec![1u8];
        for _ in 0..16 {
            number = times_65537(&number);
        }
        assert!(is_roca(&number));
        let last = number.len() - 1;
        number[last] ^= 2;
        assert!(!is_roca(&number));
    }

    fn times_65537(number: &[u8]) -> Vec<u8> {
        // n * 65537 = (n << 16) + n
        let mut shifted = number.to_vec();
        shifted.extend([0, 0]);
        let mut out = vec![0u8; shifted.len() + 1];
        let mut carry = 0u16;
        for i in 0..out.len() {
            let digit = |n: &[u8]| n.len().checked_sub(i + 1).map_or(0, |at| u16::from(n[at]));
            let sum = digit(&shifted) + digit(number) + carry;
            let at = out.len() - 1 - i;
            out[at] = (sum & 0xff) as u8;
            carry = sum >> 8;
        }
        out.drain(..out.iter().position(|b| *b != 0).unwrap_or(0));
        out
    }
}
