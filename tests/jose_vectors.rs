//! Published vectors: the examples of RFC 7515, 7520, 7638 and 8037, and the
//! raw ECDSA and RSA signatures of Wycheproof, all through the key sets and
//! the verification that tokens go through. No verdict may differ, except
//! where this file says that Assay is stricter.

#![expect(
    clippy::unwrap_used,
    reason = "a vector that cannot be read should stop its test"
)]

use std::sync::Arc;

use assay::{
    jose::{Algorithm, Compact, JoseError, Jws, KeySet, KeyUse, Lookup, VerifyKey, thumbprint},
    model::{Json, Reason},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use wycheproof::TestResult;

/// RFC 7515 A.1 to A.3: one payload, `{"iss":"joe",...}` with line breaks in it.
const JOE: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

/// RFC 7515 A.2.
const A2_KEY: &str = concat!(
    r#"{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddx"#,
    "HmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47s",
    "oMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdV",
    "MTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2",
    r#"PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}"#,
);
const A2_SIGNATURE: &str = concat!(
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W",
    "2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkS",
    "jtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnv",
    "Wh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
);

/// RFC 7515 A.3.
const A3_KEY: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
const A3_SIGNATURE: &str =
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

/// RFC 7515 A.4.
const A4_KEY: &str = r#"{"kty":"EC","crv":"P-521","x":"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk","y":"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2"}"#;
const A4_TOKEN: &str = concat!(
    "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPW",
    "ROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKv",
    "U8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn",
);

/// RFC 7520 4: one payload, a sentence.
const FRODO: &str = concat!(
    "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAg",
    "b250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dp",
    "bmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4",
);
/// RFC 7520 3.3 (4.1 and 4.2 sign with it).
const BILBO_RSA: &str = concat!(
    r#"{"kty":"RSA","kid":"bilbo.baggins@hobbiton.example","use":"sig","n":"n4EPtAOCc9AlkeQHPzHS"#,
    "tgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2w",
    "qVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1",
    "FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2",
    r#"BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw","e":"AQAB"}"#,
);
/// RFC 7520 3.1 (4.3 signs with it).
const BILBO_EC: &str = r#"{"kty":"EC","kid":"bilbo.baggins@hobbiton.example","use":"sig","crv":"P-521","x":"AHKZLLOsCOzz5cY97ewNUajB957y-C-U88c3v13nmGZx6sYl_oJXu9A5RkTKqjqvjyekWF-7ytDyRXYgCF5cj0Kt","y":"AdymlHvOiLxXkEhayXQnNCvDX4h9htZaCJN34kfmC6pV5OhQHiraVySsUdaQkAgDPrwQrJmbnX9cwlGfP-HqHZR1"}"#;

fn key_of(jwk: &str) -> Arc<VerifyKey> {
    let set = format!(r#"{{"keys":[{jwk}]}}"#);
    let (set, skipped) = KeySet::parse(set.as_bytes(), KeyUse::Signature, Algorithm::ALL).unwrap();
    match set.lookup(None) {
        Lookup::Found(key) => Arc::clone(key),
        other => panic!("{other:?} {skipped:?}"),
    }
}

fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Verifies the token, and refuses it with one bit of its signature changed.
fn check(token: &str, jwk: &str, algorithm: Algorithm) {
    let key = key_of(jwk);
    let parsed = Jws::parse(token, 8192).unwrap();
    assert_eq!(parsed.header().algorithm, algorithm);
    assert_eq!(parsed.check(&key), Ok(parsed.digest()), "{token}");
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    bytes[40] ^= 1;
    let changed = format!("{signed}.{}", b64(&bytes));
    let changed = Jws::parse(&changed, 8192).unwrap();
    assert_eq!(changed.check(&key), Err(JoseError::Signature), "{token}");
}

#[test]
fn rfc_7515_a1_hs256_is_refused() {
    let token = format!(
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{JOE}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    );
    let error = Compact::parse(&token, 8192).err().unwrap();
    assert_eq!(error, JoseError::AlgorithmRefused("HS256".into()));
    assert_eq!(error.reason(), Reason::AlgorithmNotAllowed);
}

#[test]
fn rfc_7515_a2_and_a3_verify_as_tokens() {
    for (header, signature, jwk, algorithm) in [
        (r#"{"alg":"RS256"}"#, A2_SIGNATURE, A2_KEY, Algorithm::Rs256),
        (r#"{"alg":"ES256"}"#, A3_SIGNATURE, A3_KEY, Algorithm::Es256),
    ] {
        let token = format!("{}.{JOE}.{signature}", b64(header.as_bytes()));
        check(&token, jwk, algorithm);
        let token = Compact::parse(&token, 8192).unwrap();
        let verified = token.verify(&key_of(jwk)).map_err(|(_, e)| e).ok().unwrap();
        assert_eq!(
            verified.claims().get("exp"),
            Some(&Json::Integer(1_300_819_380))
        );
    }
}

#[test]
fn rfc_7515_a4_verifies_and_is_no_token() {
    check(A4_TOKEN, A4_KEY, Algorithm::Es512);
    // The payload is the word "Payload", which is no claims.
    let error = Compact::parse(A4_TOKEN, 8192).err().unwrap();
    assert_eq!(error.reason(), Reason::TokenMalformed);
}

#[test]
fn rfc_7515_a5_unsecured_is_refused() {
    let token = format!("eyJhbGciOiJub25lIn0.{JOE}.");
    let error = Compact::parse(&token, 8192).err().unwrap();
    assert_eq!(error.reason(), Reason::AlgorithmNotAllowed);
}

#[test]
fn rfc_7515_a6_json_serialisation_is_refused() {
    let token = format!(
        r#"{{"payload":"{JOE}","protected":"eyJhbGciOiJFUzI1NiJ9","signature":"{A3_SIGNATURE}"}}"#
    );
    assert_eq!(
        Compact::parse(&token, 8192).err(),
        Some(JoseError::NotCompact)
    );
}

#[test]
fn rfc_7520_4_1_to_4_3_verify() {
    let rs256 = concat!(
        "MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83",
        "xuglII7PNDi84wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJ",
        "Dt5aAE6x8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12",
        "podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg",
    );
    let ps384 = concat!(
        "cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6",
        "O8TTB5dDDItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqi",
        "VJRmBqrYRXe8P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_",
        "jLAeQTlqRHtfa64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw",
    );
    let es512 = concat!(
        "AE_R_YZCChjn4791jSQCrdPZCNYqHXCTZH0-JZGYNlaAjP2kqaluUIIUnC9qvbu9Plon7KRTzoNEuT4Va2cmL1eJ",
        "AQy3mtPBu_u_sDDyYjnAMDxXPn7XrT0lw-kvAD890jl8e2puQens_IEKBpHABlsbEPX6sFY8OcGDqoRuBomu9xQ2",
    );
    for (algorithm, signature, jwk) in [
        (Algorithm::Rs256, rs256, BILBO_RSA),
        (Algorithm::Ps384, ps384, BILBO_RSA),
        (Algorithm::Es512, es512, BILBO_EC),
    ] {
        let header = format!(r#"{{"alg":"{algorithm}","kid":"bilbo.baggins@hobbiton.example"}}"#);
        let token = format!("{}.{FRODO}.{signature}", b64(header.as_bytes()));
        check(&token, jwk, algorithm);
        // RFC 7520 4.5: content detached from the token is not read.
        let detached = token.replace(FRODO, "");
        assert!(Jws::parse(&detached, 8192).is_err());
    }
}

#[test]
fn rfc_7638_3_1_thumbprint() {
    let jwk = concat!(
        r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7"#,
        "aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0",
        "h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD0",
        "8qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJ",
        r#"zKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#,
    );
    let parsed = Json::parse(jwk.as_bytes()).unwrap();
    assert_eq!(
        thumbprint(&parsed).as_deref(),
        Some("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs")
    );
    assert_eq!(key_of(jwk).algorithms(), [Algorithm::Rs256]);
}

#[test]
fn rfc_8037_a3_and_a4() {
    let jwk = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let token = concat!(
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.",
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
    );
    check(token, jwk, Algorithm::EdDsa);
    assert_eq!(
        thumbprint(&Json::parse(jwk.as_bytes()).unwrap()).as_deref(),
        Some("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k")
    );
}

/// How many vectors of each verdict were judged.
#[derive(Debug, Default, PartialEq, Eq)]
struct Count {
    accepted: u32,
    refused: u32,
    /// `acceptable`, and refused here.
    stricter: u32,
}

impl Count {
    fn judge(&mut self, what: &str, expected: TestResult, ours: bool) {
        match (expected, ours) {
            (TestResult::Valid, true) => self.accepted += 1,
            (TestResult::Invalid, false) => self.refused += 1,
            (TestResult::Acceptable, false) => self.stricter += 1,
            _ => panic!("{what}: expected {expected:?}, ours is {ours}"),
        }
    }
}

#[test]
fn wycheproof_ecdsa_in_the_form_of_jose() {
    use wycheproof::ecdsa::{TestName, TestSet};
    let mut count = Count::default();
    for (name, curve, algorithm) in [
        (
            TestName::EcdsaSecp256r1Sha256P1363,
            "P-256",
            Algorithm::Es256,
        ),
        (
            TestName::EcdsaSecp384r1Sha384P1363,
            "P-384",
            Algorithm::Es384,
        ),
        (
            TestName::EcdsaSecp521r1Sha512P1363,
            "P-521",
            Algorithm::Es512,
        ),
    ] {
        for group in TestSet::load(name).unwrap().test_groups {
            let point: &[u8] = group.key.key.as_ref();
            let (x, y) = point[1..].split_at(point.len() / 2);
            let jwk = format!(
                r#"{{"kty":"EC","crv":"{curve}","x":"{}","y":"{}"}}"#,
                b64(x),
                b64(y)
            );
            let key = key_of(&jwk);
            for test in group.tests {
                let ours = key.verify(algorithm, test.msg.as_ref(), test.sig.as_ref());
                let what = format!("{curve} {} {}", test.tc_id, test.comment);
                count.judge(&what, test.result, ours.is_ok());
            }
        }
    }
    assert!(count.accepted > 500 && count.refused > 250, "{count:?}");
    assert_eq!(count.stricter, 0);
}

/// A key from Wycheproof's numbers, which have a zero byte in front.
fn rsa_jwk(n: &[u8], e: &[u8]) -> String {
    fn plain(number: &[u8]) -> &[u8] {
        let start = number.iter().position(|b| *b != 0).unwrap_or(0);
        &number[start..]
    }
    format!(
        r#"{{"kty":"RSA","n":"{}","e":"{}"}}"#,
        b64(plain(n)),
        b64(plain(e))
    )
}

#[test]
fn wycheproof_rsa_pkcs1() {
    use wycheproof::rsa_pkcs1_verify::{TestName, TestSet};
    let mut count = Count::default();
    let mut unusable = Vec::new();
    for (name, algorithm) in [
        (TestName::Rsa2048Sha256, Algorithm::Rs256),
        (TestName::Rsa3072Sha256, Algorithm::Rs256),
        (TestName::Rsa4096Sha256, Algorithm::Rs256),
        (TestName::Rsa8192Sha256, Algorithm::Rs256),
        (TestName::Rsa2048Sha384, Algorithm::Rs384),
        (TestName::Rsa3072Sha384, Algorithm::Rs384),
        (TestName::Rsa4096Sha384, Algorithm::Rs384),
        (TestName::Rsa8192Sha384, Algorithm::Rs384),
        (TestName::Rsa2048Sha512, Algorithm::Rs512),
        (TestName::Rsa3072Sha512, Algorithm::Rs512),
        (TestName::Rsa4096Sha512, Algorithm::Rs512),
        (TestName::Rsa8192Sha512, Algorithm::Rs512),
    ] {
        for group in TestSet::load(name).unwrap().test_groups {
            let jwk = rsa_jwk(&group.key.n, &group.key.e);
            let set = format!(r#"{{"keys":[{jwk}]}}"#);
            let (set, skipped) =
                KeySet::parse(set.as_bytes(), KeyUse::Signature, Algorithm::ALL).unwrap();
            let Lookup::Found(key) = set.lookup(None) else {
                unusable.push((group.key_size, skipped[0].why));
                continue;
            };
            for test in group.tests {
                let ours = key.verify(algorithm, test.msg.as_ref(), test.sig.as_ref());
                let what = format!("{name:?} {} {}", test.tc_id, test.comment);
                count.judge(&what, test.result, ours.is_ok());
            }
        }
    }
    assert!(count.accepted > 80 && count.refused > 2000, "{count:?}");
    // The only difference of verdict: a DigestInfo without its NULL, which
    // RFC 8017 lets a verifier refuse.
    assert_eq!(count.stricter, 12, "{count:?}");
    assert_eq!(unusable, []);
}

#[test]
fn wycheproof_rsa_pss() {
    use wycheproof::rsa_pss_verify::{TestName, TestSet};
    let mut count = Count::default();
    for (name, algorithm) in [
        (TestName::RsaPss2048Sha256Mgf1SaltLen32, Algorithm::Ps256),
        (TestName::RsaPss3072Sha256Mgf1SaltLen32, Algorithm::Ps256),
        (TestName::RsaPss4096Sha256Mgf1SaltLen32, Algorithm::Ps256),
        (TestName::RsaPss2048Sha384Mgf1SaltLen48, Algorithm::Ps384),
        (TestName::RsaPss4096Sha384Mgf1SaltLen48, Algorithm::Ps384),
        (TestName::RsaPss4096Sha512Mgf1SaltLen64, Algorithm::Ps512),
    ] {
        for group in TestSet::load(name).unwrap().test_groups {
            let key = key_of(&rsa_jwk(&group.key.n, &group.key.e));
            for test in group.tests {
                let ours = key.verify(algorithm, test.msg.as_ref(), test.sig.as_ref());
                let what = format!("{name:?} {} {}", test.tc_id, test.comment);
                count.judge(&what, test.result, ours.is_ok());
            }
        }
    }
    assert!(count.accepted > 300 && count.refused > 150, "{count:?}");
    assert_eq!(count.stricter, 0, "{count:?}");
}

#[test]
fn a_pss_salt_has_the_length_of_the_digest() {
    use wycheproof::rsa_pss_verify::{TestName, TestSet};
    // RFC 7518 3.5 fixes it; these signatures are valid in themselves.
    for (name, algorithm) in [
        (TestName::RsaPss2048Sha256Mgf1SaltLen0, Algorithm::Ps256),
        (TestName::RsaPss4096Sha512Mgf1SaltLen32, Algorithm::Ps512),
    ] {
        let mut seen = 0;
        for group in TestSet::load(name).unwrap().test_groups {
            let key = key_of(&rsa_jwk(&group.key.n, &group.key.e));
            // Their invalid ones include a salt of the right length for us.
            for test in group.tests.iter().filter(|t| t.result == TestResult::Valid) {
                seen += 1;
                let ours = key.verify(algorithm, test.msg.as_ref(), test.sig.as_ref());
                assert_eq!(ours, Err(JoseError::Signature), "{name:?} {}", test.tc_id);
            }
        }
        assert!(seen > 50, "{name:?} {seen}");
    }
}
