//! Evidence in, identity out: one file per source.
//!
//! A token is untrusted text until its signature verified under a key of one
//! configured trust domain, and then until every claim was judged. The checks
//! are common to all sources and run in one order ([`verify`]); a source adds
//! a table of claims and its particular refusals, in one small file. To add
//! one: its file, and its lines in `source.rs`; the compiler names the rest.
//!
//! Nothing here does I/O. Keys come as a snapshot, time as a value, and the
//! unverified token is read for one purpose, to pick trust domains
//! ([`Registry`]).

mod attributes;
mod claims;
pub mod domain;
pub mod github_actions;
pub mod identity;
pub mod kubernetes;
pub mod oidc;
pub mod preset;
pub mod registry;
pub mod rejection;
pub mod settings;
pub mod source;
pub mod spiffe;
pub mod supposed;
#[cfg(test)]
pub(crate) mod testkit;
pub mod verify;

pub use domain::TrustDomain;
pub use identity::Identity;
pub use preset::{Preset, Profile};
pub use registry::{Entry, Registry};
pub use rejection::Rejection;
pub use settings::{Setting, SettingProblem, Settings};
pub use source::{Outline, PRESETS, Selector, Source, Tenant};
pub use supposed::Supposed;
pub use verify::{Authentic, TokenType, Unauthentic, authenticate, steps, verify};
