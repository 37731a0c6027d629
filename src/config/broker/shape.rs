//! What may stand in `assay.yaml`, with every default said in its description.

use crate::model::shape::{Form, Key, Kind, Object};

const fn must(name: &'static str, doc: &'static str, kind: Kind) -> Key {
    Key {
        name,
        doc,
        kind,
        required: true,
    }
}

const fn may(name: &'static str, doc: &'static str, kind: Kind) -> Key {
    Key {
        name,
        doc,
        kind,
        required: false,
    }
}

const DURATION: Kind = Kind::Text(Form::Duration);

/// The `spec` of a `Broker`.
pub const BROKER: Object = Object {
    doc: "The broker: who it is, where it listens, what it mints for.",
    keys: &[
        must(
            "issuer",
            "The broker's own https URL: the `iss` of what it mints, and the audience that evidence must name unless its trust domain says otherwise.",
            Kind::Text(Form::Issuer),
        ),
        must(
            "listen",
            "Where it listens, as IP:PORT by listener.",
            Kind::Object(&LISTEN),
        ),
        may(
            "tls",
            "The certificate of the public listener. Files are watched and read again when they change. Either this or `plaintext` must be there.",
            Kind::Object(&TLS),
        ),
        may(
            "plaintext",
            "Serve the public listener without TLS. The one word is `loopback-only`, and the listener must then be on a loopback address: for trying out, and behind a proxy on the same machine.",
            Kind::Word(&["loopback-only"]),
        ),
        must(
            "trustDomains",
            "The folder of the TrustDomain and Roles files, relative to this file. Every `.yaml` file in it is read.",
            Kind::Text(Form::Path),
        ),
        must(
            "ledger",
            "Where leases, audit records and sealed signing keys are kept.",
            Kind::Object(&LEDGER),
        ),
        must(
            "keyEncryption",
            "The key that seals the signing keys in the ledger.",
            Kind::Object(&KEY_ENCRYPTION),
        ),
        must(
            "targets",
            "What credentials are for, by name. The name is what a caller asks for as `audience`.",
            Kind::Named(Form::Name, &Kind::OneOf(TARGET)),
        ),
        may(
            "limits",
            "Bounds on what one connection and one request may take.",
            Kind::Object(&LIMITS),
        ),
        may(
            "budgets",
            "How many requests per second are answered, with bursts.",
            Kind::Object(&BUDGETS),
        ),
        may("telemetry", "Logs.", Kind::Object(&TELEMETRY)),
        may("drain", "How the broker stops.", Kind::Object(&DRAIN)),
    ],
};

const LISTEN: Object = Object {
    doc: "Where the broker listens.",
    keys: &[
        must(
            "public",
            "The token endpoint, metadata and key sets, such as 0.0.0.0:8443.",
            Kind::Text(Form::Listen),
        ),
        may(
            "admin",
            "Operations, such as kill switches. It asks for no credentials, so only a loopback address is taken. Default: 127.0.0.1:8445.",
            Kind::Text(Form::Listen),
        ),
        may(
            "telemetry",
            "Health and metrics over plain HTTP. Default: 127.0.0.1:9090.",
            Kind::Text(Form::Listen),
        ),
        may(
            "mtls",
            "Reserved.",
            Kind::Reserved(
                "the mtls listener comes with client certificates as evidence, which this version does not read; remove the key",
            ),
        ),
    ],
};

const TLS: Object = Object {
    doc: "A certificate and its key.",
    keys: &[
        must(
            "certificate",
            "PEM file of the certificate and its intermediates, leaf first.",
            Kind::Text(Form::Path),
        ),
        must(
            "privateKey",
            "PEM file of the private key.",
            Kind::Text(Form::Path),
        ),
    ],
};

const LEDGER: Object = Object {
    doc: "The ledger.",
    keys: &[
        must(
            "path",
            "The SQLite file. It is created if it is not there; its folder must be.",
            Kind::Text(Form::Path),
        ),
        may(
            "url",
            "Reserved.",
            Kind::Reserved("a ledger in PostgreSQL is not read by this version; use `path`"),
        ),
    ],
};

const KEY_ENCRYPTION: Object = Object {
    doc: "The key-encryption key.",
    keys: &[must(
        "key",
        "A reference to the key: env:NAME or file:PATH.",
        Kind::Text(Form::Secret),
    )],
};

const TARGET: &[Key] = &[
    may(
        "selfHosted",
        "A Temporal cluster with its default JWT authorizer.",
        Kind::Object(&SELF_HOSTED),
    ),
    may(
        "cloud",
        "Reserved.",
        Kind::Reserved(
            "Temporal Cloud targets are not minted for by this version; `selfHosted` is",
        ),
    ),
    may(
        "proxy",
        "Reserved.",
        Kind::Reserved("proxy targets are not minted for by this version; `selfHosted` is"),
    ),
];

