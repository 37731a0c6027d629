//! The way out over real sockets.
//!
//! One HTTP client stands for each distinct [`Peer`], built when first needed
//! and again when its file of roots changes. Connections are not kept: key
//! documents are fetched minutes apart, and a fresh connection is a fresh look
//! at the address and the certificate.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, header};
use reqwest::{
    Certificate, Client,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect, tls,
};

use super::{
    FetchError, Outbound, Peer, Request, Response, address,
    tls::{Refused, cause, literal},
};
use crate::base::{
    BoxFuture,
    file::{self, Stamp},
};

/// Largest file of roots.
const MAX_CA_BYTES: u64 = 1024 * 1024;
/// Most header lines, and most bytes of them, in an answer.
const MAX_HEADERS: usize = 64;
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// Key sets are served under many content types, so the parser judges the
/// content and the type is only asked for.
const ACCEPT: &str = "application/json, application/jwk-set+json, */*;q=0.1";

/// Fetches over HTTPS, within the bounds of this room.
#[derive(Default)]
pub struct HttpsClient {
    clients: Mutex<HashMap<Peer, Built>>,
}

#[derive(Clone)]
struct Built {
    client: Client,
    stamp: Option<Stamp>,
}

impl HttpsClient {
    /// A way out with no connection and no roots loaded yet.
    pub fn new() -> Self {
        Self::default()
    }

    async fn fetch(&self, peer: &Peer, request: &Request) -> Result<Response, FetchError> {
        if request.url.scheme() != "https" {
            return Err(FetchError::Scheme);
        }
        if let Some(ip) = literal(&request.url) {
            address::check(ip, peer.allow_private)?;
        }
        let client = self.client(peer).await?;
        let response = client
            .get(request.url.clone())
            .send()
            .await
            .map_err(|e| cause(&e))?;
        check_head(response.status().as_u16(), response.headers())?;
        Ok(Response {
            body: read_body(response, request.max_bytes).await?,
        })
    }

    async fn client(&self, peer: &Peer) -> Result<Client, FetchError> {
        // The stamp is taken before the file is read: a file that changes in
        // between is read once more, never once too few.
        let stamp = peer.ca.as_deref().and_then(Stamp::of);
        if let Some(built) = self.lock().get(peer)
            && built.stamp == stamp
            && stamp.is_some() == peer.ca.is_some()
        {
            return Ok(built.client.clone());
        }
        let wanted = peer.clone();
        // Reading roots is file access and some milliseconds of parsing.
        let client = tokio::task::spawn_blocking(move || build(&wanted))
            .await
            .map_err(|_| FetchError::Tls("the TLS client could not be set up".to_owned()))??;
        self.lock().insert(
            peer.clone(),
            Built {
                client: client.clone(),
                stamp,
            },
        );
        Ok(client)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Peer, Built>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outbound for HttpsClient {
    fn get<'a>(
        &'a self,
        peer: &'a Peer,
        request: Request,
    ) -> BoxFuture<'a, Result<Response, FetchError>> {
        Box::pin(async move {
            tokio::time::timeout(request.deadline, self.fetch(peer, &request))
                .await
                .unwrap_or(Err(FetchError::Timeout(request.deadline)))
        })
    }
}

fn check_head(status: u16, headers: &HeaderMap) -> Result<(), FetchError> {
    let size: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    if size > MAX_HEADER_BYTES {
        return Err(FetchError::Protocol);
    }
    match status {
        200 => {}
        300..=399 => return Err(FetchError::Redirect),
        status => {
            return Err(FetchError::Status {
                status,
                retry_after: retry_after(headers.get(header::RETRY_AFTER)),
            });
        }
    }
    // Compression was not asked for; the cap on bytes would not hold for it.
    match headers.get(header::CONTENT_ENCODING) {
        Some(encoding) if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") => {
            Err(FetchError::Protocol)
        }
        _ => Ok(()),
    }
}

/// The form in seconds; the form as a date would need the stranger's clock.
fn retry_after(value: Option<&HeaderValue>) -> Option<u64> {
    let text = value?.to_str().ok()?;
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // A number too large to hold is as good as the largest: callers bound it.
    Some(text.parse().unwrap_or(u64::MAX))
}

