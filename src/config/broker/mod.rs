//! `assay.yaml`: the broker itself.

mod shape;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc};

pub use shape::BROKER;

use super::{
    checked::{Fields, Report},
    diagnostic::Code,
    document::Document,
};
use crate::{
    base::secret::SecretRef,
    model::{IssuerUrl, Namespace, Target, TargetName, TargetSigning, Ttl, shape::parse_listen},
};

/// The broker's own settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// Its issuer.
    pub issuer: IssuerUrl,
    /// Where it listens.
    pub listen: Listen,
    /// How the public listener is protected.
    pub transport: Transport,
    /// The folder of trust domains and roles.
    pub trust_domains: PathBuf,
    /// The ledger's SQLite file.
    pub ledger: PathBuf,
    /// The key that seals signing keys.
    pub key_encryption: SecretRef,
    /// What it mints for, by name.
    pub targets: Vec<Arc<Target>>,
    /// Bounds on one connection and one request.
    pub limits: Limits,
    /// Requests per second.
    pub budgets: Budgets,
    /// Logs.
    pub telemetry: Telemetry,
    /// How it stops.
    pub drain: Drain,
}

/// The listeners' addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Token endpoint, metadata, key sets.
    pub public: SocketAddr,
    /// Operations; always loopback.
    pub admin: SocketAddr,
    /// Health and metrics.
    pub telemetry: SocketAddr,
}

/// How the public listener is protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TLS, with these PEM files.
    Tls {
        /// The certificate chain.
        certificate: PathBuf,
        /// The private key.
        private_key: PathBuf,
    },
    /// Not at all; the address is loopback.
    PlaintextOnLoopback,
}

/// Bounds on one connection and one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest request body, in bytes.
    pub body_bytes: usize,
    /// Largest token, in bytes.
    pub token_bytes: usize,
    /// Largest request head, in bytes.
    pub header_bytes: usize,
    /// Most open connections.
    pub connections: usize,
    /// Most open connections from one address.
    pub connections_per_address: usize,
    /// Longest TLS handshake.
    pub tls_handshake: Ttl,
    /// Longest time to read a request head.
    pub header_read: Ttl,
    /// Longest time to read a request body.
    pub body_read: Ttl,
    /// Longest wait for the record of an exchange to be durable.
    pub exchange: Ttl,
    /// How long a connection may idle.
    pub idle: Ttl,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 65_536,
            token_bytes: 16_384,
            header_bytes: 16_384,
            connections: 10_000,
            connections_per_address: 512,
            tls_handshake: Ttl::secs(5),
            header_read: Ttl::secs(5),
            body_read: Ttl::secs(10),
            exchange: Ttl::secs(10),
            idle: Ttl::secs(60),
        }
    }
}

/// One token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Refilled per second.
    pub rate: u32,
    /// Held at most.
    pub burst: u32,
}

/// The token buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budgets {
    /// Of one client address.
    pub per_address: Budget,
    /// Of one identity.
    pub per_identity: Budget,
    /// Of one trust domain.
    pub per_trust_domain: Budget,
    /// Of one target.
    pub per_target: Budget,
}

impl Default for Budgets {
    fn default() -> Self {
        let of = |rate, burst| Budget { rate, burst };
        Self {
            per_address: of(200, 800),
            per_identity: of(20, 60),
            per_trust_domain: of(2000, 4000),
            per_target: of(5000, 10_000),
        }
    }
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// One JSON object per line rather than text.
    pub json: bool,
    /// The least important level that is written.
    pub level: LogLevel,
}

/// The importance of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    /// Something failed.
    Error,
    /// Something needs a look.
    Warn,
    /// State changes.
    #[default]
    Info,
    /// Everything.
    Debug,
}

/// How the broker stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// How long new connections are still taken.
    pub delay: Ttl,
    /// How long requests under way may take after that.
    pub deadline: Ttl,
}

