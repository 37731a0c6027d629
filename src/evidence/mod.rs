//! Evidence in, identity out: one file per source.
//!
//! SKELETON CONTRACT (owner: evidence)

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    base::clock::Moment,
    jose::{Algorithm, Compact, KeyUse},
    keys::{Handle, Snapshot},
    model::{Attributes, Field, IssuerUrl, Reason, SpiffeTrustDomain, TrustDomainName, Ttl, shape},
};

/// A source of identity as data: everything that differs between GitHub and a Kubernetes cluster.
pub struct Preset {
    /// The key under a trust domain's `spec`, such as `githubActions`.
    pub name: &'static str,
    /// Its settings (issuer, audience, organization ...).
    pub settings: &'static shape::Object,
    /// The fields that rules match.
    pub fields: &'static [Field],
    /// Alternatives: a rule must pin (exactly, no glob) every field of at least one of these lists. The fields that the
    /// trust domain itself pins (organizationId) count as pinned.
    pub must_pin: &'static [&'static [&'static str]],
    /// Values of a field that mean "anyone can trigger this": never with write or admin, and only if the rule names them.
    pub untrusted: &'static [(&'static str, &'static [&'static str])],
    pub algorithms: &'static [Algorithm],
    pub key_use: KeyUse,
    pub max_lifetime: Ttl,
    pub max_age: Option<Ttl>,
    /// Default of single use (CI: true; SPIFFE, Kubernetes: false).
    pub single_use: bool,
    /// Builds the source from its checked settings.
    pub build: fn(&Settings) -> Result<Source, Vec<SettingProblem>>,
}

/// Every preset.
pub const PRESETS: &[&Preset] = &[];

/// A source's settings after the shape check: values by key, in the types of the shape.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub values: BTreeMap<String, Setting>,
}

/// One setting.
#[derive(Clone, Debug, PartialEq)]
pub enum Setting {
    Text(String),
    Texts(Vec<String>),
    Flag(bool),
    Number(u64),
    Object(BTreeMap<String, Setting>),
    Map(BTreeMap<String, Setting>),
}

/// A setting that has a wrong value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingProblem {
    pub key: String,
    pub what: String,
    pub hint: Option<String>,
}

/// A configured source: closed, matched exhaustively.
#[derive(Clone, Debug)]
pub enum Source {/* Spiffe(Spiffe), Kubernetes(Kubernetes), GithubActions(GithubActions), Oidc(Oidc) */}

impl Source {
    /// The issuer that selects it, or the SPIFFE trust domain.
    pub fn selector(&self) -> Selector {
        todo!()
    }
    /// Where its keys come from when the file says nothing.
    pub fn default_keys(&self) -> Option<crate::keys::Source> {
        todo!()
    }
    /// Fields that the trust domain itself pins.
    pub fn pinned(&self) -> &[&'static str] {
        todo!()
    }
}

/// What of the unverified evidence picks a trust domain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Selector {
    Issuer(IssuerUrl),
    Spiffe(SpiffeTrustDomain),
}

/// A configured trust domain, as evidence sees it.
pub struct TrustDomain {
    pub name: TrustDomainName,
    pub preset: &'static Preset,
    pub source: Source,
    /// Accepted audiences: the broker's issuer unless the file says otherwise.
    pub audiences: Vec<String>,
    pub algorithms: Vec<Algorithm>,
    pub max_lifetime: Ttl,
    pub max_age: Option<Ttl>,
    /// Allowed clock difference, 0-60 s; default 5 s.
    pub leeway: std::time::Duration,
    pub single_use: bool,
    pub keys: Handle,
}

/// Trust domains by selector.
pub struct Registry {
    _private: (),
}

impl Registry {
    pub fn new(_domains: Vec<Arc<TrustDomain>>) -> Self {
        todo!()
    }
    /// The trust domains that the unverified token could be from (several may share an `iss`).
    pub fn candidates(&self, _unverified: &Compact<'_>) -> &[Arc<TrustDomain>] {
        todo!()
    }
    pub fn get(&self, _name: &str) -> Option<&Arc<TrustDomain>> {
        todo!()
    }
    pub fn iter(&self) -> Box<dyn Iterator<Item = &Arc<TrustDomain>> + '_> {
        todo!()
    }
}

/// What the caller says the token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenType {
    Jwt,
    IdToken,
}

/// Evidence that was refused, with what was compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub reason: Reason,
    /// The claim or header parameter concerned.
    pub field: Option<&'static str>,
    /// What was found (made safe to show) and what was wanted: for the audit record, and for the caller as far as `explain` allows.
    pub found: Option<String>,
    pub wanted: Option<String>,
    /// The steps that passed before, for `explain`.
    pub passed: Vec<&'static str>,
}

/// Evidence that passed. Only this room makes one.
pub struct Identity {
    _private: (),
}

impl Identity {
    pub fn trust_domain(&self) -> &Arc<TrustDomain> {
        todo!()
    }
    /// Canonical and bounded: `spiffe://...`, or `<trust domain name>:<sub>`.
    pub fn subject(&self) -> &str {
        todo!()
    }
    pub fn attributes(&self) -> &Attributes {
        todo!()
    }
    pub fn expires_at(&self) -> Moment {
        todo!()
    }
    pub fn digest(&self) -> &[u8; 32] {
        todo!()
    }
    pub fn kid(&self) -> Option<&str> {
        todo!()
    }
    pub fn algorithm(&self) -> Algorithm {
        todo!()
    }
    pub fn jti(&self) -> Option<&str> {
        todo!()
    }
}

/// An identity that nobody proved: what policy tests and simulations decide on. It can be decided, never minted for.
pub struct Supposed {
    pub trust_domain: TrustDomainName,
    pub subject: String,
    pub attributes: Attributes,
}

impl Supposed {
    /// From test values by field name, typed by the preset's fields.
    pub fn new(
        _name: &TrustDomainName,
        _source: &Source,
        _preset: &'static Preset,
        _given: &BTreeMap<String, Setting>,
    ) -> Result<Self, SettingProblem> {
        todo!()
    }
}

/// Verifies against one trust domain with one snapshot of its keys. No I/O.
pub fn verify(
    _token: Compact<'_>,
    _kind: TokenType,
    _domain: &Arc<TrustDomain>,
    _keys: &Snapshot,
    _now: Moment,
) -> Result<Identity, Rejection> {
    todo!()
}
