//! The folder that `assay dev` makes: small, commented, and good to go on with.

use std::{fs, io, path::Path};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use crate::base::{
    file::write_atomic,
    random::{self, Random},
};

/// What the files say that is only known at run time.
pub(super) struct Facts<'a> {
    pub(super) issuer: &'a str,
    pub(super) listen: &'a str,
    pub(super) ci_issuer: &'a str,
    pub(super) spiffe_trust_domain: &'a str,
    pub(super) bundle: &'a str,
}

/// Throw-away certificates: one root, one leaf for everything on loopback.
pub(super) struct Certificates {
    pub(super) root_pem: String,
    pub(super) leaf_pem: String,
    pub(super) key_pem: String,
}

impl Certificates {
    /// Makes a root and a leaf for `localhost` and 127.0.0.1.
    pub(super) fn new() -> Result<Self, rcgen::Error> {
        let mut root = CertificateParams::new(Vec::new())?;
        root.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        root.distinguished_name.push(
            DnType::CommonName,
            "assay dev: trust nothing else with this",
        );
        let root_key = KeyPair::generate()?;
        let root_certificate = root.self_signed(&root_key)?;
        let signer = Issuer::new(root, root_key);
        let mut leaf =
            CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        leaf.distinguished_name
            .push(DnType::CommonName, "assay dev");
        let key = KeyPair::generate()?;
        let leaf_certificate = leaf.signed_by(&key, &signer)?;
        Ok(Self {
            root_pem: root_certificate.pem(),
            leaf_pem: leaf_certificate.pem(),
            key_pem: key.serialize_pem(),
        })
    }
}

/// Writes everything into `folder`.
pub(super) fn write(
    folder: &Path,
    facts: &Facts<'_>,
    certificates: &Certificates,
    random: &dyn Random,
) -> io::Result<()> {
    let domains = folder.join("trust-domains");
    fs::create_dir_all(&domains)?;
    let key: [u8; 32] = random::bytes(random);
    // In hexadecimal: a newline at the end of a file is no part of the secret in it,
    // and one raw key in 256 would lose its last byte to that.
    let key = crate::cli::plan::hex(&key);
    write_atomic(&folder.join("key-encryption.key"), key.as_bytes(), 0o600)?;
    write_atomic(
        &folder.join("tls.key"),
        certificates.key_pem.as_bytes(),
        0o600,
    )?;
    let public = [
        ("ca.pem", certificates.root_pem.clone()),
        ("tls.pem", certificates.leaf_pem.clone()),
        ("spiffe-bundle.json", facts.bundle.to_owned()),
        ("assay.yaml", fill(BROKER, facts)),
        ("trust-domains/roles.yaml", ROLES.to_owned()),
        ("trust-domains/dev-ci.yaml", fill(CI, facts)),
        ("trust-domains/dev-spiffe.yaml", fill(SPIFFE, facts)),
    ];
    for (name, text) in public {
        write_atomic(&folder.join(name), text.as_bytes(), 0o644)?;
    }
    Ok(())
}

fn fill(template: &str, facts: &Facts<'_>) -> String {
    template
        .replace("{{issuer}}", facts.issuer)
        .replace("{{listen}}", facts.listen)
        .replace("{{ci_issuer}}", facts.ci_issuer)
        .replace("{{spiffe_trust_domain}}", facts.spiffe_trust_domain)
}

const BROKER: &str = include_str!("files/assay.yaml");
const ROLES: &str = include_str!("files/roles.yaml");
const CI: &str = include_str!("files/dev-ci.yaml");
const SPIFFE: &str = include_str!("files/dev-spiffe.yaml");