/// Longest `maxTtl` of a target.
const LONGEST_TTL: Ttl = Ttl::secs(24 * 3600);

impl Broker {
    /// Reads a broker's document. Problems are put into its report; `None`
    /// only if something is missing without which there is nothing to go on.
    pub fn read(document: &mut Document) -> Option<Self> {
        let spec = document.spec(&BROKER)?;
        let report = &mut document.report;
        let targets = targets(&spec, report);
        let transport = transport(&spec, report);
        let listen = listen(&spec, transport.as_ref(), report);
        Some(Self {
            issuer: spec.parse("issuer", report)?,
            listen: listen?,
            transport: transport?,
            trust_domains: spec.text("trustDomains")?.into(),
            ledger: spec.object("ledger")?.text("path")?.into(),
            key_encryption: secret(spec.object("keyEncryption")?, "key", report)?,
            targets,
            limits: limits(&spec, report),
            budgets: budgets(&spec),
            telemetry: telemetry(&spec),
            drain: drain(&spec, report),
        })
    }

    /// The folder of trust domains, as far as one can be made out: for
    /// checking the files in it even if this one is not in order.
    pub fn folder(document: &Document) -> Option<PathBuf> {
        let spec = &document.root.get("spec")?.value;
        match &spec.get("trustDomains")?.value.value {
            super::yaml::Value::Scalar { text, .. } if !text.is_empty() => {
                Some(document.report.path(text))
            }
            _ => None,
        }
    }
}

fn secret(fields: &Fields, name: &str, report: &mut Report) -> Option<SecretRef> {
    Some(match fields.parse(name, report)? {
        SecretRef::File(path) => SecretRef::File(report.path(&path.to_string_lossy())),
        reference @ SecretRef::Env(_) => reference,
    })
}

fn transport(spec: &Fields, report: &mut Report) -> Option<Transport> {
    match (spec.object("tls"), spec.has("plaintext")) {
        (Some(_), true) => {
            let message = "`tls` and `plaintext` exclude each other";
            let help = "keep `tls`, unless this is only for trying out".to_owned();
            report
                .error(spec.key_span("plaintext"), Code::Conflict, message)
                .help = Some(help);
            None
        }
        (Some(tls), false) => Some(Transport::Tls {
            certificate: tls.text("certificate")?.into(),
            private_key: tls.text("privateKey")?.into(),
        }),
        (None, true) => Some(Transport::PlaintextOnLoopback),
        // A `tls` that is there and not in order was reported as such.
        (None, false) if spec.written("tls") || spec.written("plaintext") => None,
        (None, false) => {
            let message =
                "neither `tls` nor `plaintext` is there: the public listener has no certificate";
            let help = "add `tls: { certificate: ..., privateKey: ... }`; to try it out on one machine, `plaintext: loopback-only`".to_owned();
            report
                .error(spec.first_span(), Code::MissingKey, message)
                .help = Some(help);
            None
        }
    }
}

fn listen(spec: &Fields, transport: Option<&Transport>, report: &mut Report) -> Option<Listen> {
    let given = spec.object("listen")?;
    let address = |name: &str, default: &str| -> Option<SocketAddr> {
        parse_listen(given.text(name).unwrap_or(default)).ok()
    };
    // The shape has refused what does not parse.
    let listen = Listen {
        public: given
            .text("public")
            .and_then(|text| parse_listen(text).ok())?,
        admin: address("admin", "127.0.0.1:8445")?,
        telemetry: address("telemetry", "127.0.0.1:9090")?,
    };
    let at = |name: &str| given.get(name).map_or(given.span, |c| c.span);
    if transport == Some(&Transport::PlaintextOnLoopback) && !listen.public.ip().is_loopback() {
        let message = format!(
            "{} is not a loopback address, and the listener has no TLS",
            listen.public
        );
        let help = "listen on 127.0.0.1, or set `tls` instead of `plaintext`".to_owned();
        report.error(at("public"), Code::Unsafe, message).help = Some(help);
    }
    if !listen.admin.ip().is_loopback() {
        let message = format!(
            "{} is not a loopback address, and the admin listener asks for no credentials",
            listen.admin
        );
        let help = "listen on 127.0.0.1, and reach it through the machine or pod".to_owned();
        report.error(at("admin"), Code::Unsafe, message).help = Some(help);
    }
    let all = [
        ("public", listen.public),
        ("admin", listen.admin),
        ("telemetry", listen.telemetry),
    ];
    for (i, (name, address)) in all.iter().enumerate() {
        let earlier = all.iter().take(i).find(|(_, a)| overlap(*a, *address));
        if let Some((other, _)) = earlier {
            let message = format!(
                "`{name}` and `{other}` would both listen on port {}",
                address.port()
            );
            let help = "give each its own port".to_owned();
            // One of the two may be there by default.
            let place = if given.has(name) { at(name) } else { at(other) };
            report.error(place, Code::Conflict, message).help = Some(help);
        }
    }
    Some(listen)
}