const SELF_HOSTED: Object = Object {
    doc: "A Temporal cluster that checks JWTs with its default authorizer.",
    keys: &[
        must(
            "address",
            "HOST:PORT of its frontend, handed to the caller.",
            Kind::Text(Form::Address),
        ),
        must(
            "audience",
            "The `aud` of its tokens: Temporal's `authorization.audience`.",
            Kind::Text(Form::Free),
        ),
        must(
            "namespaces",
            "The only namespaces that a role may name on this target. They must exist: admin on a namespace that does not is the right to create it.",
            Kind::Texts(Form::Namespace),
        ),
        may(
            "signing",
            "The algorithm of its tokens. Default: ES256.",
            Kind::Word(&["ES256", "RS256"]),
        ),
        may(
            "jwksRefresh",
            "Temporal's `jwtKeyProvider.refreshInterval`, of the slowest server that reads this target's key set. A new key is published at least this long before it signs. Default: 1m.",
            DURATION,
        ),
        may(
            "maxTtl",
            "The longest lifetime of a credential, up to 24h. Default: 1h.",
            DURATION,
        ),
        may(
            "keyLifetime",
            "How long one key signs before the next takes over, at least twice `jwksRefresh` and at least `maxTtl`. Default: 30d.",
            DURATION,
        ),
        may(
            "permissionsClaim",
            "The claim that carries permissions: Temporal's `permissionsClaimName`. Default: permissions.",
            Kind::Text(Form::Free),
        ),
        may(
            "resource",
            "A URI that means this target, for callers that send `resource` (RFC 8707).",
            Kind::Text(Form::Uri),
        ),
    ],
};

const LIMITS: Object = Object {
    doc: "Bounds on one connection and one request.",
    keys: &[
        may(
            "bodyBytes",
            "Largest request body, in bytes. Default: 65536.",
            Kind::Number(1024, 1 << 20),
        ),
        may(
            "tokenBytes",
            "Largest token that is read, in bytes. Default: 16384.",
            Kind::Number(1024, 1 << 16),
        ),
        may(
            "headerBytes",
            "Largest request head, in bytes. Default: 16384.",
            Kind::Number(8192, 1 << 18),
        ),
        may(
            "connections",
            "Most open connections. Default: 10000.",
            Kind::Number(1, 1_000_000),
        ),
        may(
            "connectionsPerAddress",
            "Most open connections from one address (IPv6: one /64). Default: 512.",
            Kind::Number(1, 1_000_000),
        ),
        may(
            "tlsHandshake",
            "Longest TLS handshake. Default: 5s.",
            DURATION,
        ),
        may(
            "headerRead",
            "Longest time to read a request head. Default: 5s.",
            DURATION,
        ),
        may(
            "bodyRead",
            "Longest time to read a request body. Default: 10s.",
            DURATION,
        ),
        may(
            "exchange",
            "Longest wait for the record of an exchange to be durable; then nothing is issued. Default: 10s.",
            DURATION,
        ),
        may(
            "idle",
            "How long a connection may idle. Default: 60s.",
            DURATION,
        ),
    ],
};

const BUDGETS: Object = Object {
    doc: "Token buckets: a rate per second and a burst.",
    keys: &[
        may(
            "perAddress",
            "Of one client address. Default: rate 200, burst 800.",
            Kind::Object(&BUDGET),
        ),
        may(
            "perIdentity",
            "Of one identity. Default: rate 20, burst 60.",
            Kind::Object(&BUDGET),
        ),
        may(
            "perTrustDomain",
            "Of one trust domain. Default: rate 2000, burst 4000.",
            Kind::Object(&BUDGET),
        ),
        may(
            "perTarget",
            "Of one target. Default: rate 5000, burst 10000.",
            Kind::Object(&BUDGET),
        ),
    ],
};

const BUDGET: Object = Object {
    doc: "A rate and a burst.",
    keys: &[
        must(
            "rate",
            "Requests per second, 1 to 1000000.",
            Kind::Number(1, 1_000_000),
        ),
        must(
            "burst",
            "Requests at once, at least `rate` is usual; 1 to 1000000.",
            Kind::Number(1, 1_000_000),
        ),
    ],
};

const TELEMETRY: Object = Object {
    doc: "Logs.",
    keys: &[
        may("logFormat", "Default: json.", Kind::Word(&["json", "text"])),
        may(
            "logLevel",
            "Default: info.",
            Kind::Word(&["error", "warn", "info", "debug"]),
        ),
    ],
};

const DRAIN: Object = Object {
    doc: "How the broker stops.",
    keys: &[
        may(
            "delay",
            "How long it still takes new connections after /readyz says no, so that load balancers notice. Default: 5s.",
            DURATION,
        ),
        may(
            "deadline",
            "How long requests that are under way may take after that. Default: 20s.",
            DURATION,
        ),
    ],
};
