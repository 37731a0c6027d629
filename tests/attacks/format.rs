//! J: how a token is written. One serialisation, one reading, nothing packed.

use assay::model::Reason as R;
use serde_json::json;

use crate::{
    jose::parts,
    rig::{Bad, Rig, bad},
    support::tokens::{encode, raw_signed},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn j_19_and_j_20_there_is_one_serialisation() {
    let rig = Rig::start().await;
    let good = rig.broker.token("wl:ok");
    let [header, payload, signature] = parts(&good);
    let flat = json!({ "protected": header, "payload": payload, "signature": signature });
    let both = json!([{ "protected": header, "signature": signature }, { "protected": header, "signature": "AAAA" }]);
    let mut rows = vec![
        bad("flattened", flat.to_string(), R::TokenMalformed),
        bad(
            "general",
            json!({ "payload": payload, "signatures": both }).to_string(),
            R::TokenMalformed,
        ),
        bad(
            "a comment around it",
            format!("{{\"x\":\"{good}\"}}"),
            R::TokenMalformed,
        ),
    ];
    for (id, token) in [
        ("two parts", format!("{header}.{payload}")),
        ("four parts", format!("{good}.{signature}")),
        ("a dot before", format!(".{good}")),
        ("a dot after", format!("{good}.")),
        ("a space before", format!(" {good}")),
        ("a line break after", format!("{good}\n")),
        (
            "a break inside",
            format!("{header}.{payload}\r\n.{signature}"),
        ),
        ("padding", format!("{header}.{payload}.{signature}==")),
        (
            "the other alphabet",
            format!("{header}.{payload}.+/{}", &signature[2..]),
        ),
        ("no header", format!(".{payload}.{signature}")),
        ("no payload", format!("{header}..{signature}")),
        ("bearer", format!("Bearer {good}")),
        ("a homoglyph", good.replacen('.', "\u{2024}", 1)),
        ("percent", good.replacen('.', "%2e", 1)),
    ] {
        rows.push(bad(id, token, R::TokenMalformed));
    }
    rig.refuses_all(rows).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn j_23_and_j_25_nothing_is_decrypted_or_unpacked() {
    let rig = Rig::start().await;
    let header =
        |more: &str| encode(format!(r#"{{"alg":"dir","enc":"A256GCM"{more}}}"#).as_bytes());
    let (plain, zip) = (header(""), header(r#","zip":"DEF""#));
    let body = encode(&[0; 8192]);
    let mut rows = Vec::new();
    for (id, token) in [
        (
            "zip",
            format!("{zip}..{}.{body}.{}", encode(&[1; 12]), encode(&[2; 16])),
        ),
        (
            "empty key",
            format!("{plain}..{}.{body}.{}", encode(&[1; 12]), encode(&[2; 16])),
        ),
        ("no tag", format!("{plain}..{}.{body}.", encode(&[1; 12]))),
        (
            "long vector",
            format!("{plain}..{}.{body}.{}", encode(&[1; 64]), encode(&[2; 16])),
        ),
        ("nothing at all", "....".to_owned()),
    ] {
        rows.push(bad(id, token, R::TokenMalformed));
    }
    rows.push(bad(
        "three parts",
        format!("{zip}.{}.AAAA", encode(b"{}")),
        R::AlgorithmNotAllowed,
    ));
    rig.refuses_all(rows).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn j_33_and_j_34_a_payload_can_be_read_in_one_way() {
    let rig = Rig::start().await;
    let key = rig.broker.issuer.key();
    let header = br#"{"alg":"ES256","kid":"key-1"}"#;
    let good = rig.broker.claims("wl:ok").to_string();
    let with = |more: &str| format!("{{{more},{}", &good[1..]);
    let mut rows: Vec<Bad> = Vec::new();
    for more in [
        r#""sub":"wl:ok""#,
        r#""sub":"wl:other""#,
        r#""aud":"https://other.test""#,
        r#""iss":"https://other.test""#,
        r#""exp":99999999999"#,
        r#""\u0073ub":"wl:other""#,
        r#""repository":"good","repository":"bad""#,
        r#""x":[{"y":1,"y":2}]"#,
    ] {
        rows.push(bad(
            more,
            raw_signed(header, with(more).as_bytes(), &key),
            R::MemberDuplicated,
        ));
    }
    let mut bytes = with(r#""x":"?""#).into_bytes();
    let at = bytes.iter().position(|b| *b == b'?').expect("the mark");
    bytes[at] = 0xff;
    rows.push(bad(
        "no UTF-8",
        raw_signed(header, &bytes, &key),
        R::TokenMalformed,
    ));
    for (id, text) in [
        ("a byte order mark", format!("\u{feff}{good}")),
        ("two documents", format!("{good}{good}")),
        ("a trailing comma", good.replacen('}', ",}", 1)),
        ("a comment", format!("/**/{good}")),
        ("a list", format!("[{good}]")),
        ("a lone surrogate", with(r#""x":"\ud800""#)),
        ("a raw control character", with("\"x\":\"a\nb\"")),
        ("infinity", with(r#""x":1e999"#)),
        ("null", "null".to_owned()),
    ] {
        rows.push(bad(
            id,
            raw_signed(header, text.as_bytes(), &key),
            R::TokenMalformed,
        ));
    }
    rig.refuses_all(rows).await;
}