/// Whether two listeners cannot both bind. Port 0 is any free one.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let same_ip = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && same_ip
}

fn targets(spec: &Fields, report: &mut Report) -> Vec<Arc<Target>> {
    let Some(given) = spec.object("targets") else {
        return Vec::new();
    };
    if given.keys.is_empty() {
        let help = "add one: `prod: { selfHosted: ... }`".to_owned();
        report
            .error(
                spec.key_span("targets"),
                Code::MissingKey,
                "there is no target",
            )
            .help = Some(help);
    }
    let mut resources: BTreeMap<String, TargetName> = BTreeMap::new();
    let mut targets = Vec::new();
    for (name, span, value) in &given.all {
        let Some(fields) = value.as_object().and_then(|t| t.object("selfHosted")) else {
            continue;
        };
        let Some(target) = name
            .parse()
            .ok()
            .and_then(|name| target(name, fields, report))
        else {
            continue;
        };
        if let Some(resource) = &target.resource
            && let Some(other) = resources.insert(resource.clone(), target.name.clone())
        {
            let message = format!(
                "the targets `{other}` and `{}` have the same `resource`",
                target.name
            );
            report.error(*span, Code::Conflict, message);
        }
        targets.push(Arc::new(target));
    }
    targets
}

fn target(name: TargetName, fields: &Fields, report: &mut Report) -> Option<Target> {
    let duration =
        |key: &str, default: Ttl, report: &mut Report| fields.parse(key, report).unwrap_or(default);
    let max_ttl = duration("maxTtl", Ttl::secs(3600), report);
    let jwks_refresh = duration("jwksRefresh", Ttl::secs(60), report);
    let key_lifetime = duration("keyLifetime", Ttl::secs(30 * 86_400), report);
    if max_ttl > LONGEST_TTL {
        let message = format!("{max_ttl} is longer than a credential may live");
        let help = format!("at most {LONGEST_TTL}; a workload renews its credential by itself");
        report
            .error(fields.key_span("maxTtl"), Code::InvalidValue, message)
            .help = Some(help);
    }
    let least = jwks_refresh
        .as_secs()
        .saturating_mul(2)
        .max(max_ttl.as_secs());
    if key_lifetime.as_secs() < least {
        let key = if fields.has("keyLifetime") {
            "keyLifetime"
        } else {
            "jwksRefresh"
        };
        let message = format!(
            "a key that signs for {key_lifetime} is replaced before servers that refresh every {jwks_refresh} have read the next one, or before its last credential ends"
        );
        let help = format!("at least twice `jwksRefresh` and at least `maxTtl`: {least}s");
        report
            .error(fields.key_span(key), Code::InvalidValue, message)
            .help = Some(help);
    }
    Some(Target {
        name,
        resource: fields.text("resource").map(str::to_owned),
        address: fields.text("address")?.to_owned(),
        audience: fields.text("audience")?.to_owned(),
        namespaces: namespaces(fields, "namespaces", report),
        max_ttl,
        signing: match fields.text("signing") {
            Some("RS256") => TargetSigning::Rs256,
            _ => TargetSigning::Es256,
        },
        jwks_refresh,
        key_lifetime,
        permissions_claim: fields
            .text("permissionsClaim")
            .unwrap_or("permissions")
            .to_owned(),
    })
}

