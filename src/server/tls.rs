//! The server's own certificate, and TLS as it is offered.
//!
//! TLS 1.3, and 1.2 with forward secrecy and authenticated encryption only;
//! rustls has nothing weaker. No early data: a replayed request is a second
//! exchange. Session tickets are given out, since nobody is authenticated by
//! the handshake here; a listener that asks for client certificates must not,
//! because a resumed handshake skips their verification.
//!
//! Certificates are renewed under a running server, by tools that replace two
//! files one after the other. So the files are looked at again and again, and
//! taken only as a pair that fits and is valid now; until then the old one stays.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use aws_lc_rs::digest;
use rustls::{
    CertificateError, InconsistentKeys, RootCertStore, ServerConfig,
    client::verify_server_cert_signed_by_trust_anchor,
    crypto::{CryptoProvider, aws_lc_rs as aws_lc},
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject as _},
    server::{ClientHello, ParsedCertificate, ResolvesServerCert},
    sign::CertifiedKey,
};
use zeroize::Zeroizing;

use crate::base::{
    clock::{Clock, Moment},
    file::read_capped,
};

/// Largest certificate or key file.
const MAX_FILE: u64 = 256 << 10;

/// Where the certificate and its key are, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// The private key: PKCS #8, PKCS #1 or SEC 1, not encrypted.
    pub key: PathBuf,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The certificate file holds no certificate.
    #[error("{path} is not a PEM file with at least one certificate")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The key file holds no key that can be used.
    #[error("{path} is not a PEM file with an unencrypted private key")]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The key is not that of the certificate.
    #[error(
        "the key in {key} is not the key of the first certificate in {certificate}: \
         put the server's own certificate first, and replace both files together"
    )]
    Mismatch {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
    },
    /// The certificate has expired.
    #[error("the certificate in {path} expired at {not_after}: renew it")]
    Expired {
        /// The certificate file.
        path: PathBuf,
        /// Its end.
        not_after: Moment,
    },
    /// The certificate is not valid yet.
    #[error("the certificate in {path} is valid from {not_before} only: check the clock")]
    NotYetValid {
        /// The certificate file.
        path: PathBuf,
        /// Its beginning.
        not_before: Moment,
    },
    /// The TLS library refuses something else.
    #[error("the TLS library refuses the certificate in {path}: {source}")]
    Refused {
        /// The certificate file.
        path: PathBuf,
        /// What it said.
        source: rustls::Error,
    },
}

/// A certificate that follows its files.
pub struct Certificates {
    files: TlsFiles,
    clock: Arc<dyn Clock>,
    provider: Arc<CryptoProvider>,
    current: Arc<Current>,
}

impl Certificates {
    /// Loads the files. A certificate that is not valid now is refused.
    pub fn load(files: TlsFiles, clock: Arc<dyn Clock>) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc::default_provider());
        let pair = Pair::load(&files, &provider, clock.now(), None)?;
        let current = Arc::new(Current(ArcSwap::from_pointee(pair.ok_or_else(|| {
            TlsError::NoCertificate {
                path: files.certificate.clone(),
            }
        })?)));
        Ok(Self {
            files,
            clock,
            provider,
            current,
        })
    }

    /// Looks at the files, and takes them if they changed and can be used.
    /// Says whether they were taken. On an error the old ones stay.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let known = self.current.0.load().digest;
        let now = self.clock.now();
        let pair = Pair::load(&self.files, &self.provider, now, Some(known))?;
        Ok(pair.is_some_and(|pair| {
            self.current.0.store(Arc::new(pair));
            true
        }))
    }

    /// When the certificate in use expires.
    pub fn expires(&self) -> Moment {
        self.current.0.load().not_after
    }

    /// TLS as the listeners without client certificates offer it.
    pub fn server_config(&self) -> Result<ServerConfig, TlsError> {
        let refused = |source| TlsError::Refused {
            path: self.files.certificate.clone(),
            source,
        };
        let resolver: Arc<dyn ResolvesServerCert> = self.current.clone();
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(refused)?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.max_early_data_size = 0;
        // Tickets instead of a session table: a table is memory that strangers
        // fill and a lock that handshakes share.
        config.ticketer = aws_lc::Ticketer::new().map_err(refused)?;
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        config.send_tls13_tickets = 1;
        Ok(config)
    }
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificates")
            .field("files", &self.files)
            .field("expires", &self.expires())
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Current(ArcSwap<Pair>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.load().key))
    }
}

