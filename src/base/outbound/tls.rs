//! What a failed connection is called.
//!
//! rustls' own texts may quote names from the stranger's certificate, so each
//! case is put into fixed words here.

use std::{error::Error, io, net::IpAddr};

use rustls::CertificateError;

use super::FetchError;

/// A refused address on its way through the HTTP client's error chain.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refused(pub(super) FetchError);

/// The cause of a failed request, from the innermost error that says one.
pub(super) fn cause(error: &reqwest::Error) -> FetchError {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    let mut depth = 0;
    while let Some(current) = next
        && depth < 16
    {
        if let Some(found) = known(current) {
            return found;
        }
        next = current.source();
        depth += 1;
    }
    if error.is_dns() {
        FetchError::Dns
    } else if error.is_connect() {
        FetchError::Connect
    } else {
        FetchError::Protocol
    }
}

fn known(error: &(dyn Error + 'static)) -> Option<FetchError> {
    if let Some(refused) = error.downcast_ref::<Refused>() {
        return Some(refused.0.clone());
    }
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some(FetchError::Tls(describe(tls).to_owned()));
    }
    // An io::Error keeps the error it wraps out of `source`, which skips to
    // the wrapped error's own source.
    let wrapped = error.downcast_ref::<io::Error>()?.get_ref()?;
    known(wrapped)
}

fn describe(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::InvalidCertificate(why) => certificate(why),
        rustls::Error::AlertReceived(_) => "the server refused the handshake",
        rustls::Error::PeerIncompatible(_) => {
            "the server offers no TLS version or cipher suite that is accepted (TLS 1.2 or later)"
        }
        _ => "the handshake broke off",
    }
}

fn certificate(why: &CertificateError) -> &'static str {
    match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the server's certificate has expired"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the server's certificate is for another name"
        }
        CertificateError::UnknownIssuer => {
            "the server's certificate is from an authority that is not trusted (name a private one as keys.ca)"
        }
        CertificateError::BadSignature => "the server's certificate has a wrong signature",
        CertificateError::Revoked => "the server's certificate is revoked",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the server's certificate is not for servers"
        }
        _ => "the server's certificate is not acceptable",
    }
}

/// Whether an address literal as host is refused; the client's resolver never sees those.
pub(super) fn literal(url: &url::Url) -> Option<IpAddr> {
    match url.host()? {
        url::Host::Ipv4(ip) => Some(ip.into()),
        url::Host::Ipv6(ip) => Some(ip.into()),
        url::Host::Domain(_) => None,
    }
}
