use proptest::prelude::*;

use super::*;
use crate::{model::Asserter, policy::fixture::spec};

const PATH: FieldKind = FieldKind::Segments(&['/']);

fn parse(kind: FieldKind, text: &str) -> Result<Pattern, PolicyError> {
    Pattern::parse(&spec("field", kind, Asserter::Issuer), text)
}

fn matches(pattern: &str, value: &str) -> bool {
    let pattern = parse(FieldKind::Segments(&['/', ':', '@']), pattern).unwrap();
    pattern.matches(&Value::Text(value.into()))
}

#[test]
fn a_star_never_crosses_a_separator() {
    for (pattern, value) in [
        ("repo:acme/*", "repo:acme/payments"),
        ("refs/heads/release-*", "refs/heads/release-1.2"),
        ("/ns/payments/job/*", "/ns/payments/job/x"),
        ("*/payments", "acme/payments"),
        ("a*c/*-x", "abbc/y-x"),
        ("a*b*c", "a1b2b3c"),
        ("ä*ö", "äüö"),
    ] {
        assert!(matches(pattern, value), "{pattern} {value}");
    }
    for (pattern, value) in [
        ("repo:acme*", "repo:acme-evil/x"),
        ("repo:acme/*", "repo:acme:pull_request"),
        ("repo:acme/*", "repo:acme/x:pull_request"),
        ("repo:acme/*", "repo:acme/x/y"),
        ("repo:acme/*", "repo:acme/"),
        ("repo:acme/*", "xrepo:acme/y"),
        ("refs/heads/release-*", "refs/heads/release-"),
        ("refs/heads/release-*", "refs/heads/Release-1"),
        ("/ns/pay*", "/ns/payments/sa/x"),
        ("a/*@v", "a/b:v"),
        ("*/x", "/x"),
        ("a*a", "a"),
        ("ab*ba", "aba"),
        ("a*b*c", "abc"),
    ] {
        assert!(!matches(pattern, value), "{pattern} {value}");
    }
}

#[test]
fn a_01_patterns_that_match_everything_are_refused() {
    for everything in ["*", "*/*", "/*", "*/", "/"] {
        assert_eq!(
            parse(PATH, everything),
            Err(PolicyError::GlobEverything(everything.into()))
        );
    }
    assert_eq!(parse(PATH, ""), Err(PolicyError::PatternEmpty));
    assert_eq!(parse(FieldKind::Exact, ""), Err(PolicyError::PatternEmpty));
    assert!(parse(PATH, "a/*").is_ok());
}

#[test]
fn other_wildcards_and_regular_expressions_are_refused() {
    for bad in ["a/**", "a?", "[ab]", "{a,b}", "a\\b", "a/***/b"] {
        assert!(
            matches!(parse(PATH, bad), Err(PolicyError::GlobSyntax { .. })),
            "{bad}"
        );
    }
    // Text, and nothing else.
    assert!(matches("acme|evil", "acme|evil"));
    assert!(!matches("acme|evil", "acme"));
    assert!(!matches(".+", "x"));
}

#[test]
fn a_star_is_refused_where_values_are_exact() {
    for kind in [FieldKind::Exact, FieldKind::Contains, FieldKind::Any] {
        assert!(matches!(
            parse(kind, "acme-*"),
            Err(PolicyError::GlobOnExact { .. })
        ));
        assert!(parse(kind, "acme-[x]?").is_ok());
    }
}

#[test]
fn invisible_characters_and_white_space_are_refused() {
    for bad in [
        " a",
        "a ",
        "a\n",
        "a\u{200b}b",
        "a\u{202e}",
        "a\u{0}",
        "\ta",
    ] {
        assert!(
            matches!(
                parse(FieldKind::Exact, bad),
                Err(PolicyError::PatternInvisible(_))
            ),
            "{bad:?}"
        );
    }
    for good in ["Default Project", "größe", "back\\slash"] {
        assert!(parse(FieldKind::Exact, good).is_ok(), "{good}");
    }
}

#[test]
fn the_length_limit_is_exact() {
    assert!(parse(FieldKind::Exact, &"x".repeat(MAX_PATTERN)).is_ok());
    assert_eq!(
        parse(FieldKind::Exact, &"x".repeat(MAX_PATTERN + 1)),
        Err(PolicyError::PatternTooLong(MAX_PATTERN + 1))
    );
}

