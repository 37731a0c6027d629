use super::*;
use crate::config::{checked::*, diagnostic::*, yaml};
use crate::evidence::Setting;
use std::sync::Arc;

const INNER: shape::Object = shape::Object {
    doc: "An inner object.",
    keys: &[
        Key {
            name: "host",
            doc: "HOST:PORT.",
            kind: Kind::Text(Form::Address),
            required: true,
        },
        Key {
            name: "ttl",
            doc: "A duration.",
            kind: Kind::Text(Form::Duration),
            required: false,
        },
    ],
};

const SHAPE: shape::Object = shape::Object {
    doc: "Every kind.",
    keys: &[
        Key {
            name: "id",
            doc: "An id.",
            kind: Kind::Text(Form::Free),
            required: true,
        },
        Key {
            name: "name",
            doc: "A name.",
            kind: Kind::Text(Form::Name),
            required: false,
        },
        Key {
            name: "word",
            doc: "A word.",
            kind: Kind::Word(&["none", "mismatch", "full"]),
            required: false,
        },
        Key {
            name: "flag",
            doc: "A flag.",
            kind: Kind::Flag,
            required: false,
        },
        Key {
            name: "count",
            doc: "1 to 100.",
            kind: Kind::Number(1, 100),
            required: false,
        },
        Key {
            name: "items",
            doc: "A list.",
            kind: Kind::List(&Kind::Object(&INNER)),
            required: false,
        },
        Key {
            name: "texts",
            doc: "Texts.",
            kind: Kind::Texts(Form::Namespace),
            required: false,
        },
        Key {
            name: "inner",
            doc: "Inner.",
            kind: Kind::Object(&INNER),
            required: false,
        },
        Key {
            name: "map",
            doc: "A map.",
            kind: Kind::Map(&Kind::Text(Form::Access)),
            required: false,
        },
        Key {
            name: "one",
            doc: "One of two.",
            kind: Kind::OneOf(&[
                Key {
                    name: "url",
                    doc: "A URL.",
                    kind: Kind::Text(Form::Url),
                    required: false,
                },
                Key {
                    name: "file",
                    doc: "A file.",
                    kind: Kind::Text(Form::Path),
                    required: false,
                },
            ]),
            required: false,
        },
        Key {
            name: "any",
            doc: "Any.",
            kind: Kind::Map(&Kind::Any),
            required: false,
        },
        Key {
            name: "secret",
            doc: "A secret.",
            kind: Kind::Text(Form::Secret),
            required: false,
        },
        Key {
            name: "cel",
            doc: "CEL.",
            kind: Kind::Text(Form::Cel),
            required: false,
        },
    ],
};

fn run(text: &str) -> (Option<Fields>, Vec<Diagnostic>) {
    let file = Arc::new(SourceFile {
        path: "x.yaml".to_owned(),
        text: text.to_owned(),
    });
    let mut report = Report::new(file);
    let parsed = yaml::parse(text);
    assert_eq!(parsed.faults, [], "{text:?}");
    let fields = object(&parsed.root.unwrap(), &SHAPE, &mut report);
    (fields, report.into_found())
}

fn accepted(text: &str) -> Fields {
    let (fields, found) = run(text);
    assert_eq!(found, [], "{text:?}");
    fields.unwrap()
}

/// The one problem: line, column, code, message, help.
fn refused(text: &str) -> (u32, u32, Code, String, String) {
    let (_, found) = run(text);
    let [one] = found.as_slice() else {
        panic!("{text:?}: {found:#?}");
    };
    let help = one.help.clone().unwrap_or_default();
    (
        one.span.line,
        one.span.column,
        one.code,
        one.message.clone(),
        help,
    )
}

#[test]
fn scalars_take_the_type_that_their_key_has() {
    let fields = accepted("id: 0123\nflag: true\ncount: 42\n");
    assert_eq!(fields.text("id"), Some("0123"));
    assert_eq!(fields.flag("flag"), Some(true));
    assert_eq!(fields.number("count"), Some(42));
    for id in ["no", "1e3", "true", "0x10", "1_000", "\"null\""] {
        let fields = accepted(&format!("id: {id}\n"));
        assert_eq!(fields.text("id"), Some(id.trim_matches('"')));
    }
}

#[test]
fn flags_are_true_or_false_and_nothing_else() {
    for (written, help) in [
        ("yes", "write `true`"),
        ("On", "write `true`"),
        ("no", "write `false`"),
        ("\"true\"", "write it without quotes"),
        ("True", "write `true`"),
        ("1", "write `true` or `false`"),
    ] {
        let found = refused(&format!("id: x\nflag: {written}\n"));
        assert_eq!(
            (found.0, found.1, found.2, found.4.as_str()),
            (2, 7, Code::WrongType, help),
            "{written}"
        );
    }
    assert_eq!(accepted("id: x\nflag: false\n").flag("flag"), Some(false));
}

