use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::*;
use crate::base::clock::ManualClock;

struct Folder {
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
}

/// A certificate valid from 2026 to the end of `until`, and its key, as PEM.
fn pair(until: i32) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

impl Folder {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            clock: Arc::new(ManualClock::at(
                Moment::parse("2026-09-21T00:00:00Z").unwrap(),
            )),
        }
    }

    fn files(&self) -> TlsFiles {
        TlsFiles {
            certificate: self.folder.path().join("tls.crt"),
            key: self.folder.path().join("tls.key"),
        }
    }

    fn write(&self, certificate: &str, key: &str) {
        std::fs::write(self.files().certificate, certificate).unwrap();
        std::fs::write(self.files().key, key).unwrap();
    }

    fn load(&self) -> Result<Certificates, TlsError> {
        Certificates::load(self.files(), self.clock.clone())
    }
}

#[test]
fn a_pair_is_loaded_and_says_when_it_ends() {
    let folder = Folder::new();
    let (certificate, key) = pair(2027);
    folder.write(&certificate, &key);
    let certificates = folder.load().unwrap();
    assert_eq!(
        certificates.expires().to_string(),
        "2027-01-01T00:00:00.000Z"
    );
    assert!(!certificates.reload().unwrap(), "nothing changed");
    let config = certificates.server_config().unwrap();
    assert_eq!(config.max_early_data_size, 0);
}

#[test]
fn a_self_signed_authority_certificate_is_judged_by_its_validity_too() {
    // What `openssl req -x509` makes.
    let folder = Folder::new();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.not_after = date_time_ymd(2027, 1, 1);
    let certificate = params.self_signed(&key).unwrap().pem();
    folder.write(&certificate, &key.serialize_pem());
    let expires = folder.load().unwrap().expires();
    assert_eq!(expires.to_string(), "2027-01-01T00:00:00.000Z");
    folder
        .clock
        .jump_to(Moment::parse("2027-02-01T00:00:00Z").unwrap());
    assert!(matches!(folder.load(), Err(TlsError::Expired { .. })));
}

#[test]
fn what_cannot_be_used_is_refused_by_name() {
    let folder = Folder::new();
    assert!(matches!(folder.load(), Err(TlsError::Read { .. })));
    let (certificate, key) = pair(2027);
    let (_, other_key) = pair(2027);
    folder.write(&certificate, &other_key);
    assert!(matches!(folder.load(), Err(TlsError::Mismatch { .. })));
    folder.write("", &key);
    assert!(matches!(folder.load(), Err(TlsError::NoCertificate { .. })));
    folder.write(&certificate, "");
    assert!(matches!(folder.load(), Err(TlsError::NoKey { .. })));
    folder.write(&key, &certificate);
    assert!(matches!(folder.load(), Err(TlsError::NoCertificate { .. })));
    let not_one = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    folder.write(not_one, &key);
    assert!(matches!(folder.load(), Err(TlsError::Refused { .. })));
    folder.write(&certificate, &key);
    assert!(folder.load().is_ok());
    folder
        .clock
        .jump_to(Moment::parse("2027-01-01T00:00:01Z").unwrap());
    assert!(matches!(folder.load(), Err(TlsError::Expired { .. })));
    folder
        .clock
        .jump_to(Moment::parse("2025-12-31T23:59:59Z").unwrap());
    assert!(matches!(folder.load(), Err(TlsError::NotYetValid { .. })));
}

#[test]
fn a_renewal_is_taken_when_both_files_fit_and_not_before() {
    let folder = Folder::new();
    let (old, old_key) = pair(2027);
    folder.write(&old, &old_key);
    let certificates = folder.load().unwrap();
    let (new, new_key) = pair(2028);

    folder.write(&new, &old_key);
    assert!(matches!(
        certificates.reload(),
        Err(TlsError::Mismatch { .. })
    ));
    assert_eq!(
        certificates.expires().to_string(),
        "2027-01-01T00:00:00.000Z"
    );

    let (expired, expired_key) = {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
        params.not_after = date_time_ymd(2026, 6, 1);
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    };
    folder.write(&expired, &expired_key);
    assert!(matches!(
        certificates.reload(),
        Err(TlsError::Expired { .. })
    ));
    assert_eq!(
        certificates.expires().to_string(),
        "2027-01-01T00:00:00.000Z"
    );

    folder.write(&new, &new_key);
    assert!(certificates.reload().unwrap());
    assert_eq!(
        certificates.expires().to_string(),
        "2028-01-01T00:00:00.000Z"
    );
    assert!(!certificates.reload().unwrap());
}

#[test]
fn nothing_weak_is_offered() {
    let provider = aws_lc::default_provider();
    for suite in &provider.cipher_suites {
        let name = format!("{:?}", suite.suite());
        let is_modern = name.starts_with("TLS13_") || name.starts_with("TLS_ECDHE_");
        let is_authenticated = name.contains("_GCM_") || name.contains("CHACHA20_POLY1305");
        assert!(is_modern && is_authenticated, "{name}");
    }
}

#[test]
fn debug_shows_no_key() {
    let folder = Folder::new();
    let (certificate, key) = pair(2027);
    folder.write(&certificate, &key);
    let text = format!("{:?}", folder.load().unwrap());
    assert!(
        text.starts_with("Certificates { files") && text.len() < 400,
        "{text}"
    );
}