#[test]
fn types_are_never_coerced() {
    let any = spec("field", FieldKind::Any, Asserter::Issuer);
    let text = Pattern::parse(&any, "74").unwrap();
    let number = Pattern::number(&any, 74).unwrap();
    let yes = Pattern::flag(&any, true).unwrap();
    let list = Value::List(vec!["x".into(), "74".into()]);
    assert!(text.matches(&Value::Text("74".into())) && text.matches(&list));
    assert!(!text.matches(&Value::Number(74)));
    assert!(number.matches(&Value::Number(74)));
    assert!(!number.matches(&Value::Text("74".into())) && !number.matches(&list));
    assert!(yes.matches(&Value::Flag(true)) && !yes.matches(&Value::Flag(false)));
    assert!(!yes.matches(&Value::Text("true".into())) && !yes.matches(&Value::Number(1)));
}

#[test]
fn lists_match_whole_elements_and_texts_match_no_list() {
    let list = Value::List(vec!["prod".into(), "blue".into()]);
    let contains = parse(FieldKind::Contains, "prod").unwrap();
    assert!(contains.matches(&list));
    assert!(!contains.matches(&Value::Text("prod".into())));
    assert!(!parse(FieldKind::Contains, "pro").unwrap().matches(&list));
    assert!(!parse(FieldKind::Exact, "prod").unwrap().matches(&list));
}

#[test]
fn flags_are_words_in_text_too() {
    let yes = parse(FieldKind::Flag, "true").unwrap();
    assert!(yes.matches(&Value::Flag(true)));
    assert!(!yes.matches(&Value::Text("true".into())));
    for bad in ["yes", "True", "1"] {
        assert!(parse(FieldKind::Flag, bad).is_err(), "{bad}");
    }
}

#[test]
fn a_literal_first_segment_is_told_from_a_part_of_one() {
    for (pattern, expected) in [
        ("/ns/payments/job/*", true),
        ("/ns/*", true),
        ("/ns-*", false),
        ("/*/x", false),
        ("*/x", false),
        ("x", true),
    ] {
        let parsed = parse(PATH, pattern).unwrap();
        assert_eq!(parsed.has_literal_segment(), expected, "{pattern}");
    }
}

/// What a glob means, without a thought for speed: every way to split.
fn slow(pattern: &[char], value: &[char], separators: &[char]) -> bool {
    match pattern.split_first() {
        None => value.is_empty(),
        Some(('*', rest)) => (1..=value.len())
            .take_while(|n| !separators.contains(&value[n - 1]))
            .any(|n| slow(rest, &value[n..], separators)),
        Some((c, rest)) => value.first() == Some(c) && slow(rest, &value[1..], separators),
    }
}

proptest! {
    #[test]
    fn globs_match_what_the_obvious_matcher_matches(
        pattern in "[ab/:*]{1,10}", value in "[ab/:]{0,12}",
    ) {
        let separators: &'static [char] = &['/', ':'];
        if let Ok(parsed) = parse(FieldKind::Segments(separators), &pattern) {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(
                parsed.matches(&Value::Text(value.as_str().into())),
                slow(&chars(&pattern), &chars(&value), separators)
            );
        }
    }

    #[test]
    fn no_text_makes_matching_panic(pattern in "\\PC{1,20}", value in "\\PC{0,40}") {
        for kind in [PATH, FieldKind::Exact, FieldKind::Any, FieldKind::Flag] {
            if let Ok(parsed) = parse(kind, &pattern) {
                parsed.matches(&Value::Text(value.as_str().into()));
                parsed.matches_across_segments(&value);
                prop_assert!(!parsed.is_exact() || parsed.covers(&pattern));
            }
        }
    }

    #[test]
    fn exact_patterns_match_themselves_and_nothing_else(text in "[a-zA-Z0-9/_.-]{1,20}", other in "[a-zA-Z0-9/_.-]{1,20}") {
        let parsed = parse(FieldKind::Exact, &text).unwrap();
        prop_assert!(parsed.matches(&Value::Text(text.as_str().into())));
        prop_assert_eq!(parsed.matches(&Value::Text(other.as_str().into())), text == other);
    }
}
