//! The outside parties, faked: what every black-box test needs.
//!
//! Start with [`fake_issuer::FakeIssuer::start`]; it serves discovery, a key
//! set and a SPIFFE bundle over HTTPS on loopback, signs tokens, counts its
//! visitors, and misbehaves as told while it runs.

#![expect(
    dead_code,
    unreachable_pub,
    reason = "each test binary has all of this and uses its part; `never_used` keeps this true for one that uses all"
)]

pub mod broker;
pub mod fake_issuer;
pub mod process;
pub mod tls;
pub mod tokens;

fn never_used() {}
