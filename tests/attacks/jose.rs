//! J: what a token says of itself. Algorithm, header, key id.

use std::sync::Arc;

use assay::model::Reason as R;
use aws_lc_rs::{hmac, rand, rsa, signature};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    rig::{Bad, Rig, bad},
    support::{
        broker::{Files, RULES},
        fake_issuer::{Answer, FakeIssuer, JWKS},
        tokens::{TestKey, encode, jwks, raw_signed},
    },
};

/// An issuer with two keys, `ec` and `rsa`; the JWK of the latter has no `alg`.
pub(crate) async fn two_keys() -> (Rig, Arc<TestKey>, Arc<TestKey>) {
    let issuer = FakeIssuer::start().await;
    let (ec, rsa) = (
        Arc::new(TestKey::es256("ec")),
        Arc::new(TestKey::rs256("rsa")),
    );
    issuer.publish(&[Arc::clone(&ec), Arc::clone(&rsa)]);
    let mut open = rsa.jwk();
    open.as_object_mut().expect("a JWK").remove("alg");
    issuer.answer(JWKS, Answer::json(jwks(&[ec.jwk(), open])));
    let files = Files::new();
    files.oidc("issuer-a", &issuer, "", RULES);
    (Rig::on(files, issuer).await, ec, rsa)
}

pub(crate) fn parts(token: &str) -> [String; 3] {
    let parts: Vec<_> = token.split('.').map(str::to_owned).collect();
    parts.try_into().expect("three parts")
}