#[test]
fn numbers_are_digits_in_a_range() {
    for (written, code) in [
        ("0", Code::InvalidValue),
        ("101", Code::InvalidValue),
        ("99999999999999999999999", Code::InvalidValue),
        ("007", Code::WrongType),
        ("-1", Code::WrongType),
        ("1.5", Code::WrongType),
        ("1_0", Code::WrongType),
        ("0x10", Code::WrongType),
        ("\"5\"", Code::WrongType),
        ("[5]", Code::WrongType),
    ] {
        assert_eq!(
            refused(&format!("id: x\ncount: {written}\n")).2,
            code,
            "{written}"
        );
    }
    for written in ["1", "100"] {
        assert!(
            accepted(&format!("id: x\ncount: {written}\n"))
                .number("count")
                .is_some()
        );
    }
}

#[test]
fn g_13_an_unknown_key_is_refused_with_the_nearest_one() {
    let cases = [
        ("nmae: x", "did you mean `name`?"),
        ("Name: x", "did you mean `name`?"),
        ("text: x", "did you mean `texts`?"),
        ("secrets: x", "did you mean `secret`?"),
        ("zzzzzz: x", ""),
    ];
    for (line, help) in cases {
        let found = refused(&format!("id: x\n{line}\n"));
        assert_eq!(
            (found.0, found.1, found.2, found.4.as_str()),
            (2, 1, Code::UnknownKey, help),
            "{line}"
        );
    }
    let (_, found) = run("id: x\nzzzzzz: x\n");
    assert!(
        found[0]
            .note
            .as_deref()
            .unwrap()
            .starts_with("known keys: id, name, word")
    );
}

#[test]
fn a_missing_key_is_named_with_its_meaning() {
    assert_eq!(
        refused("name: x\n"),
        (
            1,
            1,
            Code::MissingKey,
            "`id` is missing".to_owned(),
            "An id.".to_owned()
        )
    );
    let found = refused("id: x\ninner:\n  ttl: 5m\n");
    assert_eq!(
        (found.0, found.1, found.3.as_str()),
        (3, 3, "`host` is missing")
    );
}

#[test]
fn a_key_without_a_value_is_reported_once() {
    for text in ["id:\n", "id: ~\n", "id: null\n"] {
        let found = refused(text);
        assert_eq!(
            (found.1, found.3.as_str()),
            (1, "`id` has no value"),
            "{text:?}"
        );
    }
}

#[test]
fn types_that_do_not_fit_are_named() {
    for (line, message) in [
        ("inner: x", "this must be a mapping; it is a single value"),
        ("items: { host: a }", "this must be a list; it is a mapping"),
        ("word: [none]", "this must be one word; it is a list"),
        ("name: { a: b }", "this must be text; it is a mapping"),
        ("map: [x]", "this must be a mapping; it is a list"),
        ("one: x", "this must be a mapping; it is a single value"),
        ("flag: {}", "this must be true or false; it is a mapping"),
        ("texts: [[a]]", "this must be text; it is a list"),
        (
            "any: { a: { b: c } }",
            "this must be a value or a list of texts; it is a mapping",
        ),
    ] {
        assert_eq!(refused(&format!("id: x\n{line}\n")).3, message, "{line}");
    }
}

#[test]
fn forms_are_judged_where_they_stand_and_a_better_spelling_is_offered() {
    for (line, column, help) in [
        ("name: GitHub Acme", 7, "did you mean `github-acme`?"),
        (
            "inner: { host: a:1, ttl: 15 }",
            26,
            "a unit is missing: `15s`?",
        ),
        ("one: { url: http://a.example }", 13, "`https://a.example`"),
        ("one: { url: a.example }", 13, "begin it with `https://`"),
        ("inner: { host: a }", 16, ""),
        ("texts: [a, temporal-system]", 12, ""),
        ("map: { payments: wirte }", 18, ""),
        ("word: ful", 7, "did you mean `full`?"),
        ("word: zzzz", 7, "one of: none, mismatch, full"),
    ] {
        let found = refused(&format!("id: x\n{line}\n"));
        assert_eq!(
            (found.0, found.1, found.2),
            (2, column, Code::InvalidValue),
            "{line}"
        );
        assert_eq!(found.4, help, "{line}");
    }
}