async fn read_body(mut response: reqwest::Response, max: usize) -> Result<Bytes, FetchError> {
    if response
        .content_length()
        .is_some_and(|length| length > max as u64)
    {
        return Err(FetchError::TooLarge(max));
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| FetchError::Protocol)? {
        if chunk.len() > max - body.len() {
            return Err(FetchError::TooLarge(max));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

fn build(peer: &Peer) -> Result<Client, FetchError> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that builds a client"
    )]
    let mut builder = Client::builder()
        .https_only(true)
        .http1_only()
        .http1_max_headers(MAX_HEADERS)
        .redirect(redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .retry(reqwest::retry::never())
        .pool_max_idle_per_host(0)
        .tls_version_min(tls::Version::TLS_1_2)
        .user_agent(concat!("assay/", env!("CARGO_PKG_VERSION")))
        .default_headers(HeaderMap::from_iter([(
            header::ACCEPT,
            HeaderValue::from_static(ACCEPT),
        )]))
        .dns_resolver(Filtered {
            allow_private: peer.allow_private,
        });
    if let Some(path) = &peer.ca {
        builder = builder.tls_certs_only(roots(path)?);
    }
    builder.build().map_err(|_| match &peer.ca {
        Some(path) => ca_fault(path, "a certificate in it is not acceptable as a root"),
        None => FetchError::Tls(
            "the system has no usable root certificates (install ca-certificates, or set keys.ca)"
                .to_owned(),
        ),
    })
}

fn roots(path: &Path) -> Result<Vec<Certificate>, FetchError> {
    let pem = file::read_capped(path, MAX_CA_BYTES).map_err(|e| ca_fault(path, &e.to_string()))?;
    let roots = Certificate::from_pem_bundle(&pem)
        .map_err(|_| ca_fault(path, "it is not well-formed PEM"))?;
    if roots.is_empty() {
        return Err(ca_fault(path, "it holds no PEM certificate"));
    }
    Ok(roots)
}

fn ca_fault(path: &Path, why: &str) -> FetchError {
    FetchError::CaFile {
        path: path.display().to_string(),
        why: why.to_owned(),
    }
}

/// The system's resolver, less the addresses that may not be dialled. The
/// client dials what this returns, so a name that changes between a check and
/// its use has no such gap.
struct Filtered {
    allow_private: bool,
}

impl Resolve for Filtered {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0))
                .await
                .map_err(|_| Refused(FetchError::Dns))?
                .collect();
            let allowed = address::filter(found, allow_private).map_err(Refused)?;
            let addresses: Addrs = Box::new(allowed.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    header::HeaderName::from_static(name),
                    HeaderValue::from_str(value).unwrap(),
                )
            })
            .collect()
    }

    #[test]
    fn only_status_200_passes() {
        let none = headers(&[]);
        assert_eq!(check_head(200, &none), Ok(()));
        for status in [300, 301, 302, 303, 304, 307, 308] {
            assert_eq!(check_head(status, &none), Err(FetchError::Redirect));
        }
        for status in [201, 204, 206, 400, 404, 429, 500, 503] {
            assert_eq!(
                check_head(status, &none),
                Err(FetchError::Status {
                    status,
                    retry_after: None
                })
            );
        }
    }

    #[test]
    fn u_07_retry_after_is_read_in_seconds_only() {
        for (text, wanted) in [
            ("3600", Some(3600)),
            ("0", Some(0)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("", None),
            ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ] {
            assert_eq!(
                check_head(503, &headers(&[("retry-after", text)])),
                Err(FetchError::Status {
                    status: 503,
                    retry_after: wanted
                }),
                "{text}"
            );
        }
    }

    #[test]
    fn compressed_answers_are_refused() {
        for text in ["gzip", "br", "deflate", "gzip, identity"] {
            assert_eq!(
                check_head(200, &headers(&[("content-encoding", text)])),
                Err(FetchError::Protocol)
            );
        }
        assert_eq!(
            check_head(200, &headers(&[("content-encoding", "Identity")])),
            Ok(())
        );
    }

    #[test]
    fn u_39_headers_are_capped_by_size() {
        let sized = |n: usize| check_head(200, &headers(&[("x", &"a".repeat(n))]));
        assert_eq!(sized(MAX_HEADER_BYTES - 5), Ok(()));
        assert_eq!(sized(MAX_HEADER_BYTES - 4), Err(FetchError::Protocol));
    }

    #[tokio::test]
    async fn an_address_literal_is_checked_before_anything_is_built() {
        let client = HttpsClient::new();
        for (url, wanted) in [
            (
                "https://127.0.0.1:1/x",
                FetchError::AddressBlocked("127.0.0.1".parse().unwrap()),
            ),
            (
                "https://[::ffff:10.0.0.1]/",
                FetchError::AddressBlocked("::ffff:10.0.0.1".parse().unwrap()),
            ),
            (
                "https://0.0.0.0/",
                FetchError::AddressImpossible("0.0.0.0".parse().unwrap()),
            ),
            ("http://example.com/", FetchError::Scheme),
            ("file:///etc/passwd", FetchError::Scheme),
        ] {
            let request = Request {
                url: url.parse().unwrap(),
                max_bytes: 1,
                deadline: std::time::Duration::from_secs(5),
            };
            assert_eq!(client.get(&Peer::default(), request).await, Err(wanted));
        }
        assert!(client.lock().is_empty());
    }

    #[tokio::test]
    async fn the_resolver_gives_only_what_may_be_dialled() {
        let resolve = async |name: &str, allow_private| {
            let found = Filtered { allow_private }
                .resolve(name.parse().unwrap())
                .await;
            match found {
                Ok(addresses) => Ok(addresses.map(|a| a.ip()).collect::<Vec<_>>()),
                Err(error) => Err(error.downcast::<Refused>().unwrap().0),
            }
        };
        let loopback = resolve("localhost", true).await.unwrap();
        assert!(!loopback.is_empty() && loopback.iter().all(|ip| ip.is_loopback()));
        assert!(matches!(
            resolve("localhost", false).await,
            Err(FetchError::AddressBlocked(ip)) if ip.is_loopback()
        ));
        // A label of 64 bytes fits no DNS question, so none is asked.
        assert_eq!(resolve(&"a".repeat(64), true).await, Err(FetchError::Dns));
    }

    #[tokio::test]
    async fn a_bad_ca_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let peer = Peer {
            ca: Some(path.clone()),
            allow_private: true,
        };
        let client = HttpsClient::new();
        let why = async || match client.client(&peer).await {
            Err(FetchError::CaFile { path: named, why }) => {
                assert_eq!(named, path.display().to_string());
                why
            }
            other => panic!("{:?}", other.map(|_| ())),
        };
        assert!(why().await.contains("No such file"));
        std::fs::write(&path, "hello").unwrap();
        assert_eq!(why().await, "it holds no PEM certificate");
        let rubbish = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        std::fs::write(&path, rubbish).unwrap();
        assert_eq!(
            why().await,
            "a certificate in it is not acceptable as a root"
        );
        std::fs::write(&path, vec![b' '; 1024 * 1024 + 1]).unwrap();
        assert!(why().await.contains("larger than"));
    }
}
