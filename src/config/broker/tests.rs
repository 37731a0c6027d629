use super::*;
use crate::config::diagnostic::Diagnostic;

const GOOD: &str = "\
apiVersion: assay/v1
kind: Broker
metadata: { name: assay }
spec:
  issuer: https://assay.corp.example
  listen: { public: 0.0.0.0:8443 }
  tls: { certificate: tls/tls.crt, privateKey: tls/tls.key }
  trustDomains: trust-domains
  ledger: { path: /var/lib/assay/ledger.db }
  keyEncryption: { key: file:kek }
  targets:
    prod:
      selfHosted:
        address: temporal.corp.example:7233
        audience: temporal-prod
        namespaces: [payments, orders]
";

fn read(text: &str) -> (Option<Broker>, Vec<Diagnostic>) {
    let mut document = match Document::read("etc/assay.yaml", text.as_bytes()) {
        Ok(document) => document,
        Err(report) => return (None, report.into_found()),
    };
    let broker = Broker::read(&mut document);
    (broker, document.report.into_found())
}

fn accepted(text: &str) -> Broker {
    let (broker, found) = read(text);
    assert_eq!(found, []);
    broker.unwrap()
}

fn with(old: &str, new: &str) -> String {
    assert!(GOOD.contains(old), "{old}");
    GOOD.replace(old, new)
}

fn and(lines: &str) -> String {
    format!("{GOOD}{lines}")
}

/// The one problem: line, column, code, message, help.
fn refused(text: &str) -> (u32, u32, Code, String, String) {
    let (_, found) = read(text);
    let [one] = found.as_slice() else {
        panic!("{found:#?}");
    };
    let help = one.help.clone().unwrap_or_default();
    (
        one.span.line,
        one.span.column,
        one.code,
        one.message.clone(),
        help,
    )
}

#[test]
fn a_short_file_has_the_documented_defaults() {
    let broker = accepted(GOOD);
    assert_eq!(broker.listen.public.to_string(), "0.0.0.0:8443");
    assert_eq!(broker.listen.admin.to_string(), "127.0.0.1:8445");
    assert_eq!(broker.listen.telemetry.to_string(), "127.0.0.1:9090");
    assert_eq!(broker.limits, Limits::default());
    assert_eq!(broker.budgets, Budgets::default());
    let target = &broker.targets[0];
    assert_eq!(target.signing, TargetSigning::Es256);
    assert_eq!(target.max_ttl.to_string(), "1h");
    assert_eq!(target.jwks_refresh.to_string(), "1m");
    assert_eq!(target.key_lifetime.to_string(), "30d");
    assert_eq!(target.permissions_claim, "permissions");
    assert_eq!(target.resource, None);
    assert_eq!(
        (
            broker.drain.delay.as_secs(),
            broker.drain.deadline.as_secs()
        ),
        (5, 20)
    );
    assert!(broker.telemetry.json);
}

/// Every sentence of the shape that states a default states the real one.
#[test]
fn the_descriptions_state_the_real_defaults() {
    let limits = Limits::default();
    let spec = |name: &str| BROKER.keys.iter().find(|k| k.name == name).unwrap();
    let crate::model::shape::Kind::Object(shape) = &spec("limits").kind else {
        panic!()
    };
    let says = |key: &str, value: String| {
        let doc = shape.keys.iter().find(|k| k.name == key).unwrap().doc;
        assert!(doc.contains(&format!("Default: {value}.")), "{key}: {doc}");
    };
    says("bodyBytes", limits.body_bytes.to_string());
    says("tokenBytes", limits.token_bytes.to_string());
    says("headerBytes", limits.header_bytes.to_string());
    says("connections", limits.connections.to_string());
    says(
        "connectionsPerAddress",
        limits.connections_per_address.to_string(),
    );
    says("tlsHandshake", limits.tls_handshake.to_string());
    says("headerRead", limits.header_read.to_string());
    says("bodyRead", limits.body_read.to_string());
    says("exchange", limits.exchange.to_string());
    says("idle", format!("{}s", limits.idle.as_secs()));
    let budgets = Budgets::default();
    let crate::model::shape::Kind::Object(shape) = &spec("budgets").kind else {
        panic!()
    };
    for (key, budget) in [
        ("perAddress", budgets.per_address),
        ("perIdentity", budgets.per_identity),
        ("perTrustDomain", budgets.per_trust_domain),
        ("perTarget", budgets.per_target),
    ] {
        let doc = shape.keys.iter().find(|k| k.name == key).unwrap().doc;
        let said = format!("Default: rate {}, burst {}.", budget.rate, budget.burst);
        assert!(doc.contains(&said), "{key}: {doc}");
    }
}

