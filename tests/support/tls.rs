//! A certificate authority made at test start, and leaves of it.

use std::{net::IpAddr, path::Path, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};

/// A private certificate authority.
pub struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its key and chain.
pub struct Leaf {
    /// Leaf first; the root is not part of it.
    pub chain: Vec<CertificateDer<'static>>,
    /// PKCS#8.
    pub key: Vec<u8>,
}

impl Ca {
    /// An authority of that common name.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        Self {
            issuer: CertifiedIssuer::self_signed(params, key).expect("a root"),
        }
    }

    /// The root certificate.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// The root certificate.
    pub fn der(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    /// Writes the root certificate to a file.
    pub fn write(&self, path: &Path) {
        std::fs::write(path, self.pem()).expect("the CA file is written");
    }

    /// A server's certificate for these names and addresses.
    pub fn server(&self, names: &[&str]) -> Leaf {
        self.leaf(names, |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        })
    }

    /// A client's certificate with these names (`spiffe://...` becomes a URI).
    pub fn client(&self, names: &[&str]) -> Leaf {
        self.leaf(names, |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        })
    }

    /// A certificate of which the test sets what it likes.
    pub fn leaf(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Leaf {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names.iter().map(|name| alt_name(name)).collect();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a leaf");
        Leaf {
            chain: vec![certificate.der().clone()],
            key: key.serialize_der(),
        }
    }
}

impl Leaf {
    /// A certificate that vouches for itself.
    pub fn self_signed(names: &[&str]) -> Self {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names.iter().map(|name| alt_name(name)).collect();
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        Self {
            chain: vec![certificate.der().clone()],
            key: key.serialize_der(),
        }
    }

    /// A server that shows this certificate and asks for none.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()));
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("TLS versions")
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), key)
            .expect("certificate and key fit");
        Arc::new(config)
    }
}

fn alt_name(name: &str) -> SanType {
    if let Ok(ip) = name.parse::<IpAddr>() {
        SanType::IpAddress(ip)
    } else if name.contains("://") {
        SanType::URI(name.try_into().expect("an ASCII URI"))
    } else {
        SanType::DnsName(name.try_into().expect("an ASCII name"))
    }
}
