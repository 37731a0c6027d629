//! Tokens, good and bad, against keys. Names carry the ids of the threat catalogue.

use proptest::prelude::*;

use super::*;
use crate::{
    jose::testing::{TestKey, b64},
    model::Reason,
};

const MAX: usize = 16 * 1024;

/// Parses and verifies, as evidence does.
fn judge(token: &str, key: &VerifyKey) -> Result<Verified, JoseError> {
    Compact::parse(token, MAX)?.verify(key).map_err(|(_, e)| e)
}

fn reason(token: &str, key: &VerifyKey) -> Reason {
    match judge(token, key) {
        Ok(_) => panic!("{token} was accepted"),
        Err(error) => error.reason(),
    }
}

/// Replaces one part of a token.
fn with_part(token: &str, at: usize, part: &str) -> String {
    let mut parts: Vec<&str> = token.split('.').collect();
    parts[at] = part;
    parts.join(".")
}

fn signature_of(token: &str) -> Vec<u8> {
    decode(token.rsplit_once('.').unwrap().1).unwrap()
}

#[test]
fn every_algorithm_verifies_its_own_tokens_and_gives_their_claims() {
    for algorithm in Algorithm::ALL {
        let key = TestKey::new(*algorithm);
        let token = key.usual(*algorithm);
        let digest = Compact::parse(&token, MAX).unwrap().digest();
        let verified = judge(&token, &key.verifier()).unwrap();
        assert_eq!(verified.algorithm(), *algorithm);
        assert_eq!(verified.header().algorithm, *algorithm);
        assert_eq!(verified.claims().get("sub").unwrap().as_text(), Some("s"));
        assert_eq!(verified.digest(), digest, "{algorithm}");
    }
}

