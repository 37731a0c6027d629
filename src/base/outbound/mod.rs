//! Outbound HTTPS, filtered and bounded.
//!
//! A broker that fetches documents from addresses which others can influence
//! is a way into its own network. So there is one way out: https only, never
//! redirected, never through a proxy, to public addresses unless the
//! administrator said otherwise, judged on the very address that is dialled,
//! with a cap on bytes and on time.

mod address;
mod client;
mod tls;

pub use client::HttpsClient;

use std::{net::IpAddr, path::PathBuf, time::Duration};

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
    /// Longest time from the name look-up to the last byte.
    pub deadline: Duration,
}

/// What came back, with status 200.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The body, whole.
    pub body: Bytes,
}

/// Why nothing usable came back. Texts say what was tried, never what a stranger sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The address is private, loopback, link-local or otherwise not public.
    #[error(
        "the host resolves to {0}, which is not a public address (set allowPrivateAddress if that is meant)"
    )]
    AddressBlocked(IpAddr),
    /// The address can never be a server's.
    #[error("the host resolves to {0}, which is no address of a server")]
    AddressImpossible(IpAddr),
    /// The file of roots is missing, unreadable or holds no certificate.
    #[error("the CA file {path} cannot be used: {why}")]
    CaFile {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// TCP failed.
    #[error("no connection could be made")]
    Connect,
    /// DNS failed.
    #[error("the host name could not be resolved")]
    Dns,
    /// Anything else in the protocol.
    #[error("the answer is not well-formed HTTP, its headers are too large, or it is compressed")]
    Protocol,
    /// A redirect, which is never followed.
    #[error("the server redirects, which is not followed")]
    Redirect,
    /// A scheme other than https.
    #[error("only https is fetched")]
    Scheme,
    /// A status other than 200.
    #[error("the server answered with status {status}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// `Retry-After` in seconds, if the server sent one in that form.
        retry_after: Option<u64>,
    },
    /// The deadline passed.
    #[error("no whole answer within {0:?}")]
    Timeout(Duration),
    /// The TLS handshake failed, or the certificate is not trusted.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// The body is over the cap.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
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
