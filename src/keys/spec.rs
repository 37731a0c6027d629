//! Where keys come from, and how long they are good for.

use std::{fmt, path::PathBuf};

use crate::{
    base::outbound::Peer,
    jose::{Algorithm, KeyUse},
    model::{HttpsUrl, IssuerUrl, Ttl},
};

/// Where a trust domain's keys come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// OpenID Connect Discovery from the issuer, then its `jwks_uri`, which
    /// must be on the issuer's own origin.
    Discovery(IssuerUrl),
    /// A JWKS or SPIFFE bundle document in a file, watched.
    File(PathBuf),
    /// A JWKS at this URL (or a SPIFFE bundle document over https_web, when `uses` is JwtSvid).
    Url(HttpsUrl),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Discovery(issuer) => write!(f, "discovery from {issuer}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Url(url) => write!(f, "{url}"),
        }
    }
}

/// How to obtain and judge one trust domain's keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    /// Where they come from.
    pub source: Source,
    /// Which keys of the set count, and whether it is a SPIFFE bundle.
    pub uses: KeyUse,
    /// Algorithms that a key may be bound to.
    pub allowed: Vec<Algorithm>,
    /// Whom to trust and where to connect.
    pub peer: Peer,
    /// Regular refresh interval, where the source does not hint at another.
    pub refresh: Ttl,
    /// The last good set is refused when older than this.
    pub max_stale: Ttl,
    /// Least time between refreshes that a token causes.
    pub cool_down: Ttl,
}

impl Spec {
    /// A spec with the usual times: refreshed every 5 minutes, good for 24
    /// hours, refreshed for a token at most every 30 seconds; Web PKI roots,
    /// public addresses only.
    pub fn new(source: Source, uses: KeyUse, allowed: Vec<Algorithm>) -> Self {
        Self {
            source,
            uses,
            allowed,
            peer: Peer::default(),
            refresh: Ttl::secs(5 * 60),
            max_stale: Ttl::secs(24 * 3600),
            cool_down: Ttl::secs(30),
        }
    }

    /// Whether the other describes the same keys, at whatever pace.
    pub(super) fn same_keys(&self, other: &Self) -> bool {
        self.source == other.source
            && self.uses == other.uses
            && self.allowed == other.allowed
            && self.peer == other.peer
    }
}
