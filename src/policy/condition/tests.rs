use proptest::prelude::*;

use super::*;
use crate::{
    model::{Attribute, Value},
    policy::fixture::{attributes, vocabulary},
};

fn compile(source: &str) -> Result<Condition, PolicyError> {
    Condition::compile("c".parse().unwrap(), source, &vocabulary())
}

fn holds(source: &str, given: &[(&str, &str)]) -> Result<bool, Fault> {
    compile(source)
        .unwrap_or_else(|e| panic!("{source}: {e}"))
        .holds("d:somebody", &attributes(given))
}

const GIVEN: &[(&str, &str)] = &[
    ("id", "42"),
    ("ref", "refs/heads/main"),
    ("protected", "true"),
    ("tags", "blue,prod"),
    ("claims.team", "billing"),
];

#[test]
fn conditions_read_attributes_and_the_subject() {
    for source in [
        "attrs.id == '42'",
        "attrs['id'] == \"42\"",
        "attrs.claims.team == 'billing'",
        "attrs['claims.team'] != 'payments'",
        "attrs.ref.startsWith('refs/heads/')",
        "attrs.ref.endsWith('/main') && attrs.ref.contains('heads')",
        "size(attrs.id) == 2 && attrs.ref.size() > 10 && size(attrs.tags) <= 2",
        "attrs.protected",
        "attrs.protected == true && !(attrs.protected == false)",
        "has(attrs.id) && !has(attrs.environment)",
        "'id' in attrs && !('environment' in attrs)",
        "'prod' in attrs.tags",
        "attrs.id in ['41', '42']",
        "attrs.tags.exists(t, t == 'blue')",
        "attrs.tags.all(tag, tag.size() == 4)",
        "subject.startsWith('d:')",
        "has(attrs.environment) ? attrs.environment == 'x' : attrs.protected",
        "attrs.id >= '42' && attrs.id < '43' && size(attrs.id) >= -1",
        "r'\\d' != attrs.id",
        "[\"a\"].exists(x, x == 'a') && attrs.protected",
    ] {
        assert_eq!(holds(source, GIVEN), Ok(true), "{source}");
    }
    for source in [
        "attrs.id == '43'",
        "'dev' in attrs.tags",
        "attrs.tags.all(t, t == 'blue')",
        "attrs.ref.startsWith('refs/tags/')",
        "!attrs.protected",
    ] {
        assert_eq!(holds(source, GIVEN), Ok(false), "{source}");
    }
}

#[test]
fn a_fault_is_not_an_answer() {
    assert_eq!(holds("attrs.environment == 'x'", GIVEN), Err(Fault::Absent));
    assert_eq!(holds("attrs.environment != 'x'", GIVEN), Err(Fault::Absent));
    assert_eq!(
        holds("!(attrs.environment == 'x')", GIVEN),
        Err(Fault::Absent)
    );
    assert_eq!(holds("attrs.claims.team", GIVEN), Err(Fault::Type));
    let number = |n| {
        let attribute = Attribute {
            name: "claims.team".into(),
            value: Value::Number(n),
            asserted_by: Asserter::Issuer,
        };
        [attribute].into_iter().collect::<Attributes>()
    };
    let reads = |source| compile(source).unwrap().holds("s", &number(74));
    assert_eq!(reads("attrs.claims.team == 74"), Ok(true));
    assert_eq!(reads("attrs.claims.team == '74'"), Ok(false));
    assert_eq!(reads("attrs.claims.team > 'a'"), Err(Fault::Type));
    assert_eq!(reads("attrs.claims.team in ['74']"), Ok(false));
    assert_eq!(reads("attrs.claims.team.startsWith('7')"), Err(Fault::Type));
    assert_eq!(reads("size(attrs.claims.team) == 2"), Err(Fault::Type));
    assert_eq!(
        reads("attrs.claims.team.all(x, x == 'a')"),
        Err(Fault::Type)
    );
}

