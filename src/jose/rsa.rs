//! Which RSA public keys are sound enough to be relied on.

/// Fewest and most bits of a modulus. Above 8192 bits, verifying is a way to
/// keep a processor busy.
const MIN_BITS: usize = 2048;
const MAX_BITS: usize = 8192;

/// Checks the modulus and the exponent, both big-endian.
pub(super) fn check(n: &[u8], e: &[u8]) -> Result<(), &'static str> {
    // RFC 7518 section 2: the least number of bytes, so no zero in front.
    let (Some(first @ 1..), Some(1..)) = (n.first(), e.first()) else {
        return Err("its n or e is empty or begins with a zero byte");
    };
    let bits = n.len() * 8 - first.leading_zeros() as usize;
    if !(MIN_BITS..=MAX_BITS).contains(&bits) {
        return Err("its modulus has fewer than 2048 or more than 8192 bits");
    }
    if is_even(n) {
        return Err("its modulus is even");
    }
    if e.len() > 4 || e == [1] || is_even(e) {
        return Err("its exponent is not odd, at least 3 and at most 32 bits");
    }
    if is_roca(n) {
        return Err("its modulus is of the form that CVE-2017-15361 (ROCA) can factor");
    }
    Ok(())
}

fn is_even(number: &[u8]) -> bool {
    number.last().is_none_or(|b| b % 2 == 0)
}

/// Whether the modulus has the fingerprint of the flawed generator: modulo
/// each of the first odd primes it is a power of 65537. For a sound modulus
/// the chance of that is below 2^-27.
fn is_roca(n: &[u8]) -> bool {
    const PRIMES: [u32; 38] = [
        3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89,
        97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
    ];
    PRIMES.iter().all(|prime| {
        let residue = n
            .iter()
            .fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime);
        let generator = 65_537 % prime;
        let mut power = 1;
        (0..*prime).any(|_| {
            let found = power == residue;
            power = power * generator % prime;
            found
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const E: &[u8] = &[1, 0, 1];

    /// A number of that many bits: 0b10...0b1.
    fn modulus(bits: usize) -> Vec<u8> {
        let mut n = vec![0u8; bits.div_ceil(8)];
        n[0] = 1 << ((bits - 1) % 8);
        *n.last_mut().unwrap() |= 1;
        n
    }

    #[test]
    fn j_31_sizes_are_bounded() {
        for bits in [2048, 3072, 4096, 8192] {
            assert_eq!(check(&modulus(bits), E), Ok(()), "{bits}");
        }
        for bits in [512, 1024, 2047, 8193, 16_384] {
            assert!(check(&modulus(bits), E).is_err(), "{bits}");
        }
    }

    #[test]
    fn j_31_exponents_are_odd_and_small_but_not_one() {
        let n = modulus(2048);
        for good in [&[3][..], &[17], &[1, 0, 1], &[255, 255, 255, 255]] {
            assert_eq!(check(&n, good), Ok(()), "{good:?}");
        }
        for bad in [
            &[][..],
            &[0],
            &[1],
            &[2],
            &[4],
            &[1, 0, 0],
            &[0, 1, 0, 1],
            &[1, 0, 0, 0, 1],
        ] {
            assert!(check(&n, bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn u_23_an_even_or_padded_modulus_is_refused() {
        let mut even = modulus(2048);
        *even.last_mut().unwrap() &= 0xfe;
        assert!(check(&even, E).is_err());
        let mut padded = modulus(2048);
        padded.insert(0, 0);
        assert!(check(&padded, E).is_err());
        assert!(check(&[], E).is_err());
    }

    #[test]
    fn u_23_the_roca_fingerprint_is_found() {
        // 65537^n is a power of 65537 modulo every prime, as moduli of the
        // flawed generator are. 65537^120 has 1921 bits; ^128 has 2049.
        let mut n = vec![1u8];
        for _ in 0..128 {
            // times 65537: shifted by two bytes, plus itself
            let mut shifted = n.clone();
            shifted.extend([0, 0]);
            let mut carry = 0u16;
            for i in 0..shifted.len() {
                let at = shifted.len() - 1 - i;
                let add = if i < n.len() { n[n.len() - 1 - i] } else { 0 };
                let sum = u16::from(shifted[at]) + u16::from(add) + carry;
                shifted[at] = (sum & 0xff) as u8;
                carry = sum >> 8;
            }
            n = shifted;
        }
        assert!(is_roca(&n));
        assert_eq!(
            check(&n, E),
            Err("its modulus is of the form that CVE-2017-15361 (ROCA) can factor")
        );
        let last = n.len() - 1;
        n[last] = n[last].wrapping_add(2);
        assert_eq!(check(&n, E), Ok(()));
    }
}