#[test]
fn paths_are_relative_to_the_file() {
    let broker = accepted(GOOD);
    assert_eq!(broker.trust_domains, PathBuf::from("etc/trust-domains"));
    assert_eq!(broker.ledger, PathBuf::from("/var/lib/assay/ledger.db"));
    assert_eq!(broker.key_encryption, SecretRef::File("etc/kek".into()));
    let Transport::Tls {
        certificate,
        private_key,
    } = broker.transport
    else {
        panic!()
    };
    assert_eq!(
        (certificate, private_key),
        ("etc/tls/tls.crt".into(), "etc/tls/tls.key".into())
    );
    let broker = accepted(&with("file:kek", "env:KEK"));
    assert_eq!(broker.key_encryption, SecretRef::Env("KEK".into()));
}

#[test]
fn everything_can_be_set() {
    let text = with(
        "namespaces: [payments, orders]",
        "namespaces: payments\n        signing: RS256\n        jwksRefresh: 2m\n        maxTtl: 30m\n        keyLifetime: 1h\n        permissionsClaim: perms\n        resource: https://temporal.corp.example",
    );
    let text = text.replace(
        "public: 0.0.0.0:8443",
        "public: \"[::]:8443\", admin: localhost:1, telemetry: 0.0.0.0:2",
    );
    let broker = accepted(&format!(
        "{text}  limits: {{ bodyBytes: 2048, tokenBytes: 1024, idle: 1s, connections: 5 }}
  budgets: {{ perAddress: {{ rate: 1, burst: 2 }} }}
  telemetry: {{ logFormat: text, logLevel: debug }}
  drain: {{ delay: 1s, deadline: 2s }}
"
    ));
    assert_eq!(broker.targets[0].signing, TargetSigning::Rs256);
    assert_eq!(broker.targets[0].permissions_claim, "perms");
    assert_eq!(
        (broker.limits.body_bytes, broker.limits.connections),
        (2048, 5)
    );
    assert_eq!(broker.budgets.per_address, Budget { rate: 1, burst: 2 });
    assert_eq!(broker.budgets.per_target, Budgets::default().per_target);
    assert_eq!(
        broker.telemetry,
        Telemetry {
            json: false,
            level: LogLevel::Debug
        }
    );
    assert!(broker.listen.admin.ip().is_loopback());
}

#[test]
fn plaintext_takes_explicit_words_and_a_loopback_address() {
    let tls = "  tls: { certificate: tls/tls.crt, privateKey: tls/tls.key }\n";
    let plain = with(tls, "  plaintext: loopback-only\n");
    let found = refused(&plain);
    assert_eq!((found.0, found.1, found.2), (6, 21, Code::Unsafe));
    let broker = accepted(&plain.replace("0.0.0.0:8443", "127.0.0.1:8080"));
    assert_eq!(broker.transport, Transport::PlaintextOnLoopback);
    accepted(&plain.replace("0.0.0.0:8443", "\"[::1]:8080\""));
    assert_eq!(refused(&with(tls, "")).2, Code::MissingKey);
    assert_eq!(
        refused(&with(tls, &format!("{tls}  plaintext: loopback-only\n"))).2,
        Code::Conflict
    );
    for words in ["true", "\"yes\"", "anywhere"] {
        assert_eq!(
            refused(&with(tls, &format!("  plaintext: {words}\n"))).2,
            Code::InvalidValue,
            "{words}"
        );
    }
    assert_eq!(
        refused(&with(tls, "  tls: {}\n").replace("tls: {}", "tls: { certificate: a }")).2,
        Code::MissingKey
    );
}

#[test]
fn the_admin_listener_stays_on_loopback() {
    let found = refused(&with("0.0.0.0:8443", "0.0.0.0:8443, admin: 0.0.0.0:8445"));
    assert_eq!((found.0, found.1, found.2), (6, 42, Code::Unsafe));
    accepted(&with("0.0.0.0:8443", "0.0.0.0:8443, admin: 127.0.0.2:8445"));
}

