//! J: whose key made the signature, and whether it is one.

use assay::model::Reason as R;
use aws_lc_rs::digest;
use serde_json::json;

use crate::{
    jose::{parts, two_keys},
    rig::{Rig, bad},
    support::{
        broker::{Files, RULES},
        fake_issuer::{Answer, FakeIssuer, JWKS},
        tokens::{TestKey, encode, jwks, raw},
    },
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn j_15_and_j_16_a_kid_never_crosses_issuers() {
    let rig = Rig::start().await;
    let before = rig.broker.issuer.hits(JWKS);
    let (theirs, posing) = (TestKey::es256("b-ec"), TestKey::es256("key-1"));
    let mut rows = vec![bad("their kid", rig.good().sign(&theirs), R::KeyUnknown)];
    for n in 0..20 {
        rows.push(bad(
            format!("our kid {n}"),
            rig.good().sign(&posing),
            R::SignatureInvalid,
        ));
    }
    rig.refuses_all(rows).await;
    // All of them together caused one look at the issuer's keys.
    assert_eq!(rig.broker.issuer.hits(JWKS) - before, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn j_17_without_a_kid_there_is_one_key_or_no_answer() {
    let (rig, ec, _) = two_keys().await;
    let token = rig.good().without_header("kid").sign(&ec);
    rig.table(
        |rig| ec.token(&rig.broker.claims("wl:ok")),
        vec![bad("two keys", token, R::KeyIdMissing)],
    )
    .await;
    let one = Rig::start().await;
    let token = one
        .good()
        .without_header("kid")
        .sign(&one.broker.issuer.key());
    one.grants("one key", &token).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn j_27_and_j_28_a_signature_has_one_form() {
    let (rig, ec, rsa) = two_keys().await;
    let mut rows = Vec::new();
    let good = rig.good().sign(&ec);
    let [header, payload, _] = parts(&good);
    let signed = format!("{header}.{payload}");
    let ecdsa = ec.sign(signed.as_bytes());
    let mut forms: Vec<(&str, Vec<u8>)> = vec![
        ("zeros", vec![0; 64]),
        ("r = 0", [&[0; 32], &ecdsa[32..]].concat()),
        ("s = 0", [&ecdsa[..32], &[0; 32]].concat()),
        ("all ones", vec![0xff; 64]),
        ("short", ecdsa[..63].to_vec()),
        ("long", [&ecdsa[..], &[0]].concat()),
        ("swapped", [&ecdsa[32..], &ecdsa[..32]].concat()),
    ];
    // What another library writes: the same numbers in DER.
    let mut der = vec![0x30, 68, 0x02, 32];
    der.extend_from_slice(&ecdsa[..32]);
    der.extend_from_slice(&[0x02, 32]);
    der.extend_from_slice(&ecdsa[32..]);
    forms.push(("DER", der));
    for (id, form) in forms {
        rows.push(bad(
            format!("EC {id}"),
            format!("{signed}.{}", encode(&form)),
            R::SignatureInvalid,
        ));
    }
    let good = rig.good().sign(&rsa);
    let [header, payload, _] = parts(&good);
    let signed = format!("{header}.{payload}");
    let made = rsa.sign(signed.as_bytes());
    let mut one = vec![0; 256];
    one[255] = 1;
    for (id, form) in [
        ("one", one),
        ("larger than n", vec![0xff; 256]),
        ("a zero before", [&[0], &made[..]].concat()),
        ("cut at the front", made[1..].to_vec()),
        ("a byte after", [&made[..], &[0]].concat()),
        ("of another message", rsa.sign(b"other")),
    ] {
        rows.push(bad(
            format!("RSA {id}"),
            format!("{signed}.{}", encode(&form)),
            R::SignatureInvalid,
        ));
    }
    rig.table(|rig| ec.token(&rig.broker.claims("wl:ok")), rows)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn j_31_a_key_that_anybody_can_sign_for_is_no_key() {
    let issuer = FakeIssuer::start().await;
    // With e = 1 the padded message is its own signature.
    let mut weak = TestKey::rs256("one").jwk();
    weak["e"] = json!("AQ");
    issuer.answer(JWKS, Answer::json(jwks(&[issuer.key().jwk(), weak])));
    let files = Files::new();
    files.oidc("issuer-a", &issuer, "", RULES);
    let rig = Rig::on(files, issuer).await;
    let header = br#"{"alg":"RS256","kid":"one"}"#;
    let claims = rig.broker.claims("wl:ok").to_string();
    let signed = format!("{}.{}", encode(header), encode(claims.as_bytes()));
    let info = [
        0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01,
        0x05, 0x00, 0x04, 0x20,
    ];
    let hash = digest::digest(&digest::SHA256, signed.as_bytes());
    let mut padded = vec![0xff; 256];
    padded[0] = 0;
    padded[1] = 1;
    let tail = [&[0], &info[..], hash.as_ref()].concat();
    padded[256 - tail.len()..].copy_from_slice(&tail);
    let token = raw(header, claims.as_bytes(), &padded);
    rig.refuses_all(vec![bad("e = 1", token, R::KeyUnknown)])
        .await;
}