/// A list of namespaces, each once.
pub(super) fn namespaces(fields: &Fields, key: &str, report: &mut Report) -> Vec<Namespace> {
    let mut all: Vec<Namespace> = Vec::new();
    for item in fields.list(key) {
        let Some(namespace) = item.parse(report) else {
            continue;
        };
        if all.contains(&namespace) {
            let message = format!("`{namespace}` stands twice in the list");
            report.error(item.span, Code::Conflict, message);
        } else {
            all.push(namespace);
        }
    }
    all
}

fn limits(spec: &Fields, report: &mut Report) -> Limits {
    let defaults = Limits::default();
    let Some(given) = spec.object("limits") else {
        return defaults;
    };
    let number = |key: &str, default: usize| {
        given
            .number(key)
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(default)
    };
    let mut duration = |key: &str, default: Ttl| given.parse(key, report).unwrap_or(default);
    let limits = Limits {
        tls_handshake: duration("tlsHandshake", defaults.tls_handshake),
        header_read: duration("headerRead", defaults.header_read),
        body_read: duration("bodyRead", defaults.body_read),
        exchange: duration("exchange", defaults.exchange),
        idle: duration("idle", defaults.idle),
        body_bytes: number("bodyBytes", defaults.body_bytes),
        token_bytes: number("tokenBytes", defaults.token_bytes),
        header_bytes: number("headerBytes", defaults.header_bytes),
        connections: number("connections", defaults.connections),
        connections_per_address: number("connectionsPerAddress", defaults.connections_per_address),
    };
    if limits.token_bytes > limits.body_bytes {
        let key = if given.has("tokenBytes") {
            "tokenBytes"
        } else {
            "bodyBytes"
        };
        let message = format!(
            "a token of {} bytes does not fit a body of {} bytes",
            limits.token_bytes, limits.body_bytes
        );
        report.error(given.key_span(key), Code::Conflict, message);
    }
    limits
}

fn budgets(spec: &Fields) -> Budgets {
    let defaults = Budgets::default();
    let budget = |key: &str, default: Budget| -> Budget {
        let number = |given: &Fields, key| given.number(key).and_then(|n| u32::try_from(n).ok());
        spec.object("budgets")
            .and_then(|b| b.object(key))
            .and_then(|b| {
                Some(Budget {
                    rate: number(b, "rate")?,
                    burst: number(b, "burst")?,
                })
            })
            .unwrap_or(default)
    };
    Budgets {
        per_address: budget("perAddress", defaults.per_address),
        per_identity: budget("perIdentity", defaults.per_identity),
        per_trust_domain: budget("perTrustDomain", defaults.per_trust_domain),
        per_target: budget("perTarget", defaults.per_target),
    }
}

fn telemetry(spec: &Fields) -> Telemetry {
    let word = |key: &str| spec.object("telemetry").and_then(|t| t.text(key));
    Telemetry {
        json: word("logFormat") != Some("text"),
        level: match word("logLevel") {
            Some("error") => LogLevel::Error,
            Some("warn") => LogLevel::Warn,
            Some("debug") => LogLevel::Debug,
            _ => LogLevel::Info,
        },
    }
}

fn drain(spec: &Fields, report: &mut Report) -> Drain {
    let given = spec.object("drain");
    let mut duration =
        |key: &str, default: Ttl| given.and_then(|d| d.parse(key, report)).unwrap_or(default);
    Drain {
        delay: duration("delay", Ttl::secs(5)),
        deadline: duration("deadline", Ttl::secs(20)),
    }
}

#[cfg(test)]
mod tests;