#[test]
fn listeners_do_not_share_a_port() {
    let found = refused(&with("0.0.0.0:8443", "0.0.0.0:9090"));
    assert_eq!((found.0, found.2), (6, Code::Conflict));
    assert_eq!(
        refused(&with("0.0.0.0:8443", "127.0.0.1:8445")).2,
        Code::Conflict
    );
    accepted(&with(
        "0.0.0.0:8443",
        "0.0.0.0:0, admin: 127.0.0.1:0, telemetry: 127.0.0.1:0",
    ));
    accepted(&with(
        "0.0.0.0:8443",
        "127.0.0.2:9090, telemetry: 127.0.0.1:9090",
    ));
}

#[test]
fn what_is_reserved_says_so() {
    let found = refused(&with("0.0.0.0:8443", "0.0.0.0:8443, mtls: 0.0.0.0:8444"));
    assert_eq!(found.2, Code::NotSupported);
    assert!(found.3.contains("client certificates"), "{}", found.3);
    let found = refused(&with(
        "ledger: { path: /var/lib/assay/ledger.db }",
        "ledger: { path: a, url: postgres }",
    ));
    assert!(found.3.contains("PostgreSQL"), "{}", found.3);
    let found = refused(&and("    cloud-prod: { cloud: { account: a1b2c } }\n"));
    assert_eq!((found.0, found.1, found.2), (17, 19, Code::NotSupported));
}

#[test]
fn targets_are_judged() {
    let namespaces = "namespaces: [payments, orders]";
    let cases = [
        ("namespaces: [payments, payments]", Code::Conflict, 32),
        ("namespaces: []", Code::InvalidValue, 21),
        ("namespaces: [temporal-system]", Code::InvalidValue, 22),
        (
            "namespaces: [payments]\n        maxTtl: 25h",
            Code::InvalidValue,
            9,
        ),
        (
            "namespaces: [payments]\n        keyLifetime: 30m",
            Code::InvalidValue,
            9,
        ),
        (
            "namespaces: [payments]\n        keyLifetime: 2h\n        jwksRefresh: 61m",
            Code::InvalidValue,
            9,
        ),
        (
            "namespaces: [payments]\n        resource: prod",
            Code::InvalidValue,
            19,
        ),
        (
            "namespaces: [payments]\n        signing: HS256",
            Code::InvalidValue,
            18,
        ),
        (
            "namespaces: [payments]\n        ttl: 1h",
            Code::UnknownKey,
            9,
        ),
    ];
    for (new, code, column) in cases {
        let found = refused(&with(namespaces, new));
        assert_eq!((found.2, found.1), (code, column), "{new}");
    }
    accepted(&with(
        namespaces,
        "namespaces: [payments]\n        keyLifetime: 2h\n        jwksRefresh: 1h",
    ));
}

#[test]
fn two_targets_do_not_share_a_resource() {
    let resource = "        resource: https://temporal.corp.example\n";
    let other = "    other:\n      selfHosted:\n        address: b:1\n        audience: temporal-prod\n        namespaces: [payments]\n";
    accepted(&and(&format!("{resource}{other}")));
    let found = refused(&and(&format!("{resource}{other}{resource}")));
    assert_eq!((found.0, found.1, found.2), (18, 5, Code::Conflict));
}

#[test]
fn no_target_is_no_broker() {
    let at = GOOD.find("    prod:").unwrap();
    let text = GOOD[..at].replace("targets:", "targets: {}");
    assert_eq!(refused(&text).3, "there is no target");
}

#[test]
fn a_token_must_fit_a_body() {
    let found = refused(&and("  limits: { bodyBytes: 2048 }\n"));
    assert_eq!((found.2, found.1), (Code::Conflict, 13));
}

#[test]
fn the_folder_is_found_in_a_file_that_is_not_in_order() {
    let text = with("issuer: https://assay.corp.example", "isuer: x");
    let document = Document::read("etc/assay.yaml", text.as_bytes()).unwrap();
    assert_eq!(Broker::folder(&document), Some("etc/trust-domains".into()));
}
