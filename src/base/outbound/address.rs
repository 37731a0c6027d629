//! Which addresses may be dialled.
//!
//! IPv4 is public unless listed; IPv6 is public only inside 2000::/3, the one
//! block that is assigned for it, less the parts of it that carry or tunnel to
//! something else. An address that embeds an IPv4 address (mapped, compatible,
//! NAT64, 6to4, Teredo) is never public, so no second reading can slip through.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::FetchError;

/// Judges one address.
pub(super) fn check(ip: IpAddr, allow_private: bool) -> Result<(), FetchError> {
    if impossible(ip) {
        return Err(FetchError::AddressImpossible(ip));
    }
    if !allow_private && !public(ip) {
        return Err(FetchError::AddressBlocked(ip));
    }
    Ok(())
}

/// The addresses of a resolved name that may be dialled; if there is none, why
/// the first was refused.
pub(super) fn filter(
    found: impl IntoIterator<Item = SocketAddr>,
    allow_private: bool,
) -> Result<Vec<SocketAddr>, FetchError> {
    let mut allowed = Vec::new();
    let mut refused = None;
    for address in found {
        match check(address.ip(), allow_private) {
            Ok(()) => allowed.push(address),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    match refused {
        Some(error) if allowed.is_empty() => Err(error),
        None if allowed.is_empty() => Err(FetchError::Dns),
        _ => Ok(allowed),
    }
}

/// Unspecified, multicast and broadcast: no server has such an address, and
/// Linux takes `0.0.0.0` and `::` for loopback.
fn impossible(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            within(ip, [0, 0, 0, 0], 8) || ip.is_multicast() || ip == Ipv4Addr::BROADCAST
        }
        IpAddr::V6(ip) => {
            ip.is_unspecified()
                || ip.is_multicast()
                || ip.to_ipv4_mapped().is_some_and(|v4| impossible(v4.into()))
        }
    }
}

/// Blocks of the IANA special-purpose registry that are not globally
/// reachable, multicast, and the reserved class E.
const SPECIAL_V4: &[([u8; 4], u32)] = &[
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
];

/// Inside 2000::/3: protocol assignments with Teredo, documentation (twice), 6to4.
const SPECIAL_V6: &[(u128, u32)] = &[
    (0x2001_0000 << 96, 23),
    (0x2001_0db8 << 96, 32),
    (0x2002_0000 << 96, 16),
    (0x3fff_0000 << 96, 20),
];

fn public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !SPECIAL_V4
            .iter()
            .any(|(block, bits)| within(ip, *block, *bits)),
        IpAddr::V6(ip) => {
            within_v6(ip, 0x2000 << 112, 3)
                && !SPECIAL_V6
                    .iter()
                    .any(|(block, bits)| within_v6(ip, *block, *bits))
        }
    }
}

fn within(ip: Ipv4Addr, block: [u8; 4], bits: u32) -> bool {
    (u32::from(ip) ^ u32::from_be_bytes(block)) >> (32 - bits) == 0
}

fn within_v6(ip: Ipv6Addr, block: u128, bits: u32) -> bool {
    (u128::from(ip) ^ block) >> (128 - bits) == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn verdict(text: &str, allow_private: bool) -> Result<(), FetchError> {
        check(text.parse().unwrap(), allow_private)
    }

    #[test]
    fn u_15_special_addresses_are_blocked() {
        for text in [
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "240.0.0.1",
            "::1",
            "::127.0.0.1",
            "::8.8.8.8",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "64:ff9b::7f00:1",
            "64:ff9b::808:808",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "4000::1",
            "5f00::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
        ] {
            let ip = text.parse().unwrap();
            assert_eq!(
                verdict(text, false),
                Err(FetchError::AddressBlocked(ip)),
                "{text}"
            );
            assert_eq!(verdict(text, true), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_is_no_server_is_refused_even_where_private_addresses_are_allowed() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "239.255.255.255",
            "255.255.255.255",
            "::",
            "ff02::1",
            "::ffff:0.0.0.0",
            "::ffff:224.0.0.1",
        ] {
            let ip = text.parse().unwrap();
            for allow in [false, true] {
                assert_eq!(
                    verdict(text, allow),
                    Err(FetchError::AddressImpossible(ip)),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn public_addresses_pass() {
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.1",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.1",
            "192.167.255.255",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2003::1",
            "2606:4700::1111",
            "3ffe::1",
        ] {
            assert_eq!(verdict(text, false), Ok(()), "{text}");
        }
    }

    #[test]
    fn of_several_addresses_only_the_allowed_are_dialled() {
        let parse = |texts: &[&str]| -> Vec<SocketAddr> {
            texts
                .iter()
                .map(|t| SocketAddr::new(t.parse().unwrap(), 0))
                .collect()
        };
        assert_eq!(
            filter(parse(&["127.0.0.1", "8.8.8.8", "::1"]), false),
            Ok(parse(&["8.8.8.8"]))
        );
        assert_eq!(
            filter(parse(&["10.0.0.1", "::1"]), false),
            Err(FetchError::AddressBlocked("10.0.0.1".parse().unwrap()))
        );
        assert_eq!(filter(parse(&["10.0.0.1"]), true), Ok(parse(&["10.0.0.1"])));
        assert_eq!(filter(parse(&[]), true), Err(FetchError::Dns));
    }

    proptest! {
        #[test]
        fn no_address_that_embeds_an_ipv4_address_is_public(v4: u32, low: u16) {
            let v4 = u128::from(v4);
            for ip in [
                v4,
                0xffff << 32 | v4,
                0x0064_ff9b << 96 | v4,
                0x2002 << 112 | v4 << 80 | u128::from(low),
                0x2001_0000 << 96 | v4,
            ] {
                prop_assert!(check(Ipv6Addr::from(ip).into(), false).is_err());
            }
        }

        #[test]
        fn what_is_public_is_also_allowed_among_private(ip: IpAddr) {
            if check(ip, false).is_ok() {
                prop_assert_eq!(check(ip, true), Ok(()));
            }
        }
    }
}
