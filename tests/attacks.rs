//! The attack catalogue, end to end: every family through the token endpoint of
//! a real broker over sockets.
//!
//! The rooms prove their own checks beside their code. What is proven here is
//! that no way in goes around them, and what a refusal looks like from outside:
//! see [`rig::Rig::refuses`] for everything that is asserted of each row. The
//! names begin with the id of the catalogue's case: J tokens, C claims, S SPIFFE,
//! O requests, P and K replay and races, A policy, R exhaustion, F faults, L secrecy.

mod support;

#[path = "attacks/answers.rs"]
mod answers;
#[path = "attacks/claims.rs"]
mod claims;
#[path = "attacks/exhaustion.rs"]
mod exhaustion;
#[path = "attacks/faults.rs"]
mod faults;
#[path = "attacks/format.rs"]
mod format;
#[path = "attacks/github.rs"]
mod github;
#[path = "attacks/jose.rs"]
mod jose;
#[path = "attacks/oauth.rs"]
mod oauth;
#[path = "attacks/policy.rs"]
mod policy;
#[path = "attacks/races.rs"]
mod races;
#[path = "attacks/records.rs"]
mod records;
#[path = "attacks/replay.rs"]
mod replay;
#[path = "attacks/rig.rs"]
mod rig;
#[path = "attacks/secrecy.rs"]
mod secrecy;
#[path = "attacks/signature.rs"]
mod signature;
#[path = "attacks/spiffe.rs"]
mod spiffe;
#[path = "attacks/subjects.rs"]
mod subjects;
#[path = "attacks/switches.rs"]
mod switches;
#[path = "attacks/threats.rs"]
mod threats;
