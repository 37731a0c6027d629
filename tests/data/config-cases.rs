/// One slip in a file of `config-good`.
pub struct Case {
    pub file: &'static str,
    pub old: &'static str,
    pub new: &'static str,
    pub line: u32,
    pub column: u32,
    pub code: &'static str,
    /// Part of the message or the help.
    pub says: &'static str,
    /// Whether the schema refuses it too; `None` where the text is not YAML.
    pub schema: Option<bool>,
}

const fn case(
    file: &'static str,
    old: &'static str,
    new: &'static str,
    place: (u32, u32),
    code: &'static str,
    says: &'static str,
    schema: Option<bool>,
) -> Case {
    Case { file, old, new, line: place.0, column: place.1, code, says, schema }
}

const BROKER: &str = "assay.yaml";
const ROLES: &str = "trust-domains/roles.yaml";
const SPIRE: &str = "trust-domains/spire.yaml";
const CLUSTER: &str = "trust-domains/cluster.yaml";
const GITHUB: &str = "trust-domains/github.yaml";
const PIPELINE: &str = "trust-domains/pipeline.yaml";

const YES: Option<bool> = Some(true);
const NO: Option<bool> = Some(false);

pub const CASES: &[Case] = &[
    // The envelope.
    case(BROKER, "assay/v1", "assay/v2", (1, 13), "version", "newer", YES),
    case(SPIRE, "kind: TrustDomain", "kind: Trustdomain", (2, 7), "invalid-value", "did you mean `TrustDomain`?", YES),
    case(SPIRE, "kind: TrustDomain", "kind: Broker", (2, 7), "version", "second broker", YES),
    case(SPIRE, "{ name: spire }", "{ name: spiffe }", (3, 19), "name", "rename the file", NO),
    case(SPIRE, "{ name: spire }", "{ name: Spire }", (3, 19), "invalid-value", "did you mean `spire`?", YES),
    case(SPIRE, "metadata:", "metdata:", (3, 1), "unknown-key", "did you mean `metadata`?", YES),
    // The broker.
    case(BROKER, "  issuer:", "  isuer:", (5, 3), "unknown-key", "did you mean `issuer`?", YES),
    case(BROKER, "https://assay.test", "http://assay.test", (5, 11), "invalid-value", "`https://assay.test`", YES),
    case(BROKER, "https://assay.test", "https://assay.test/?x=1", (5, 11), "invalid-value", "query", YES),
    case(BROKER, "127.0.0.1:8443", "temporal.test:8443", (7, 13), "invalid-value", "IP:PORT", NO),
    case(BROKER, "127.0.0.1:8443", "8443", (7, 13), "invalid-value", "IP:PORT", YES),
    case(BROKER, "127.0.0.1:8443", "127.0.0.1:9090", (7, 13), "conflict", "port 9090", NO),
    case(BROKER, "127.0.0.1:8443", "127.0.0.1:8443\n    mtls: 127.0.0.1:1", (8, 5), "not-supported", "client certificates", YES),
    case(BROKER, "127.0.0.1:8443", "127.0.0.1:8443\n    admin: 0.0.0.0:1", (8, 12), "unsafe", "loopback", NO),
    case(BROKER, "    privateKey: tls.key\n", "", (9, 5), "missing-key", "`privateKey` is missing", YES),
    case(BROKER, "key: env:KEK", "key: c2VjcmV0", (15, 10), "invalid-value", "env:NAME", YES),
    case(BROKER, "selfHosted:", "selfhosted:", (18, 7), "unknown-key", "did you mean `selfHosted`?", YES),
    case(BROKER, "[payments, orders]", "[payments, \"\"]", (21, 32), "invalid-value", "empty", YES),
    case(BROKER, "[payments, orders]", "[payments, Temporal-System]", (21, 32), "invalid-value", "systemRole", NO),
    case(BROKER, "[payments, orders]", "[payments, orders]\n        signing: HS256", (22, 18), "invalid-value", "ES256", YES),
    case(BROKER, "[payments, orders]", "[payments, orders]\n        maxTtl: 15", (22, 17), "invalid-value", "`15s`", YES),
    case(BROKER, "[payments, orders]", "[payments, orders]\n        maxTtl: 48h", (22, 9), "invalid-value", "at most 1d", NO),
    case(BROKER, "[payments, orders]", "[payments, orders]\n  limits: { bodyBytes: 64K }", (22, 24), "wrong-type", "digits only", YES),
    case(BROKER, "[payments, orders]", "[payments, orders]\n  limits: { bodyBytes: 1 }", (22, 24), "invalid-value", "1024 to", YES),
    case(BROKER, "[payments, orders]", "[payments, orders]\n  budgets: { perIdentity: { rate: 1 } }", (22, 29), "missing-key", "`burst` is missing", YES),
    // YAML.
    case(BROKER, "    path: ledger.db", "    path: a\n    path: b", (14, 5), "duplicate-key", "line 13", None),
    case(SPIRE, "path: /ns/payments/sa/worker }\n      grant", "path: &p /ns/payments/sa/worker }\n      grant", (12, 22), "not-supported", "anchors", None),
    case(SPIRE, "{ role: worker, ttl: 15m }", "!grant { role: worker }", (13, 14), "not-supported", "tags", None),
    case(SPIRE, "spec:\n", "spec:\n\tx: y\n", (5, 1), "syntax", "a tab", None),
    case(SPIRE, "{ role: worker, ttl: 15m }", "{ role: worker }}", (13, 30), "syntax", "not YAML", None),
    case(SPIRE, "kind: TrustDomain", "kind: TrustDomain\n---\nx: y", (3, 1), "syntax", "second document", None),
    case(CLUSTER, "\"attrs.node", "|\n            attrs.node", (22, 13), "not-supported", "block text", None),
    // Roles.
    case(ROLES, "target: prod", "target: prd", (5, 11), "invalid-value", "did you mean `prod`?", NO),
    case(ROLES, "orders: read }", "odrers: read }", (8, 38), "invalid-value", "did you mean `orders`?", NO),
    case(ROLES, "orders: read }", "temporal-system: admin }", (8, 38), "invalid-value", "systemRole", NO),
    case(ROLES, "orders: read }", "orders: owner }", (8, 46), "invalid-value", "read, write, worker", YES),
    case(ROLES, "maxTtl: 30m", "maxTTL: 30m", (9, 7), "unknown-key", "did you mean `maxTtl`?", YES),
    case(ROLES, "maxTtl: 30m", "maxTtl: 30", (9, 15), "invalid-value", "a unit is missing", YES),
    case(ROLES, "    reader:", "    Reader:", (10, 5), "invalid-value", "did you mean `reader`?", YES),
    // Sources.
    case(SPIRE, "  spiffe:", "  spife:", (5, 3), "unknown-key", "did you mean `spiffe`?", YES),
    case(SPIRE, "  rules:", "  gitlab: { host: x }\n  rules:", (10, 3), "not-supported", "`oidc` reads", YES),
    case(SPIRE, "  rules:", "  kubernetes: { issuer: https://x.test }\n  rules:", (10, 3), "conflict", "two sources", YES),
    case(SPIRE, "trustDomain: prod.test", "trustDomain: Prod.Test", (6, 18), "invalid-value", "a-z", NO),
    case(SPIRE, "trustDomain: prod.test", "trustdomain: prod.test", (6, 5), "unknown-key", "did you mean `trustDomain`?", YES),
    case(SPIRE, "profile: https_web", "profile: https_spiffe", (9, 16), "invalid-value", "the one word is `https_web`", YES),
    case(SPIRE, "      profile: https_web\n", "", (8, 7), "missing-key", "profile: https_web", NO),
    case(SPIRE, "profile: https_web", "profile: https_web\n      file: x.json", (8, 7), "conflict", "keep one", NO),
    case(SPIRE, "profile: https_web", "profile: https_web\n      workloadApi: unix:///x", (10, 7), "unknown-key", "known keys: endpoint", YES),
    case(CLUSTER, "audience: https://assay.test", "audience: sts.amazonaws.com", (7, 15), "invalid-value", "another service", NO),
    case(CLUSTER, "audience: https://assay.test", "audience: https://kubernetes.default.svc", (7, 15), "invalid-value", "another service", NO),
    case(GITHUB, "    organizationId: \"1234567\"\n", "    organization: acme\n", (6, 5), "missing-key", "`organizationId` is missing", YES),
    case(PIPELINE, "https://ci.test", "https://assay.test", (6, 13), "invalid-value", "its own source", NO),
    case(PIPELINE, "https://ci.test", "https://token.actions.githubusercontent.com", (6, 13), "invalid-value", "githubActions", NO),
    case(PIPELINE, "[RS256]", "[HS256]", (7, 18), "invalid-value", "HS256", YES),
    case(CLUSTER, "requireBoundPod: true", "requireBoundPod: yes", (8, 22), "wrong-type", "write `true`", YES),
    case(CLUSTER, "url: https://cluster.test/jwks", "url: https://cluster.test/jwks\n      file: x.json", (11, 7), "conflict", "keep one", NO),
    case(PIPELINE, "https://ci.test", "https://cluster.test", (5, 3), "conflict", "the trust domain `cluster`", NO),
    case(CLUSTER, "url: https://cluster.test/jwks", "maxStale: 1m", (11, 7), "conflict", "longer than `refresh`", NO),
    case(CLUSTER, "url: https://cluster.test/jwks", "maxStale: 1", (11, 17), "invalid-value", "unit", YES),
    // Rules.
    case(GITHUB, "        ref: refs/heads/main\n", "        branch: main\n", (13, 9), "unknown-key", "did you mean `ref`?", YES),
    case(GITHUB, "        repositoryId: \"987654321\"\n        ref: refs/heads/main", "        ref: refs/heads/main", (10, 7), "policy", "repositoryId", NO),
    case(GITHUB, "events: [push]", "events: [push, pull_request]", (10, 7), "policy", "pull_request", NO),
    case(GITHUB, "events: [push]", "events: []", (14, 17), "invalid-value", "the list is empty", YES),
    case(CLUSTER, "        namespace: payments\n", "        namespace: \"*\"\n", (17, 20), "invalid-value", "compared exactly", NO),
    case(CLUSTER, "        namespace: payments\n        serviceAccount: worker\n", "        namespace: payments\n", (14, 7), "policy", "serviceAccount", NO),
    case(SPIRE, "match: { path: /ns/payments/sa/worker }", "match: {}", (12, 7), "unsafe", "matches everyone", NO),
    case(SPIRE, "match: { path: /ns/payments/sa/worker }", "match: { path: /* }", (12, 22), "invalid-value", "matches everything", NO),
    case(SPIRE, "grant: { role: worker, ttl: 15m }", "grant: { role: wroker, ttl: 15m }", (13, 22), "invalid-value", "did you mean `worker`?", NO),
    case(SPIRE, "ttl: 15m", "ttl: 45m", (11, 7), "policy", "30m", NO),
    case(CLUSTER, "only: [payments]", "only: [billing]", (14, 7), "policy", "billing", NO),
    case(CLUSTER, "mode: enforce", "mode: enforced", (15, 13), "invalid-value", "did you mean `enforce`?", YES),
    case(CLUSTER, "attrs.node.", "attrs.nod.", (21, 16), "invalid-value", "did you mean", NO),
    case(CLUSTER, "attrs.node.startsWith('ip-10-')", "attrs.node.", (21, 16), "invalid-value", "CEL", NO),
    case(CLUSTER, "explain: mismatch", "explain: all", (12, 12), "invalid-value", "one of", YES),
    case(PIPELINE, "        claims:\n          project_id: 42\n          protected: true", "        claims.project: 42", (13, 9), "unknown-key", "write `claims: { project: ... }`", YES),
    // Tests.
    case(SPIRE, "    - allow: { path: /ns/payments/sa/worker }", "    - allow: { path: /ns/payments/sa/nobody }", (15, 7), "test-failed", "allow", NO),
    case(SPIRE, "reason: RULE_NO_MATCH", "reason: RULE_NOMATCH", (18, 15), "invalid-value", "did you mean `RULE_NO_MATCH`?", NO),
    case(SPIRE, "      field: path", "      field: paht", (19, 14), "unknown-key", "did you mean `path`?", NO),
    case(SPIRE, "    - deny: { path: /ns/payments/sa/other }", "    - dney: { path: /ns/payments/sa/other }", (17, 7), "unknown-key", "did you mean `deny`?", YES),
    case(SPIRE, "      role: worker\n", "      role: worker\n      field: path\n", (17, 7), "conflict", "belongs to `deny`", NO),
    case(SPIRE, "      role: worker\n", "      role: worker\n      target: prd\n", (17, 15), "conflict", "on the target `prod`", NO),
    case(GITHUB, "        event: push", "        evnt: push", (20, 9), "unknown-key", "did you mean `event`?", YES),
];