#[test]
fn both_names_of_ed25519_verify() {
    let key = TestKey::new(Algorithm::EdDsa);
    for name in ["EdDSA", "Ed25519"] {
        let token = key.token(Algorithm::EdDsa, &format!(r#"{{"alg":"{name}"}}"#), "{}");
        assert!(judge(&token, &key.verifier()).is_ok(), "{name}");
    }
}

#[test]
fn a_key_of_another_owner_does_not_verify() {
    let token = TestKey::new(Algorithm::Es256).usual(Algorithm::Es256);
    let other = TestKey::new(Algorithm::Es256).verifier();
    assert_eq!(reason(&token, &other), Reason::SignatureInvalid);
    let (back, _) = Compact::parse(&token, MAX)
        .unwrap()
        .verify(&other)
        .err()
        .unwrap();
    assert_eq!(back.header().kid.as_deref(), Some("k1"));
}

#[test]
fn j_01_an_unsigned_token_is_refused_for_its_algorithm() {
    let key = TestKey::new(Algorithm::Es256);
    let payload = b64(br#"{"sub":"s"}"#);
    for name in ["none", "None", "NONE"] {
        let header = b64(format!(r#"{{"alg":"{name}","kid":"k1"}}"#).as_bytes());
        for signature in ["", "AA"] {
            let token = format!("{header}.{payload}.{signature}");
            assert_eq!(
                reason(&token, &key.verifier()),
                Reason::AlgorithmNotAllowed,
                "{name}"
            );
        }
    }
}

#[test]
fn j_01_stripping_the_signature_of_a_signed_token_is_refused() {
    let key = TestKey::new(Algorithm::Es256);
    let token = with_part(&key.usual(Algorithm::Es256), 2, "");
    assert_eq!(
        Compact::parse(&token, MAX).err(),
        Some(JoseError::Empty(Part::Signature))
    );
}

#[test]
fn j_03_hs256_with_public_key() {
    use aws_lc_rs::hmac;
    let key = TestKey::new(Algorithm::Rs256);
    let header = b64(br#"{"alg":"HS256","kid":"k1"}"#);
    let signed = format!("{header}.{}", b64(br#"{"sub":"s"}"#));
    let jwk = key.set("");
    let n = jwk.split(r#""n":""#).nth(1).unwrap();
    let n = &n[..n.find('"').unwrap()];
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{n}\n-----END PUBLIC KEY-----\n");
    let secrets: [&[u8]; 5] = [
        pem.as_bytes(),
        pem.trim_end().as_bytes(),
        &decode(n).unwrap(),
        n.as_bytes(),
        jwk.as_bytes(),
    ];
    for secret in secrets {
        let tag = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, secret),
            signed.as_bytes(),
        );
        let token = format!("{signed}.{}", b64(tag.as_ref()));
        assert_eq!(reason(&token, &key.verifier()), Reason::AlgorithmNotAllowed);
    }
}

#[test]
fn j_05_the_algorithm_is_the_keys_and_not_the_tokens() {
    let rsa = TestKey::new(Algorithm::Ps256);
    let bound = |more: &str, allowed: &[Algorithm]| {
        let (set, _) = crate::jose::KeySet::parse(
            rsa.set(more).as_bytes(),
            crate::jose::KeyUse::Signature,
            allowed,
        )
        .unwrap();
        match set.lookup(Some("k1")) {
            crate::jose::Lookup::Found(key) => key.clone(),
            other => panic!("{other:?}"),
        }
    };
    let ps256 = rsa.usual(Algorithm::Ps256);
    let rs256 = rsa.usual(Algorithm::Rs256);
    let only_rs = bound("", &[Algorithm::Rs256]);
    assert_eq!(reason(&ps256, &only_rs), Reason::AlgorithmNotAllowed);
    assert!(judge(&rs256, &only_rs).is_ok());
    let by_jwk = bound(r#","alg":"PS256""#, Algorithm::ALL);
    assert_eq!(reason(&rs256, &by_jwk), Reason::AlgorithmNotAllowed);
    assert!(judge(&ps256, &by_jwk).is_ok());
    // A key of another type.
    let ec = TestKey::new(Algorithm::Es256);
    assert_eq!(
        reason(&ec.usual(Algorithm::Es256), &only_rs),
        Reason::AlgorithmNotAllowed
    );
}

#[test]
fn j_07_a_token_that_brings_its_own_key_is_refused() {
    let key = TestKey::new(Algorithm::Es256);
    let header = format!(r#"{{"alg":"ES256","jwk":{{{}}}}}"#, key.members);
    let token = key.token(Algorithm::Es256, &header, "{}");
    assert_eq!(reason(&token, &key.verifier()), Reason::HeaderNotAllowed);
}

#[test]
fn j_19_other_serialisations_are_refused() {
    let key = TestKey::new(Algorithm::Es256);
    let token = key.usual(Algorithm::Es256);
    let parts: Vec<&str> = token.split('.').collect();
    let (header, payload, signature) = (parts[0], parts[1], parts[2]);
    for text in [
        format!(r#"{{"protected":"{header}","payload":"{payload}","signature":"{signature}"}}"#),
        format!(
            r#"{{"payload":"{payload}","signatures":[{{"protected":"{header}","signature":"{signature}"}},{{"protected":"{header}","signature":"AA"}}]}}"#
        ),
        // Both at once.
        format!(r#"{{"a":"{token}"}}"#),
        format!("{header}.{payload}.{signature}.{{}}"),
        // Detached content, two parts, four, JWE's five, nothing.
        format!("{header}..{signature}"),
        format!("{header}.{payload}"),
        format!(".{token}"),
        format!("{token}."),
        format!("{header}.a.b.c.d"),
        "..".to_owned(),
        ".".to_owned(),
        String::new(),
        ".".repeat(MAX),
    ] {
        assert_eq!(
            reason(&text, &key.verifier()),
            Reason::TokenMalformed,
            "{text}"
        );
    }
}

#[test]
fn j_25_jwe_is_refused_whatever_its_parts_are() {
    let key = TestKey::new(Algorithm::Es256);
    let header = b64(br#"{"alg":"RSA-OAEP","enc":"A256GCM","zip":"DEF"}"#);
    for rest in ["a.b.c.d", "....", ".AAAA.AAAA.", "AAAA..AAAA.AAAA"] {
        let token = format!("{header}.{rest}");
        assert_eq!(
            reason(&token, &key.verifier()),
            Reason::TokenMalformed,
            "{rest}"
        );
    }
}

#[test]
fn base64url_is_strict_in_every_part() {
    let key = TestKey::new(Algorithm::Es256);
    // The signature's 64 bytes leave 4 spare bits, and the payload is made to as well.
    let token = key.token(
        Algorithm::Es256,
        r#"{"alg":"ES256"} "#,
        r#"{"sub":"s","a":1}"#,
    );
    assert!(judge(&token, &key.verifier()).is_ok());
    for at in 0..3 {
        let part = token.split('.').nth(at).unwrap();
        let last = part.chars().last().unwrap();
        let next = char::from_u32(u32::from(last) + 1).unwrap();
        let spare_bits_set = format!("{}{next}", &part[..part.len() - 1]);
        for bad in [
            format!("{part}="),
            format!("{part}=="),
            format!(" {part}"),
            format!("{part}\n"),
            format!("{part}A\u{0}"),
            format!("{part}ä"),
            format!("{}+", &part[..part.len() - 1]),
            format!("{}/", &part[..part.len() - 1]),
            spare_bits_set,
        ] {
            let token = with_part(&token, at, &bad);
            assert_eq!(
                reason(&token, &key.verifier()),
                Reason::TokenMalformed,
                "{bad:?}"
            );
        }
    }
}

#[test]
fn sizes_are_bounded_before_anything_else() {
    let token = TestKey::new(Algorithm::Es256).usual(Algorithm::Es256);
    let len = token.len();
    assert!(Compact::parse(&token, len).is_ok());
    assert_eq!(
        Compact::parse(&token, len - 1).err(),
        Some(JoseError::TooLarge {
            found: len,
            max: len - 1
        })
    );
    assert_eq!(
        Compact::parse("....", 3).err().unwrap().reason(),
        Reason::TokenTooLarge
    );
    let long = b64(format!(r#"{{"alg":"ES256","x":"{}"}}"#, "x".repeat(4096)).as_bytes());
    assert_eq!(
        Compact::parse(&with_part(&token, 0, &long), MAX).err(),
        Some(JoseError::TooLong(Part::Header))
    );
    assert_eq!(
        Compact::parse(&with_part(&token, 2, &"A".repeat(1367)), MAX).err(),
        Some(JoseError::TooLong(Part::Signature))
    );
}

#[test]
fn j_27_rsa_signatures_have_exactly_the_length_of_the_modulus() {
    let key = TestKey::new(Algorithm::Rs256);
    let verifier = key.verifier();
    // Tokens are signed until one begins with a zero byte, to be stripped.
    let mut stripped = None;
    for n in 0..5000 {
        let token = key.token(
            Algorithm::Rs256,
            r#"{"alg":"RS256"}"#,
            &format!(r#"{{"n":{n}}}"#),
        );
        if let [0, rest @ ..] = &signature_of(&token)[..] {
            assert!(judge(&token, &verifier).is_ok());
            stripped = Some(with_part(&token, 2, &b64(rest)));
            break;
        }
    }
    assert_eq!(
        reason(&stripped.unwrap(), &verifier),
        Reason::SignatureInvalid
    );
    let token = key.usual(Algorithm::Rs256);
    let good = signature_of(&token);
    let padded: Vec<u8> = [0].into_iter().chain(good.iter().copied()).collect();
    let one: Vec<u8> = [0; 255].into_iter().chain([1]).collect();
    for bad in [
        padded,
        one,
        vec![1],
        vec![0; 256],
        vec![0xff; 256],
        good[1..].to_vec(),
    ] {
        let token = with_part(&token, 2, &b64(&bad));
        assert_eq!(reason(&token, &verifier), Reason::SignatureInvalid);
    }
}

#[test]
fn j_27_ecdsa_signatures_are_two_numbers_in_range() {
    let key = TestKey::new(Algorithm::Es256);
    let token = key.usual(Algorithm::Es256);
    let n = hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    let (zero, one) = ([0u8; 32], [&[0u8; 31][..], &[1]].concat());
    let good = signature_of(&token);
    let mut cases = vec![
        good[..63].to_vec(),
        [&good[..], &[0]].concat(),
        // DER of the same numbers is not JOSE.
        [&[0x30, 0x44, 2, 32][..], &good[..32], &[2, 32], &good[32..]].concat(),
    ];
    for r in [&zero[..], &one, &n, &[0xff; 32]] {
        for s in [&zero[..], &one, &n, &[0xff; 32]] {
            cases.push([r, s].concat());
        }
    }
    for bad in cases {
        let token = with_part(&token, 2, &b64(&bad));
        assert_eq!(reason(&token, &key.verifier()), Reason::SignatureInvalid);
    }
}

#[test]
fn j_29_the_digest_does_not_depend_on_the_signature() {
    let key = TestKey::new(Algorithm::Es256);
    let token = key.usual(Algorithm::Es256);
    let good = signature_of(&token);
    let n = hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    let twin = [&good[..32], &minus(&n, &good[32..])[..]].concat();
    let twin = with_part(&token, 2, &b64(&twin));
    assert_ne!(token, twin);
    let (one, two) = (
        judge(&token, &key.verifier()).unwrap(),
        judge(&twin, &key.verifier()).unwrap(),
    );
    assert_eq!(one.digest(), two.digest());
    let other = judge(&key.usual(Algorithm::Es256), &key.verifier()).unwrap();
    assert_eq!(one.digest(), other.digest(), "the same header and payload");
    let other = key.token(Algorithm::Es256, r#"{"alg":"ES256"}"#, "{}");
    assert_ne!(
        one.digest(),
        judge(&other, &key.verifier()).unwrap().digest()
    );
}

#[test]
fn j_33_a_duplicate_claim_is_refused() {
    let key = TestKey::new(Algorithm::Es256);
    for payload in [
        r#"{"sub":"a","sub":"b"}"#,
        r#"{"aud":"a","aud":"a"}"#,
        r#"{"repository":"good","repository":"bad"}"#,
        r#"{"repository":"bad","repository":"good"}"#,
        r#"{"a":{"b":1,"b":2}}"#,
    ] {
        let token = key.token(Algorithm::Es256, r#"{"alg":"ES256"}"#, payload);
        assert_eq!(
            reason(&token, &key.verifier()),
            Reason::MemberDuplicated,
            "{payload}"
        );
    }
}

#[test]
fn a_payload_is_one_object_within_limits() {
    let key = TestKey::new(Algorithm::Es256);
    let nested = format!("{}{}", "{\"a\":".repeat(20), "1") + &"}".repeat(20);
    for payload in ["[]", "null", "\"x\"", "1", "{", "{}{}", "", nested.as_str()] {
        let token = key.token(Algorithm::Es256, r#"{"alg":"ES256"}"#, payload);
        assert_eq!(
            reason(&token, &key.verifier()),
            Reason::TokenMalformed,
            "{payload}"
        );
    }
    let token = key.token(Algorithm::Es256, r#"{"alg":"ES256"}"#, " {} ");
    assert!(judge(&token, &key.verifier()).is_ok());
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
        .collect()
}

/// `a - b` for equally long numbers.
fn minus(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut out = vec![0; a.len()];
    let mut borrow = 0i16;
    for i in (0..a.len()).rev() {
        let mut digit = i16::from(a[i]) - i16::from(b[i]) - borrow;
        borrow = i16::from(digit < 0);
        digit += 256 * borrow;
        out[i] = u8::try_from(digit).unwrap();
    }
    out
}

proptest! {
    #[test]
    fn changing_any_byte_never_verifies(at in any::<prop::sample::Index>(), byte: u8) {
        static KEY: std::sync::LazyLock<(TestKey, String)> = std::sync::LazyLock::new(|| {
            let key = TestKey::new(Algorithm::Es256);
            let token = key.usual(Algorithm::Es256);
            (key, token)
        });
        let (key, token) = &*KEY;
        let mut bytes = token.clone().into_bytes();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != byte);
        bytes[at] = byte;
        if let Ok(text) = String::from_utf8(bytes) {
            prop_assert!(judge(&text, &key.verifier()).is_err());
        }
    }

    #[test]
    fn inserting_or_removing_a_byte_never_verifies(at in any::<prop::sample::Index>(), c: char) {
        let key = TestKey::new(Algorithm::Es256);
        let token = key.usual(Algorithm::Es256);
        let at = at.index(token.len());
        let mut longer = token.clone();
        longer.insert(at, c);
        prop_assert!(judge(&longer, &key.verifier()).is_err());
        let mut shorter = token;
        shorter.remove(at);
        prop_assert!(judge(&shorter, &key.verifier()).is_err());
    }

    #[test]
    fn parsing_never_panics(text in ".{0,200}") {
        let _ = Compact::parse(&text, MAX);
    }

    #[test]
    fn parsing_token_shaped_text_never_panics(
        header in prop::collection::vec(any::<u8>(), 0..60),
        payload in prop::collection::vec(any::<u8>(), 0..60),
        signature in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let token = format!("{}.{}.{}", b64(&header), b64(&payload), b64(&signature));
        let _ = Compact::parse(&token, MAX);
        let token = format!("{}.{}.{}", b64(br#"{"alg":"ES256"}"#), b64(&payload), b64(&signature));
        if let Ok(token) = Compact::parse(&token, MAX) {
            prop_assert!(token.unverified_claims().as_object().is_some());
        }
    }
}
