//! Key sets as issuers publish them, and as they should not.

use proptest::prelude::*;

use super::*;
use crate::jose::testing::{TestKey, load};

fn parse(text: &str) -> Result<(KeySet, Vec<Skipped>), JoseError> {
    KeySet::parse(text.as_bytes(), KeyUse::Signature, Algorithm::ALL)
}

/// Why the only key of a set is skipped.
fn why(jwk: &str) -> &'static str {
    let (set, skipped) = parse(&format!(r#"{{"keys":[{jwk}]}}"#)).unwrap();
    assert!(set.is_empty(), "{jwk} is usable");
    assert_eq!(skipped.len(), 1, "{jwk}");
    skipped[0].why
}

fn ec() -> String {
    TestKey::new(Algorithm::Es256).members
}

fn is_found(set: &KeySet, kid: Option<&str>) -> bool {
    matches!(set.lookup(kid), Lookup::Found(_))
}

/// The value of a text member.
fn member<'j>(jwk: &'j str, name: &str) -> &'j str {
    let start = jwk.find(&format!(r#""{name}":""#)).unwrap() + name.len() + 4;
    &jwk[start..start + jwk[start..].find('"').unwrap()]
}

#[test]
fn a_set_of_every_type_of_key_is_read() {
    let jwk = |kid: &str, algorithm| {
        let members = TestKey::new(algorithm).members;
        format!(r#"{{{members},"kid":"{kid}","use":"sig"}}"#)
    };
    let set = load(&format!(
        r#"{{"keys":[{},{},{},{},{}],"other":1}}"#,
        jwk("rsa", Algorithm::Rs256),
        jwk("p256", Algorithm::Es256),
        jwk("p384", Algorithm::Es384),
        jwk("p521", Algorithm::Es512),
        jwk("ed", Algorithm::EdDsa),
    ));
    assert_eq!(set.len(), 5);
    assert_eq!(set.kids(), ["ed", "p256", "p384", "p521", "rsa"]);
    let algorithms = |kid| match set.lookup(Some(kid)) {
        Lookup::Found(key) => key.algorithms().to_vec(),
        other => panic!("{other:?}"),
    };
    assert_eq!(algorithms("rsa").len(), 6);
    assert_eq!(algorithms("p256"), [Algorithm::Es256]);
    assert_eq!(algorithms("p384"), [Algorithm::Es384]);
    assert_eq!(algorithms("p521"), [Algorithm::Es512]);
    assert_eq!(algorithms("ed"), [Algorithm::EdDsa]);
    assert!(matches!(set.lookup(Some("rs")), Lookup::Unknown));
    assert!(matches!(set.lookup(Some("RSA")), Lookup::Unknown));
    assert!(matches!(set.lookup(None), Lookup::Ambiguous));
}

#[test]
fn u_27_a_set_is_an_object_with_an_array_of_keys() {
    for bad in [
        "{}",
        "[]",
        "null",
        r#"{"keys":{}}"#,
        r#"{"keys":null}"#,
        r#"{"keys":"x"}"#,
        r#"{"jwks":{"keys":[]}}"#,
        r#"[{"keys":[]}]"#,
    ] {
        assert_eq!(parse(bad).unwrap_err(), SetError::NoKeys.into(), "{bad}");
    }
    let set = parse(r#"{"keys":[]}"#).unwrap().0;
    assert!(set.is_empty() && matches!(set.lookup(None), Lookup::Unknown));
}

#[test]
fn u_05_garbage_is_refused() {
    for bad in [
        "",
        "<html>",
        r#"{"keys":["#,
        &"[".repeat(100_000),
        "\u{feff}{\"keys\":[]}",
    ] {
        let error = parse(bad).unwrap_err();
        assert!(
            matches!(error, JoseError::Set(SetError::Json(_))),
            "{error:?}"
        );
    }
    // A member twice, at any depth, could be read two ways.
    let twice = format!(r#"{{"keys":[{{{},"kid":"a","kid":"b"}}]}}"#, ec());
    assert!(parse(&twice).is_err());
    assert!(parse(r#"{"keys":[],"keys":[]}"#).is_err());
}

#[test]
fn a_set_is_bounded_in_keys_and_bytes() {
    let members = ec();
    let many = |n: usize| {
        let keys: Vec<_> = (0..n)
            .map(|i| format!(r#"{{{members},"kid":"{i}"}}"#))
            .collect();
        format!(r#"{{"keys":[{}]}}"#, keys.join(","))
    };
    assert_eq!(parse(&many(100)).unwrap().0.len(), 100);
    assert_eq!(parse(&many(101)).unwrap_err(), SetError::TooMany.into());
    let large = |spaces: usize| format!(r#"{{"keys":[]{}}}"#, " ".repeat(spaces));
    assert!(parse(&large(MAX_BYTES - 11)).is_ok());
    assert_eq!(
        parse(&large(MAX_BYTES - 10)).unwrap_err(),
        SetError::TooLarge.into()
    );
}

#[test]
fn a_private_or_symmetric_member_refuses_the_whole_set() {
    let good = format!(r#"{{{},"kid":"good"}}"#, ec());
    for bad in [
        format!(r#"{{{},"kid":"x","d":"AA"}}"#, ec()),
        r#"{"kty":"RSA","n":"AA","e":"AQAB","p":"AA"}"#.to_owned(),
        r#"{"kty":"RSA","qi":null}"#.to_owned(),
        r#"{"kty":"oct","kid":"x","k":"AA"}"#.to_owned(),
        r#"{"kty":"oct"}"#.to_owned(),
        r#"{"kty":"AKP","priv":"AA"}"#.to_owned(),
        r#"{"kty":"EC","d":"AA","use":"enc"}"#.to_owned(),
    ] {
        let error = parse(&format!(r#"{{"keys":[{good},{bad}]}}"#)).unwrap_err();
        assert_eq!(error, SetError::Private(1).into(), "{bad}");
    }
}

#[test]
fn u_21_a_kid_on_two_keys_makes_both_unusable() {
    let (one, two, other) = (ec(), ec(), ec());
    for attacker in [
        format!(r#"{{{two},"kid":"k1"}}"#),
        // Not usable, and still a claim on the kid.
        r#"{"kty":"RSA","n":"AQAB","e":"AQAB","kid":"k1"}"#.to_owned(),
        r#"{"kty":"AKP","alg":"ML-DSA-44","kid":"k1"}"#.to_owned(),
        format!(r#"{{{one},"kid":"k1"}}"#),
    ] {
        let good = format!(r#"{{{one},"kid":"k1"}}"#);
        let third = format!(r#"{{{other},"kid":"k2"}}"#);
        for keys in [
            [&good, &attacker, &third],
            [&attacker, &good, &third],
            [&third, &attacker, &good],
        ] {
            let keys: Vec<&str> = keys.iter().map(|k| k.as_str()).collect();
            let (set, skipped) = parse(&format!(r#"{{"keys":[{}]}}"#, keys.join(","))).unwrap();
            assert!(matches!(set.lookup(Some("k1")), Lookup::Ambiguous));
            assert!(is_found(&set, Some("k2")), "other kids are unharmed");
            assert_eq!((set.kids(), skipped.len()), (vec!["k2"], 2));
            // And a token without a kid is in doubt.
            assert!(matches!(set.lookup(None), Lookup::Ambiguous));
        }
    }
}

#[test]
fn a_kid_shared_with_a_key_for_encryption_is_no_conflict() {
    let text = format!(
        r#"{{"keys":[{{{},"kid":"k1"}},{{{},"kid":"k1","use":"enc"}}]}}"#,
        ec(),
        ec()
    );
    let (set, skipped) = parse(&text).unwrap();
    assert!(is_found(&set, Some("k1")));
    assert_eq!(skipped.len(), 1);
}

#[test]
fn u_25_a_kid_is_bounded_plain_text() {
    for kid in ["null", "1", "[]", "\"\"", "\"\\u0000\""] {
        let text = why(&format!(r#"{{{},"kid":{kid}}}"#, ec()));
        assert!(text.starts_with("its kid"), "{kid}: {text}");
    }
    let long = |n: usize| format!(r#"{{{},"kid":"{}"}}"#, ec(), "k".repeat(n));
    assert!(why(&long(513)).starts_with("its kid"));
    let set = load(&format!(r#"{{"keys":[{}]}}"#, long(512)));
    assert!(is_found(&set, Some(&"k".repeat(512))));
}

#[test]
fn j_17_a_token_without_kid_has_exactly_one_candidate_or_none() {
    let (one, two) = (ec(), ec());
    let named = load(&format!(r#"{{"keys":[{{{one},"kid":"k1"}}]}}"#));
    assert!(is_found(&named, None));
    let nameless = load(&format!(r#"{{"keys":[{{{one}}}]}}"#));
    assert!(is_found(&nameless, None));
    assert_eq!(nameless.len(), 1);
    assert!(matches!(nameless.lookup(Some("k1")), Lookup::Unknown));
    let both = load(&format!(r#"{{"keys":[{{{one},"kid":"k1"}},{{{two}}}]}}"#));
    assert!(matches!(both.lookup(None), Lookup::Ambiguous));
    assert!(is_found(&both, Some("k1")));
}

#[test]
fn u_23_weak_or_broken_rsa_keys_are_skipped() {
    let good = TestKey::new(Algorithm::Rs256).members;
    let n = member(&good, "n");
    assert!(
        parse(&format!(r#"{{"keys":[{{{good}}}]}}"#))
            .unwrap()
            .1
            .is_empty()
    );
    let short = &n[..n.len() / 2 / 4 * 4];
    for (n, e) in [
        (short, "AQAB"),
        ("AQAB", "AQAB"),
        (n, "AQ"),
        (n, "Ag"),
        (n, "AQAA"),
        (n, "AAEAAQ"),
        (n, ""),
        ("", "AQAB"),
        (n, "AQAB="),
        (n, "A QAB"),
    ] {
        why(&format!(r#"{{"kty":"RSA","n":"{n}","e":"{e}"}}"#));
    }
    let even = format!("{}A", &n[..n.len() - 1]);
    why(&format!(r#"{{"kty":"RSA","n":"{even}","e":"AQAB"}}"#));
    why(r#"{"kty":"RSA","e":"AQAB"}"#);
    why(&format!(r#"{{"kty":"RSA","n":"{n}","e":65537}}"#));
}

#[test]
fn u_23_points_that_are_not_of_the_curve_are_skipped() {
    let good = ec();
    let (x, y) = (member(&good, "x"), member(&good, "y"));
    let of = |crv: &str, x: &str, y: &str| {
        format!(r#"{{"kty":"EC","crv":"{crv}","x":"{x}","y":"{y}"}}"#)
    };
    assert!(
        parse(&format!(r#"{{"keys":[{}]}}"#, of("P-256", x, y)))
            .unwrap()
            .1
            .is_empty()
    );
    assert_eq!(
        why(&of("P-256", x, x)),
        "its values are not a valid public key"
    );
    let zero = "A".repeat(43);
    assert_eq!(
        why(&of("P-256", &zero, &zero)),
        "its values are not a valid public key"
    );
    let beyond_field = "_".repeat(42) + "8";
    why(&of("P-256", &beyond_field, y));
    for (x, y) in [
        (&x[..40], y),
        (x, &y[..40]),
        ("", y),
        (x, ""),
        (&*format!("AAAA{x}"), y),
    ] {
        why(&of("P-256", x, y));
    }
    for crv in ["P-192", "P-384", "P-521", "secp256k1", "p-256", ""] {
        why(&of(crv, x, y));
    }
    why(&format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}"}}"#));
    why(&format!(r#"{{"kty":"EC","x":"{x}","y":"{y}"}}"#));
}

#[test]
fn other_octet_keys_are_skipped() {
    let x = "A".repeat(43);
    for crv in ["X25519", "Ed448", "X448", "ed25519"] {
        why(&format!(r#"{{"kty":"OKP","crv":"{crv}","x":"{x}"}}"#));
    }
    why(r#"{"kty":"OKP","crv":"Ed25519","x":"AAAA"}"#);
    for jwk in [
        r#"{"kty":"AKP"}"#,
        r#"{"kty":1}"#,
        "{}",
        "1",
        "null",
        "[]",
        r#"{"kty":"ec"}"#,
    ] {
        why(jwk);
    }
}

#[test]
fn the_algorithm_of_a_key_is_its_own_and_allowed() {
    let of = |more: &str| format!(r#"{{{}{more}}}"#, ec());
    assert!(
        parse(&format!(r#"{{"keys":[{}]}}"#, of(r#","alg":"ES256""#)))
            .unwrap()
            .1
            .is_empty()
    );
    for alg in [
        "\"ES384\"",
        "\"RS256\"",
        "\"HS256\"",
        "\"none\"",
        "\"ECDH-ES\"",
        "\"es256\"",
        "1",
        "null",
    ] {
        why(&of(&format!(r#","alg":{alg}"#)));
    }
    let text = TestKey::new(Algorithm::Es256).set("");
    let (set, skipped) =
        KeySet::parse(text.as_bytes(), KeyUse::Signature, &[Algorithm::Rs256]).unwrap();
    assert!(set.is_empty());
    assert_eq!(
        skipped[0].why,
        "its algorithms are not allowed for this issuer"
    );
    let rsa = TestKey::new(Algorithm::Rs256);
    let (set, _) = KeySet::parse(
        rsa.set("").as_bytes(),
        KeyUse::Signature,
        &[Algorithm::Es256, Algorithm::Rs256, Algorithm::Ps256],
    )
    .unwrap();
    let Lookup::Found(key) = set.lookup(Some("k1")) else {
        panic!("no key");
    };
    assert_eq!(key.algorithms(), [Algorithm::Rs256, Algorithm::Ps256]);
}

#[test]
fn use_and_key_ops_say_what_a_key_is_for() {
    let of = |more: &str| format!(r#"{{"keys":[{{{},"kid":"k1"{more}}}]}}"#, ec());
    for good in [
        "",
        r#","use":"sig""#,
        r#","key_ops":["verify"]"#,
        r#","key_ops":["sign","verify"]"#,
    ] {
        assert!(is_found(&load(&of(good)), Some("k1")), "{good}");
    }
    for bad in [
        r#","use":1"#,
        r#","use":null"#,
        r#","key_ops":[]"#,
        r#","key_ops":["sign"]"#,
        r#","key_ops":["deriveKey"]"#,
        r#","key_ops":"verify""#,
        r#","key_ops":["verify",1]"#,
    ] {
        let (set, skipped) = parse(&of(bad)).unwrap();
        assert!(set.is_empty() && skipped.len() == 1, "{bad}");
    }
    for other in [r#","use":"enc""#, r#","use":"SIG""#, r#","use":"jwt-svid""#] {
        let (set, skipped) = parse(&of(other)).unwrap();
        assert!(set.is_empty(), "{other}");
        assert_eq!(skipped[0].why, "its use is another one");
    }
}

#[test]
fn a_spiffe_bundle_gives_its_jwt_keys_only() {
    let bundle = format!(
        r#"{{"keys":[
            {{{},"use":"x509-svid","x5c":["MIIB"]}},
            {{{},"use":"jwt-svid","kid":"k1"}},
            {{{},"kid":"k2"}},
            {{{},"use":"sig","kid":"k3"}},
            {{{},"use":"wit-svid","kid":"k4"}},
            {{{},"use":"jwt-svid"}}],
        "spiffe_sequence":1,"spiffe_refresh_hint":300}}"#,
        ec(),
        ec(),
        ec(),
        ec(),
        ec(),
        ec()
    );
    let (set, skipped) = KeySet::parse(bundle.as_bytes(), KeyUse::JwtSvid, Algorithm::ALL).unwrap();
    assert_eq!(set.kids(), ["k1"]);
    let why: Vec<_> = skipped.iter().map(|s| (s.position, s.why)).collect();
    let other = "its use is another one";
    assert_eq!(
        why,
        [
            (0, other),
            (2, other),
            (3, other),
            (4, other),
            (5, "it has no kid")
        ]
    );
    // Even the only key is found by its kid alone.
    assert!(is_found(&set, Some("k1")) && !is_found(&set, None));
    let (empty, _) = KeySet::parse(br#"{"keys":[]}"#, KeyUse::JwtSvid, Algorithm::ALL).unwrap();
    assert!(empty.is_empty());
}

proptest! {
    #[test]
    fn parsing_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = KeySet::parse(&bytes, KeyUse::Signature, Algorithm::ALL);
    }

    #[test]
    fn odd_members_never_panic_and_never_make_a_usable_key(
        kty in "(RSA|EC|OKP)", crv in "(P-256|P-384|P-521|Ed25519)", value in "[A-Za-z0-9_-]{0,90}",
    ) {
        let text = format!(
            r#"{{"keys":[{{"kty":"{kty}","crv":"{crv}","n":"{value}","e":"AQAB","x":"{value}","y":"{value}"}}]}}"#
        );
        let (set, skipped) = parse(&text).unwrap();
        prop_assert_eq!(set.len() + skipped.len(), 1);
        // 90 characters hold no RSA key, and x = y lies on none of the curves by chance.
        prop_assert!(set.is_empty() || kty == "OKP");
    }
}