#[test]
fn a_deciding_side_makes_up_for_a_fault_on_the_other() {
    let fault = "attrs.environment == 'x'";
    for (source, expected) in [
        (format!("{fault} || attrs.protected"), Ok(true)),
        (format!("attrs.protected || {fault}"), Ok(true)),
        (format!("{fault} || !attrs.protected"), Err(Fault::Absent)),
        (format!("{fault} && !attrs.protected"), Ok(false)),
        (format!("{fault} && attrs.protected"), Err(Fault::Absent)),
    ] {
        assert_eq!(holds(&source, GIVEN), expected, "{source}");
    }
}

#[test]
fn unknown_names_are_errors_with_the_nearest() {
    for (source, name, nearest) in [
        ("attrs.enviroment == 'x'", "enviroment", Some("environment")),
        ("attrs.zzz == 'x'", "zzz", None),
        ("has(attrs.protectd)", "protectd", Some("protected")),
        ("'idd' in attrs", "idd", Some("id")),
        ("attr.id == 'x'", "attr", Some("attrs")),
        (
            "environment == 'x'",
            "environment",
            Some("attrs.environment"),
        ),
        ("subjekt == 'x'", "subjekt", Some("subject")),
        ("attrs.id.startWith('x')", "startWith", Some("startsWith")),
        ("now() > attrs.id", "now", None),
        ("attrs.tags.exists(t, u == 'x')", "u", None),
    ] {
        match compile(source) {
            Err(PolicyError::ConditionUnknown {
                name: n,
                nearest: near,
                ..
            }) => assert_eq!((&*n, near.as_deref()), (name, nearest), "{source}"),
            // A member of anything but `attrs` is refused before its name is known.
            Err(PolicyError::ConditionRefused(_)) if name == "attr" => {}
            other => panic!("{source}: {other:?}"),
        }
    }
}

#[test]
fn what_is_not_on_the_list_is_refused() {
    for source in [
        "attrs.ref.matches('.*')",
        "attrs.id + 'x' == 'y'",
        "size(attrs.id) * 2 == 4",
        "attrs.tags[0] == 'x'",
        "attrs.tags.map(t, t) == attrs.tags",
        "attrs.tags.filter(t, t == 'x') == attrs.tags",
        "attrs.tags.exists_one(t, t == 'x')",
        "attrs.tags.all(t, attrs.tags.exists(u, u == t))",
        "attrs.tags.all(attrs, true)",
        "attrs == attrs",
        "{'a': 1} == attrs",
        "attrs.id == b'x'",
        "size(attrs.id) == 2u",
        "size(attrs.id) == 2.0",
        "attrs.id == null",
        "attrs[attrs.id] == 'x'",
        "attrs.id in [attrs.ref]",
        "attrs.id.startsWith('a', 'b')",
        "startsWith(attrs.id, 'a')",
        "has(subject)",
        "attrs.id.size == 2",
        "dyn(attrs.id) == 'x'",
        "type(attrs.id) == string",
        "Message{a: 1} == attrs.id",
    ] {
        assert!(compile(source).is_err(), "{source}");
    }
}

#[test]
fn what_can_never_hold_is_refused() {
    for source in [
        "attrs.id",
        "size(attrs.id)",
        "attrs.id == 42",
        "attrs.protected == 'true'",
        "attrs.protected.startsWith('t')",
        "attrs.id.exists(x, x == 'a')",
        "'a' in attrs.id",
        "1 in attrs.tags",
        "attrs.tags < attrs.tags",
        "size(attrs.protected) == 1",
        "attrs.protected ? 1 : 2",
        "attrs.protected ? attrs.id : 2",
        "!attrs.id",
    ] {
        assert!(
            matches!(compile(source), Err(PolicyError::ConditionType(_))),
            "{source}: {:?}",
            compile(source)
        );
    }
    for constant in ["true", "'a' == 'a'", "size('abc') > 2"] {
        assert_eq!(compile(constant), Err(PolicyError::ConditionConstant));
    }
}

#[test]
fn the_weakest_asserter_of_what_is_read_counts() {
    let by = |source| compile(source).unwrap().asserted_by();
    assert_eq!(by("attrs.id == 'x'"), Asserter::Issuer);
    assert_eq!(by("subject == 'x'"), Asserter::Issuer);
    assert_eq!(by("attrs.environment == attrs.id"), Asserter::Admin);
    assert_eq!(by("attrs.id == 'x' || has(attrs.ref)"), Asserter::Caller);
}