/// A certificate and key that fit.
#[derive(Debug)]
struct Pair {
    key: Arc<CertifiedKey>,
    not_after: Moment,
    /// Of both files, to notice changes whatever their times say.
    digest: [u8; 32],
}

impl Pair {
    /// Loads the files unless their digest is already known.
    fn load(
        files: &TlsFiles,
        provider: &CryptoProvider,
        now: Moment,
        known: Option<[u8; 32]>,
    ) -> Result<Option<Self>, TlsError> {
        let chain = read(&files.certificate)?;
        let key = read(&files.key)?;
        let digest = digest_of(&chain, &key);
        if known == Some(digest) {
            return Ok(None);
        }
        let no_certificate = || TlsError::NoCertificate {
            path: files.certificate.clone(),
        };
        let no_key = || TlsError::NoKey {
            path: files.key.clone(),
        };
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&chain)
            .collect::<Result<_, _>>()
            .map_err(|_| no_certificate())?;
        let leaf = chain.first().cloned().ok_or_else(no_certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| no_key())?;
        let key = (provider.key_provider.load_private_key(key)).map_err(|_| no_key())?;
        let key = CertifiedKey::new(chain, key);
        match key.keys_match() {
            // A key that cannot say what its public half is has to be believed.
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                return Err(TlsError::Mismatch {
                    certificate: files.certificate.clone(),
                    key: files.key.clone(),
                });
            }
            Err(source) => {
                return Err(TlsError::Refused {
                    path: files.certificate.clone(),
                    source,
                });
            }
        }
        let not_after = validity(&files.certificate, &leaf, now)?;
        Ok(Some(Self {
            key: Arc::new(key),
            not_after,
            digest,
        }))
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    read_capped(path, MAX_FILE)
        .map(Zeroizing::new)
        .map_err(|source| TlsError::Read {
            path: path.to_owned(),
            source,
        })
}

fn digest_of(chain: &[u8], key: &[u8]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&(chain.len() as u64).to_be_bytes());
    context.update(chain);
    context.update(key);
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    out
}

/// The certificate's end, if it is valid now.
///
/// The path builder judges validity before it looks for an issuer. Asked about
/// a certificate with no anchors at all, it says "expired" or "not valid yet"
/// where that is so, and "unknown issuer" where it is not: an answer about
/// validity alone, from the code that clients judge by. Asked about the end of
/// time, it says when the certificate ends.
fn validity(path: &Path, leaf: &CertificateDer<'_>, now: Moment) -> Result<Moment, TlsError> {
    let refused = |source| TlsError::Refused {
        path: path.to_owned(),
        source,
    };
    let ask = |time: Duration| -> Result<Option<CertificateError>, TlsError> {
        let cert = ParsedCertificate::try_from(leaf).map_err(refused)?;
        let time = UnixTime::since_unix_epoch(time);
        let none = RootCertStore::empty();
        let algorithms = aws_lc::default_provider()
            .signature_verification_algorithms
            .all;
        match verify_server_cert_signed_by_trust_anchor(&cert, &none, &[], time, algorithms) {
            Err(rustls::Error::InvalidCertificate(error)) => Ok(Some(error)),
            Err(other) => Err(refused(other)),
            Ok(()) => Ok(None),
        }
    };
    let moment =
        |time: UnixTime| Moment::from_secs(i64::try_from(time.as_secs()).unwrap_or(i64::MAX));
    let seconds = Duration::from_secs(u64::try_from(now.secs()).unwrap_or(0));
    match ask(seconds)? {
        Some(CertificateError::ExpiredContext { not_after, .. }) => Err(TlsError::Expired {
            path: path.to_owned(),
            not_after: moment(not_after),
        }),
        Some(CertificateError::NotValidYetContext { not_before, .. }) => {
            Err(TlsError::NotYetValid {
                path: path.to_owned(),
                not_before: moment(not_before),
            })
        }
        Some(CertificateError::BadEncoding) => Err(refused(rustls::Error::InvalidCertificate(
            CertificateError::BadEncoding,
        ))),
        // Whatever else there is to say about a path is the clients' to judge.
        _ => match ask(Duration::from_secs(i64::MAX as u64))? {
            Some(CertificateError::ExpiredContext { not_after, .. }) => Ok(moment(not_after)),
            _ => Ok(Moment::from_secs(i64::MAX)),
        },
    }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