#[test]
fn a_secret_in_the_clear_is_refused_and_not_repeated() {
    let found = refused("id: x\nsecret: hunter2\n");
    assert!(
        !found.3.contains("hunter2") && !found.4.contains("hunter2"),
        "{found:?}"
    );
    assert_eq!(
        accepted("id: x\nsecret: env:KEY\n").text("secret"),
        Some("env:KEY")
    );
}

#[test]
fn a_misspelt_key_is_not_missing_as_well() {
    assert_eq!(refused("ID: x\n").4, "did you mean `id`?");
    assert_eq!(
        refused("id: x\none: { fiel: a }\n").4,
        "did you mean `file`?"
    );
    assert_eq!(run("zzzz: x\n").1.len(), 2);
}

#[test]
fn a_list_with_a_value_that_does_not_fit_is_no_shorter_list() {
    let (fields, found) = run("id: x\ntexts: [a, \"b:c\"]\n");
    assert_eq!(found.len(), 1);
    let fields = fields.unwrap();
    assert!(fields.written("texts") && !fields.has("texts"));
}

#[test]
fn a_secret_in_the_clear_is_hidden_in_every_excerpt() {
    let (_, found) = run("id: x\nsecret: hunter2\nnmae: y\n");
    assert_eq!(found.len(), 2);
    for diagnostic in found {
        let shown = diagnostic.render(Style::Plain);
        assert!(
            shown.contains("*******") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}

#[test]
fn exactly_one_of_alternatives() {
    assert_eq!(
        accepted("id: x\none: { file: a.json }\n")
            .object("one")
            .unwrap()
            .text("file"),
        Some("a.json")
    );
    let found = refused("id: x\none: { file: a, url: https://a.example }\n");
    assert_eq!((found.1, found.2), (17, Code::Conflict));
    assert_eq!(refused("id: x\none: {}\n").2, Code::MissingKey);
    let (_, found) = run("id: x\none: { fil: a }\n");
    assert_eq!(found[0].help.as_deref(), Some("did you mean `file`?"));
}

#[test]
fn one_text_or_several() {
    let texts = |text: &str| {
        accepted(text)
            .list("texts")
            .iter()
            .filter_map(Checked::as_text)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(texts("id: x\ntexts: a\n"), ["a"]);
    assert_eq!(texts("id: x\ntexts: [a, b]\n"), ["a", "b"]);
    assert_eq!(refused("id: x\ntexts: []\n").3, "the list is empty");
}

#[test]
fn a_value_of_any_type_keeps_the_one_it_is_written_in() {
    let fields = accepted(
        "id: x\nany: { a: 1, b: \"1\", c: true, d: \"true\", e: 01, f: [x, 2], g: 18446744073709551616 }\n",
    );
    let any = fields.object("any").unwrap();
    let setting = |name: &str| any.get(name).unwrap().to_setting();
    assert_eq!(setting("a"), Setting::Number(1));
    assert_eq!(setting("b"), Setting::Text("1".to_owned()));
    assert_eq!(setting("c"), Setting::Flag(true));
    assert_eq!(setting("d"), Setting::Text("true".to_owned()));
    assert_eq!(setting("e"), Setting::Text("01".to_owned()));
    assert_eq!(
        setting("f"),
        Setting::Texts(vec!["x".to_owned(), "2".to_owned()])
    );
    assert_eq!(
        setting("g"),
        Setting::Text("18446744073709551616".to_owned())
    );
}

#[test]
fn control_characters_from_escapes_are_refused_outside_of_cel() {
    for text in ["id: \"a\\0b\"\n", "id: \"a\\nb\"\n", "id: \"a\\e[31m\"\n"] {
        assert_eq!(
            refused(text).3,
            "the text holds a control character",
            "{text:?}"
        );
    }
    accepted("id: x\ncel: \"a == 'b'\\n && c\"\n");
    assert_eq!(refused("id: x\ncel: \"a\\0\"\n").2, Code::InvalidValue);
    assert_eq!(refused("id: \" a\"\n").2, Code::InvalidValue);
    assert_eq!(
        refused(&format!("id: {}\n", "x".repeat(2049))).2,
        Code::InvalidValue
    );
}

#[test]
fn all_problems_are_found_in_one_reading() {
    let (_, found) = run(
        "nmae: x\nflag: yes\ncount: 0\nitems:\n  - hots: a\n  - { host: b:1, ttl: 3 }\nword: al\n",
    );
    let lines: Vec<_> = found.iter().map(|d| (d.span.line, d.code)).collect();
    assert_eq!(
        lines,
        [
            (1, Code::UnknownKey),
            (2, Code::WrongType),
            (3, Code::InvalidValue),
            (5, Code::UnknownKey),
            (6, Code::InvalidValue),
            (7, Code::InvalidValue),
            (1, Code::MissingKey),
        ]
    );
}