fn hs(name: &str, algorithm: hmac::Algorithm, kid: &str, claims: &Value, secret: &[u8]) -> String {
    let header = json!({ "alg": name, "kid": kid }).to_string();
    let signed = format!(
        "{}.{}",
        encode(header.as_bytes()),
        encode(claims.to_string().as_bytes())
    );
    let tag = hmac::sign(&hmac::Key::new(algorithm, secret), signed.as_bytes());
    format!("{signed}.{}", encode(tag.as_ref()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn j_01_and_j_02_no_spelling_of_none_is_an_algorithm() {
    let rig = Rig::start().await;
    let good = rig.broker.token("wl:ok");
    let [_, payload, signature] = parts(&good);
    let mut rows = Vec::new();
    for name in ["none", "None", "NONE", "nOnE", "none ", "", "null"] {
        let header = encode(
            json!({ "alg": name, "kid": "key-1" })
                .to_string()
                .as_bytes(),
        );
        rows.push(bad(
            format!("{name:?} unsigned"),
            format!("{header}.{payload}."),
            R::AlgorithmNotAllowed,
        ));
        rows.push(bad(
            format!("{name:?} signed"),
            format!("{header}.{payload}.{signature}"),
            R::AlgorithmNotAllowed,
        ));
    }
    let [header, ..] = parts(&good);
    rows.push(bad(
        "signature stripped",
        format!("{header}.{payload}."),
        R::TokenMalformed,
    ));
    rig.refuses_all(rows).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn j_03_and_j_04_a_public_key_is_no_shared_secret() {
    let (rig, ec, rsa) = two_keys().await;
    let pair = rsa::KeyPair::from_pkcs8(&rsa.pkcs8()).expect("a key");
    let der = {
        use signature::KeyPair as _;
        pair.public_key().as_ref().to_vec()
    };
    let pem = format!(
        "-----BEGIN RSA PUBLIC KEY-----\n{}\n-----END RSA PUBLIC KEY-----\n",
        STANDARD.encode(&der)
    );
    let n = rsa.jwk()["n"].as_str().expect("a modulus").to_owned();
    let x = ec.jwk()["x"].as_str().expect("a point").to_owned();
    let secrets: &[(&str, &[u8], &str)] = &[
        ("PEM", pem.as_bytes(), "rsa"),
        (
            "PEM without its last line break",
            pem.trim_end().as_bytes(),
            "rsa",
        ),
        ("PEM after a space", &[b" ", pem.as_bytes()].concat(), "rsa"),
        ("DER", &der, "rsa"),
        ("n", n.as_bytes(), "rsa"),
        ("the JWK", rsa.jwk().to_string().into_bytes().leak(), "rsa"),
        ("x of a point", x.as_bytes(), "ec"),
        ("nothing", b"", "ec"),
    ];
    let claims = rig.broker.claims("wl:ok");
    let mut rows = Vec::new();
    for (name, secret, kid) in secrets {
        for (alg, algorithm) in [
            ("HS256", hmac::HMAC_SHA256),
            ("HS384", hmac::HMAC_SHA384),
            ("HS512", hmac::HMAC_SHA512),
        ] {
            let token = hs(alg, algorithm, kid, &claims, secret);
            rows.push(bad(
                format!("{alg} with {name}"),
                token,
                R::AlgorithmNotAllowed,
            ));
        }
    }
    rig.table(|rig| rsa.token(&rig.broker.claims("wl:ok")), rows)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn j_05_and_j_06_the_algorithm_is_the_keys_and_the_issuers() {
    let (rig, ec, rsa) = two_keys().await;
    // A valid PSS signature by a key whose JWK names no algorithm: the trust
    // domain allows RS256 only.
    let pair = signature::RsaKeyPair::from_pkcs8(&rsa.pkcs8()).expect("a key");
    let header = encode(br#"{"alg":"PS256","kid":"rsa"}"#);
    let signed = format!(
        "{header}.{}",
        encode(rig.broker.claims("wl:ok").to_string().as_bytes())
    );
    let mut made = vec![0; pair.public_modulus_len()];
    let random = rand::SystemRandom::new();
    pair.sign(
        &signature::RSA_PSS_SHA256,
        &random,
        signed.as_bytes(),
        &mut made,
    )
    .expect("signed");
    let mut rows = vec![bad(
        "PS256",
        format!("{signed}.{}", encode(&made)),
        R::AlgorithmNotAllowed,
    )];
    for (alg, key, reason) in [
        ("RS256", &ec, R::AlgorithmNotAllowed),
        ("ES256", &rsa, R::AlgorithmNotAllowed),
        ("RS512", &rsa, R::AlgorithmNotAllowed),
        ("EdDSA", &ec, R::AlgorithmNotAllowed),
        ("ES384", &ec, R::AlgorithmNotAllowed),
        ("ES256K", &ec, R::AlgorithmNotAllowed),
        ("es256", &ec, R::AlgorithmNotAllowed),
    ] {
        rows.push(bad(
            format!("{alg} by {}", key.kid()),
            rig.good().header("alg", alg).sign(key),
            reason,
        ));
    }
    for alg in [json!(null), json!(["ES256"]), json!({}), json!(256)] {
        rows.push(bad(
            format!("alg {alg}"),
            rig.good().header("alg", alg).sign(&ec),
            R::AlgorithmNotAllowed,
        ));
    }
    rows.push(bad(
        "no alg",
        rig.good().without_header("alg").sign(&ec),
        R::AlgorithmNotAllowed,
    ));
    rig.table(|rig| rsa.token(&rig.broker.claims("wl:ok")), rows)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn j_07_and_j_08_a_token_brings_no_key_and_no_address() {
    let rig = Rig::start().await;
    let trap = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    trap.set_nonblocking(true).expect("it does not wait");
    let trap_at = trap.local_addr().expect("an address");
    let mine = TestKey::es256("key-1");
    let mut rows: Vec<Bad> = Vec::new();
    for url in [
        format!("http://{trap_at}/jwks"),
        format!("https://{trap_at}/jwks"),
        rig.broker.issuer.url("/other"),
    ] {
        for name in ["jku", "x5u"] {
            let token = rig.good().header(name, url.as_str()).sign(&mine);
            rows.push(bad(format!("{name} {url}"), token, R::HeaderNotAllowed));
        }
    }
    for (name, value) in [
        ("jwk", mine.jwk()),
        ("x5c", json!(["MIIB"])),
        ("jku", json!(null)),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("enc", json!("A256GCM")),
        ("epk", mine.jwk()),
        ("p2c", json!(2_000_000_000)),
        ("cty", json!("JWT")),
    ] {
        rows.push(bad(
            name,
            rig.good().header(name, value).sign(&mine),
            R::HeaderNotAllowed,
        ));
    }
    rig.refuses_all(rows).await;
    assert_eq!(rig.broker.issuer.hits("/other"), 0);
    let knocked = trap.accept().err().map(|error| error.kind());
    assert_eq!(
        knocked,
        Some(std::io::ErrorKind::WouldBlock),
        "a key was fetched from where a token said"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn j_09_and_j_10_a_kid_is_only_ever_compared() {
    let rig = Rig::start().await;
    let key = rig.broker.issuer.key();
    let mut rows = Vec::new();
    for kid in [
        "../../../../dev/null",
        "' OR 1=1--",
        "key-1\u{202e}",
        "KEY-1",
        "key-1 ",
        "key-10",
    ] {
        rows.push(bad(
            kid,
            rig.good().header("kid", kid).sign(&key),
            R::KeyUnknown,
        ));
    }
    for kid in [
        json!(""),
        json!(1),
        json!({}),
        json!(["key-1"]),
        json!(null),
        json!("key-1\0"),
        json!("k".repeat(600)),
    ] {
        let id: String = kid.to_string().chars().take(20).collect();
        rows.push(bad(
            id,
            rig.good().header("kid", kid).sign(&key),
            R::KeyIdMissing,
        ));
    }
    rows.push(bad(
        "long",
        rig.good().header("kid", "k".repeat(8000)).sign(&key),
        R::TokenMalformed,
    ));
    rig.refuses_all(rows).await;

    // What is shown of it is escaped and short.
    let odd = format!("\u{202e}{}", "k".repeat(400));
    let token = rig.good().header("kid", odd).sign(&key);
    let record = rig.refuses("shown", &token, R::KeyUnknown).await;
    let shown = record["compared"]["found"]
        .as_str()
        .expect("it is recorded");
    assert!(
        shown.starts_with("\\u{202e}kkk") && shown.len() < 250,
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn j_11_and_j_13_criticality_and_duplicates_in_the_header() {
    let rig = Rig::start().await;
    let key = rig.broker.issuer.key();
    let mut rows = Vec::new();
    for crit in [
        json!([]),
        json!("b64"),
        json!(["alg"]),
        json!(["x", "x"]),
        json!(["x"]),
        json!(null),
        json!(5),
    ] {
        let id = format!("crit {crit}");
        rows.push(bad(
            id,
            rig.good().header("crit", crit).sign(&key),
            R::HeaderNotAllowed,
        ));
    }
    let claims = rig.broker.claims("wl:ok").to_string();
    for header in [
        r#"{"alg":"ES256","alg":"none","kid":"key-1"}"#,
        r#"{"alg":"none","alg":"ES256","kid":"key-1"}"#,
        r#"{"alg":"ES256","kid":"key-1","kid":"key-2"}"#,
        r#"{"alg":"ES256","kid":"key-1","\u006bid":"key-1"}"#,
        r#"{"alg":"ES256","kid":"key-1","x":{"y":1,"y":2}}"#,
    ] {
        let token = raw_signed(header.as_bytes(), claims.as_bytes(), &key);
        rows.push(bad(header, token, R::MemberDuplicated));
    }
    rig.refuses_all(rows).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn j_21_and_j_22_a_type_says_what_a_token_is_for() {
    let rig = Rig::start().await;
    let key = rig.broker.issuer.key();
    let mut rows = Vec::new();
    for typ in [
        "at+jwt",
        "application/at+jwt",
        "dpop+jwt",
        "secevent+jwt",
        "logout+jwt",
        "wit+jwt",
        "JWT ",
        "kb+jwt",
    ] {
        rows.push(bad(
            typ,
            rig.good().header("typ", typ).sign(&key),
            R::TypeNotAllowed,
        ));
    }
    for typ in [json!(1), json!(["JWT"]), json!(""), json!(null)] {
        rows.push(bad(
            typ.to_string(),
            rig.good().header("typ", typ).sign(&key),
            R::TypeNotAllowed,
        ));
    }
    rig.refuses_all(rows).await;
    for typ in ["jwt", "application/JWT"] {
        rig.grants(typ, &rig.good().header("typ", typ).sign(&key))
            .await;
    }
    rig.grants("none", &rig.good().without_header("typ").sign(&key))
        .await;
}
