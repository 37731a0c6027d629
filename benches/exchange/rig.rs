//! The files, the certificates and the processes of a measurement.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use assay::base::clock::{Clock as _, SystemClock};
use rcgen::{CertificateParams, KeyPair};
use rustix::thread::{CpuSet, sched_setaffinity};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

/// The core that serves.
pub(crate) const SERVES: usize = 0;
/// The core that loads.
pub(crate) const LOADS: usize = 1;

/// Binds this thread, and what it starts from now on, to one core.
pub(crate) fn pin(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    // A machine with one core measures all the same, only less.
    let _ = sched_setaffinity(None, &set);
}

/// A folder with a certificate and everything that a broker needs.
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    _temporary: tempfile::TempDir,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let temporary = tempfile::tempdir().expect("a folder");
        let path = temporary.path().to_owned();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        fs::write(path.join("tls.pem"), certificate.pem()).expect("written");
        fs::write(path.join("tls.key"), key.serialize_pem()).expect("written");
        fs::write(path.join("kek"), [9u8; 32]).expect("written");
        Self {
            path,
            _temporary: temporary,
        }
    }

    /// A broker's files: that many trust domains of that many rules, the last of
    /// which is the one that matches.
    pub(crate) fn configure(&self, jwks: &str, domains: usize, rules: usize) -> PathBuf {
        let folder = self.path.join("trust-domains");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).expect("a folder");
        fs::write(self.path.join("jwks.json"), jwks).expect("written");
        let role = "apiVersion: assay/v1\nkind: Roles\nmetadata: { name: roles }\nspec:\n  target: prod\n  roles:\n    \
                    worker: { namespaces: { payments: worker }, maxTtl: 10m }\n";
        fs::write(folder.join("roles.yaml"), role).expect("written");
        for domain in 0..domains {
            let mut text = format!(
                "apiVersion: assay/v1\nkind: TrustDomain\nmetadata: {{ name: d{domain} }}\nspec:\n  oidc:\n    \
                 issuer: {}\n    algorithms: [ES256, RS256]\n    singleUse: true\n    maxTokenLifetime: 60m\n    \
                 maxTokenAge: 60m\n    keys: {{ file: ../jwks.json }}\n  rules:\n",
                issuer(domain)
            );
            for rule in 0..rules {
                let project = if rule + 1 == rules { 4711 } else { 5000 + rule };
                text.push_str(&format!(
                    "    - {{ name: r{rule}, match: {{ claims: {{ project_id: \"{project}\", environment: production }} }}, \
                     grant: {{ role: worker }} }}\n"
                ));
            }
            fs::write(folder.join(format!("d{domain}.yaml")), text).expect("written");
        }
        let broker = "apiVersion: assay/v1\nkind: Broker\nmetadata: { name: bench }\nspec:\n  issuer: https://assay.example\n  \
             listen: { public: \"127.0.0.1:0\", admin: \"127.0.0.1:0\", telemetry: \"127.0.0.1:0\" }\n  \
             tls: { certificate: tls.pem, privateKey: tls.key }\n  trustDomains: trust-domains\n  \
             ledger: { path: ledger.db }\n  keyEncryption: { key: \"file:kek\" }\n  budgets:\n    \
             perAddress: { rate: 1000000, burst: 1000000 }\n    perIdentity: { rate: 1000000, burst: 1000000 }\n    \
             perTrustDomain: { rate: 1000000, burst: 1000000 }\n    perTarget: { rate: 1000000, burst: 1000000 }\n  \
             targets:\n    prod: { selfHosted: { address: \"127.0.0.1:7233\", audience: temporal, namespaces: [payments], \
             jwksRefresh: 1m, maxTtl: 1h } }\n";
        let path = self.path.join("assay.yaml");
        fs::write(&path, broker).expect("written");
        path
    }

    /// A TLS client that trusts it.
    pub(crate) fn client(&self) -> Arc<rustls::ClientConfig> {
        let pem = fs::read(self.path.join("tls.pem")).expect("read");
        let mut roots = rustls::RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(&pem).expect("a certificate");
        roots.add(root).expect("a root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    }
}

/// A TLS server with the folder's certificate.
pub(crate) fn server_config(folder: &Path) -> rustls::ServerConfig {
    let pem = |name: &str| fs::read(folder.join(name)).expect("read");
    let chain = CertificateDer::from_pem_slice(&pem("tls.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(&pem("tls.key")).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .expect("a certificate")
}

/// The issuer of a trust domain.
pub(crate) fn issuer(domain: usize) -> String {
    format!("https://issuer-{domain}.example")
}

/// The whole HTTP request of an exchange.
pub(crate) fn request(form: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /oauth2/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n",
        form.len()
    );
    [head.as_bytes(), form].concat()
}

/// The form of an exchange.
pub(crate) fn form(token: &str) -> Vec<u8> {
    format!(
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&audience=prod&\
         subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt&subject_token={token}"
    )
    .into_bytes()
}

/// A server in a process of its own, on the serving core.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) started: Duration,
}

impl Process {
    /// `assay serve` with one thread for sockets.
    pub(crate) fn assay(folder: &Folder, config: &Path) -> Self {
        let ready = folder.path.join("ready.json");
        let _ = fs::remove_file(&ready);
        for file in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
            let _ = fs::remove_file(folder.path.join(file));
        }
        let clock = SystemClock::new();
        pin(SERVES);
        let child = Command::new(env!("CARGO_BIN_EXE_assay"))
            .args([
                "--log-level",
                "error",
                "serve",
                "--threads",
                "1",
                "--config",
            ])
            .arg(config)
            .arg("--ready-file")
            .arg(&ready)
            .spawn()
            .expect("assay starts");
        pin(LOADS);
        let text = loop {
            match fs::read_to_string(&ready) {
                Ok(text) if text.ends_with('\n') => break text,
                _ => std::thread::sleep(Duration::from_millis(1)),
            }
            assert!(
                clock.uptime() < Duration::from_secs(60),
                "assay is not ready"
            );
        };
        let started = clock.uptime();
        let urls: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let url = urls["public"].as_str().expect("a URL");
        let address = url
            .trim_start_matches("https://")
            .parse()
            .expect("an address");
        Self {
            child,
            address,
            started,
        }
    }

    /// This program as the bare server.
    pub(crate) fn bare(folder: &Folder, algorithm: &str, key: &Path) -> Self {
        pin(SERVES);
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .arg("--bare")
            .arg(algorithm)
            .arg(key)
            .arg(&folder.path)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the bare server starts");
        pin(LOADS);
        let mut line = String::new();
        let stdout = child.stdout.take().expect("stdout");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("its address");
        Self {
            child,
            address: line.trim().parse().expect("an address"),
            started: Duration::ZERO,
        }
    }

    /// Resident memory, in MB.
    pub(crate) fn resident(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        kilobytes.unwrap_or(0.0) / 1024.0
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