#[test]
fn limits_hold_before_the_parser_is_asked() {
    let fits = format!("attrs.id == '{}'", "x".repeat(MAX_CONDITION - 14));
    assert_eq!(fits.len(), MAX_CONDITION);
    assert!(compile(&fits).is_ok());
    for (source, what) in [
        (format!("{fits} "), "bytes"),
        (
            format!("attrs.protected{}", " && attrs.protected".repeat(180)),
            "operators",
        ),
        (
            format!("{}attrs.protected{}", "(".repeat(25), ")".repeat(25)),
            "nested",
        ),
    ] {
        match compile(&source) {
            Err(PolicyError::ConditionTooLarge { what: w, .. }) => assert!(w.contains(what), "{w}"),
            other => panic!("{other:?}"),
        }
    }
    let nested = format!("{}attrs.protected{}", "(".repeat(20), ")".repeat(20));
    assert!(compile(&nested).is_ok());
    let deep = format!("{}attrs.protected", "attrs.protected ? true : ".repeat(120));
    assert!(compile(&deep).is_err());
}

#[test]
fn nonsense_is_an_error_and_not_a_panic() {
    for source in [
        "",
        " ",
        "(",
        ")",
        "'",
        "\"\"\"",
        "attrs.",
        ".",
        "?",
        "a ? b",
        "has()",
        "has(1)",
        "[",
        "{",
        "attrs.id ==",
        "== 'x'",
        "\u{0}",
        "ä",
        "''' ",
        "`x`",
        "attrs.?id",
        "-",
        "- 1",
        "!",
        "99999999999999999999 == 1",
        "'\\u12' == subject",
        "'\\xZZ' == subject",
        "b'\\777'",
    ] {
        assert!(compile(source).is_err(), "{source}");
    }
}

#[test]
fn r_a_hostile_token_cannot_make_a_condition_slow() {
    // 16 KiB as one text, and as very many short ones.
    let text: Arc<str> = "a".repeat(16 * 1024).into();
    let many: Vec<Arc<str>> = (0..4 * 1024).map(|i| format!("{i:x}x").into()).collect();
    let set = |name: &str, value| Attribute {
        name: name.into(),
        value,
        asserted_by: Asserter::Issuer,
    };
    let hostile: Attributes = [
        set("id", Value::Text(Arc::clone(&text))),
        set("tags", Value::List(many)),
    ]
    .into_iter()
    .collect();
    let reads = |source| compile(source).unwrap().holds("s", &hostile);
    for cheap in [
        "attrs.id.contains('b')",
        "attrs.tags.exists(t, t == 'b')",
        "'b' in attrs.tags",
        "attrs.id == 'b' || size(attrs.id) < 3",
    ] {
        assert_eq!(reads(cheap), Ok(false), "{cheap}");
    }
    for costly in [
        "attrs.tags.all(t, t in attrs.tags)",
        "attrs.tags.exists(t, attrs.id.contains(t))",
        "attrs.tags.exists(t, attrs.tags == ['x'] || attrs.id.contains('b'))",
        "attrs.tags.all(t, size(attrs.id) > 0)",
        // What was spent cannot be made up for.
        "attrs.tags.exists(t, attrs.id.contains(t)) || attrs.id.startsWith('a')",
        "!attrs.tags.exists(t, attrs.id.contains(t)) || has(attrs.id)",
        "attrs.tags.all(t, attrs.id.contains(t) || has(attrs.id))",
        "attrs.tags.exists(t, attrs.id.contains(t)) ? true : has(attrs.id)",
    ] {
        assert_eq!(reads(costly), Err(Fault::Cost), "{costly}");
    }
}

