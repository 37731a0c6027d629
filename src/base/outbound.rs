//! Outbound HTTPS, filtered and bounded.
//!
//! SKELETON CONTRACT (owner: keys+outbound)

use std::{path::PathBuf, time::Duration};

use bytes::Bytes;
use url::Url;

use super::BoxFuture;

/// What to fetch, and within which bounds.
#[derive(Clone, Debug)]
pub struct Request {
    /// An https URL.
    pub url: Url,
    /// Most bytes of body that are read.
    pub max_bytes: usize,
    /// Longest time from dialling to the last byte.
    pub deadline: Duration,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The body, whole.
    pub body: Bytes,
    /// `Retry-After` in seconds, if the server sent one.
    pub retry_after: Option<u64>,
}

/// Why nothing usable came back. Texts say what was tried, never what a stranger sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The address is private, loopback, link-local or otherwise not public.
    #[error(
        "the host resolves to {0}, which is not a public address (set allowPrivateAddress if that is meant)"
    )]
    AddressBlocked(std::net::IpAddr),
    /// DNS failed.
    #[error("the host name could not be resolved")]
    Dns,
    /// TCP failed.
    #[error("no connection could be made")]
    Connect,
    /// The TLS handshake failed, or the certificate is not trusted.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// The deadline passed.
    #[error("no whole answer within {0:?}")]
    Timeout(Duration),
    /// The body is over the cap.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// A redirect, which is never followed.
    #[error("the server redirects, which is not followed")]
    Redirect,
    /// A status other than 200.
    #[error("the server answered with status {0}")]
    Status(u16),
    /// Anything else in the protocol.
    #[error("the answer is not well-formed HTTP")]
    Protocol,
}

/// Whom a client trusts and where it may connect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Peer {
    /// A PEM file of the only roots to trust; none means the Web PKI roots of the system.
    pub ca: Option<PathBuf>,
    /// Whether private and loopback addresses may be dialled.
    pub allow_private: bool,
}

/// The way out.
pub trait Outbound: Send + Sync {
    /// Fetches by GET. Only status 200 is a success.
    fn get<'a>(
        &'a self,
        peer: &'a Peer,
        request: Request,
    ) -> BoxFuture<'a, Result<Response, FetchError>>;
}