/// The same condition under the crate's own interpreter: `None` is a fault.
fn interpreted(source: &str, given: &Attributes) -> Option<bool> {
    let program = cel::Program::compile(source).unwrap();
    let mut context = cel::Context::default();
    let value = |value: &Value| -> cel::Value {
        match value {
            Value::Text(text) => text.to_string().into(),
            Value::Number(number) => (*number).into(),
            Value::Flag(flag) => (*flag).into(),
            Value::List(list) => list
                .iter()
                .map(|t| cel::Value::from(t.to_string()))
                .collect::<Vec<_>>()
                .into(),
        }
    };
    let attrs: std::collections::HashMap<String, cel::Value> = given
        .iter()
        .map(|a| (a.name.to_string(), value(&a.value)))
        .collect();
    context.add_variable_from_value("attrs", attrs);
    context.add_variable_from_value("subject", "d:somebody".to_string());
    match program.execute(&context) {
        Ok(cel::Value::Bool(flag)) => Some(flag),
        _ => None,
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("attrs.id".to_string()),
        Just("attrs.ref".to_string()),
        Just("attrs['claims.team']".to_string()),
        Just("subject".to_string()),
        "[ab]{0,2}".prop_map(|s| format!("'{s}'")),
    ]
}

fn list() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("attrs.tags".to_string()),
        Just("['a', 'b']".to_string()),
        Just("['ab']".to_string()),
    ]
}

fn boolean() -> impl Strategy<Value = String> {
    let op = prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let search = prop::sample::select(vec!["startsWith", "endsWith", "contains"]);
    let each = prop::sample::select(vec!["all", "exists"]);
    let leaf = prop_oneof![
        Just("attrs.protected".to_string()),
        Just("has(attrs.environment)".to_string()),
        Just("has(attrs.id)".to_string()),
        (text(), op.clone(), text()).prop_map(|(a, o, b)| format!("({a} {o} {b})")),
        (text(), op, 0..4i64).prop_map(|(a, o, n)| format!("(size({a}) {o} {n})")),
        (text(), search, text()).prop_map(|(a, s, b)| format!("{a}.{s}({b})")),
        (text(), list()).prop_map(|(a, l)| format!("({a} in {l})")),
        (list(), each, text(), prop::sample::select(vec!["==", "<"]))
            .prop_map(|(l, e, t, o)| format!("{l}.{e}(x, x {o} {t})")),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            inner.clone().prop_map(|a| format!("!({a})")),
            (inner.clone(), inner.clone(), inner)
                .prop_map(|(c, a, b)| format!("({c} ? {a} : {b})")),
        ]
    })
}

fn identity() -> impl Strategy<Value = Attributes> {
    let short = || "[ab]{0,2}".prop_map(|t| Value::Text(t.into()));
    let set = |name: &'static str, value: Option<Value>| {
        value.map(|value| Attribute {
            name: name.into(),
            value,
            asserted_by: Asserter::Issuer,
        })
    };
    (
        prop::option::of(short()),
        prop::option::of(short()),
        prop::option::of(prop_oneof![
            short(),
            (0..3i64).prop_map(Value::Number),
            any::<bool>().prop_map(Value::Flag)
        ]),
        prop::option::of(any::<bool>().prop_map(Value::Flag)),
        prop::option::of(
            prop::collection::vec("[ab]{0,2}", 0..4)
                .prop_map(|l| Value::List(l.into_iter().map(Into::into).collect())),
        ),
    )
        .prop_map(move |(id, r, team, protected, tags)| {
            [
                set("id", id),
                set("ref", r),
                set("claims.team", team),
                set("protected", protected),
                set("tags", tags),
            ]
            .into_iter()
            .flatten()
            .collect()
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn conditions_mean_what_cel_means(source in boolean(), given in identity()) {
        match compile(&source) {
            Ok(condition) => prop_assert_eq!(
                condition.holds("d:somebody", &given).ok(),
                interpreted(&source, &given),
                "{}", source
            ),
            Err(error) => prop_assert_eq!(error, PolicyError::ConditionConstant, "{}", source),
        }
    }

    #[test]
    fn no_text_makes_compiling_panic(source in "[a-z.()\\[\\]'\"!&|=<>?:, \\\\0-9\\-]{0,40}") {
        let _ = compile(&source);
    }
}
