use proptest::prelude::*;

use super::*;

fn fault(text: &str) -> (u32, u32, Code, String) {
    let parsed = parse(text);
    let fault = parsed
        .faults
        .first()
        .unwrap_or_else(|| panic!("no fault in {text:?}"));
    (
        fault.span.line,
        fault.span.column,
        fault.code,
        fault.message.clone(),
    )
}

fn clean(text: &str) -> Node {
    let parsed = parse(text);
    assert_eq!(parsed.faults, [], "{text:?}");
    parsed.root.unwrap()
}

fn scalar(node: &Node) -> (&str, bool) {
    match &node.value {
        Value::Scalar { text, plain } => (text, *plain),
        other => panic!("not a scalar: {other:?}"),
    }
}

#[test]
fn every_node_knows_its_place() {
    let text = "a: 1 # x\nb:\n  - two\n  - { c: \"d\" , e: [f, g] }\n";
    let root = clean(text);
    let written = |span: Span| &text[span.start..span.end];
    let a = root.get("a").unwrap();
    assert_eq!((a.key_span.line, a.key_span.column), (1, 1));
    assert_eq!(written(a.value.span), "1");
    let b = root.get("b").unwrap();
    let Value::List(items) = &b.value.value else {
        panic!()
    };
    assert_eq!(written(items[0].span), "two");
    assert_eq!((items[1].span.line, items[1].span.column), (4, 5));
    assert_eq!(written(items[1].span), "{ c: \"d\" , e: [f, g] }");
    assert_eq!(written(items[1].get("c").unwrap().value.span), "\"d\"");
    assert_eq!(written(items[1].get("e").unwrap().value.span), "[f, g]");
    assert_eq!(written(b.value.span), "- two\n  - { c: \"d\" , e: [f, g] }");
}

#[test]
fn places_count_characters_in_columns_and_bytes_in_ranges() {
    let text = "ä: ö\r\n\"ßß\": [ü, x]\r\n";
    let root = clean(text);
    let entry = root.get("ßß").unwrap();
    assert_eq!((entry.key_span.line, entry.key_span.column), (2, 1));
    let Value::List(items) = &entry.value.value else {
        panic!()
    };
    assert_eq!(&text[items[1].span.start..items[1].span.end], "x");
    assert_eq!(items[1].span.column, 11);
    assert_eq!(
        &text[root.get("ä").unwrap().value.span.start..][.."ö".len()],
        "ö"
    );
}

#[test]
fn scalars_keep_the_text_that_was_written() {
    let root = clean("[0123, 1e3, no, 0x10, \"0123\", 'it''s', ~, 1_000]");
    let Value::List(items) = &root.value else {
        panic!()
    };
    let texts: Vec<_> = items.iter().map(scalar).collect();
    assert_eq!(
        texts,
        [
            ("0123", true),
            ("1e3", true),
            ("no", true),
            ("0x10", true),
            ("0123", false),
            ("it's", false),
            ("~", true),
            ("1_000", true),
        ]
    );
}

#[test]
fn quoted_text_may_run_over_lines_and_plain_text_may_not() {
    assert_eq!(
        scalar(&clean("a: \"x\n  y\"\n").get("a").unwrap().value),
        ("x y", false)
    );
    let (line, column, code, message) = fault("a: x\n  y\n");
    assert_eq!((line, column, code), (1, 4, Code::NotSupported));
    assert!(message.contains("several lines"), "{message}");
}

#[test]
fn g_13_duplicate_keys_are_refused_at_every_depth() {
    let (line, column, code, message) = fault("a: 1\nb: 2\na: 3\n");
    assert_eq!((line, column, code), (3, 1, Code::DuplicateKey));
    assert_eq!(message, "`a` stands twice in this mapping");
    assert_eq!(fault("x:\n  - { k: 1, \"k\": 2 }\n").2, Code::DuplicateKey);
    clean("a: { k: 1 }\nb: { k: 1 }\n");
}

#[test]
fn what_a_reader_does_not_expect_is_refused() {
    let cases = [
        ("a: &x 1\n", "anchors"),
        ("a: &x { b: 1 }\n", "anchors"),
        ("a: &x 1\nb: *x\n", "anchors"),
        ("a: !!str 1\n", "tags"),
        ("a: !Ref x\n", "tags"),
        ("a: !x [b]\n", "tags"),
        ("<<: { a: 1 }\n", "merge keys"),
        ("a: |\n  text\n", "block text"),
        ("a: >-\n  text\n", "block text"),
    ];
    for (text, word) in cases {
        let (_, _, code, message) = fault(text);
        assert_eq!(code, Code::NotSupported, "{text:?}");
        assert!(message.contains(word), "{text:?}: {message}");
    }
    let aliased = parse("a: &x 1\nb: *x\n");
    assert!(
        aliased
            .faults
            .iter()
            .any(|f| f.message.contains("aliases") && f.span.line == 2)
    );
    assert_eq!(fault("? [a]\n: b\n").2, Code::Syntax);
}

#[test]
fn one_document_per_file() {
    clean("---\na: 1\n");
    let (line, _, _, message) = fault("a: 1\n---\nb: 2\n");
    assert_eq!(
        (line, message.as_str()),
        (2, "a second document begins here")
    );
    assert!(fault("%YAML 1.2\n---\na: 1\n").3.contains("directives"));
    assert!(fault("%TAG ! x:\n---\na: 1\n").3.contains("directives"));
    clean("---\na: \"b\n  %c\"\n");
}

#[test]
fn text_that_is_not_yaml_says_where() {
    for text in [
        "a: [1, 2\n",
        "a: b: c\n",
        "a: \"x\n",
        "a: 1\n b: 2\n",
        "{a: 1",
        "a: @b\n",
    ] {
        let parsed = parse(text);
        assert!(parsed.root.is_none(), "{text:?}");
        assert_eq!(parsed.faults.last().unwrap().code, Code::Syntax, "{text:?}");
    }
}

#[test]
fn a_tab_is_never_indentation() {
    for text in ["\ta: 1\n", "a:\n \tb: 1\n", "a: [\n\tb]\n"] {
        let parsed = parse(text);
        let message = &parsed.faults[0].message;
        assert!(message.contains("a tab"), "{text:?}: {message}");
    }
    clean("a: 1\t# x\n\t\nb: 2\n");
}

#[test]
fn an_empty_file_has_no_root() {
    for text in ["", "\n", "# only a comment\n", "---\n"] {
        let root = parse(text).root;
        assert!(
            root.is_none_or(|node| scalar(&node).0.is_empty()),
            "{text:?}"
        );
    }
}

#[test]
fn depth_and_size_are_bounded() {
    let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    clean(&nested(MAX_DEPTH));
    assert_eq!(fault(&nested(MAX_DEPTH + 1)).2, Code::TooBig);
    assert_eq!(
        fault(&format!("{}a", "- ".repeat(MAX_DEPTH + 1))).2,
        Code::TooBig
    );
    let keys = |n: usize| (0..n).map(|i| format!("k{i}: 1\n")).collect::<String>();
    clean(&keys(MAX_KEYS));
    let parsed = parse(&keys(MAX_KEYS + 9));
    assert_eq!(parsed.faults.len(), 1);
    assert_eq!(parsed.faults[0].code, Code::TooBig);
    assert!(decode(&vec![b'a'; MAX_BYTES]).is_ok());
    assert_eq!(
        decode(&vec![b'a'; MAX_BYTES + 1]).unwrap_err().1.code,
        Code::TooBig
    );
}

#[test]
fn only_plain_utf8_is_read() {
    let refused = |bytes: &[u8]| {
        let (_, fault) = decode(bytes).unwrap_err();
        assert_eq!(fault.code, Code::Encoding);
        (fault.span.line, fault.span.column, fault.message)
    };
    assert_eq!(
        refused(b"a: 1\nb: \0\n"),
        (2, 4, "the file holds a NUL byte".to_owned())
    );
    assert!(
        refused("\u{feff}a: 1\n".as_bytes())
            .2
            .contains("byte order mark")
    );
    assert_eq!(
        refused(b"a: 1\nb: \xff\n"),
        (2, 4, "byte 9 is not UTF-8".to_owned())
    );
    assert!(refused(b"a: \x1b[31m").2.contains("U+001B"));
    assert!(refused(b"a\0:\0 \0").2.contains("NUL"));
    assert_eq!(decode("a: ä\t\r\n".as_bytes()).unwrap(), "a: ä\t\r\n");
}

/// Every span of a tree, children inside their parents.
fn spans(node: &Node, all: &mut Vec<Span>) {
    all.push(node.span);
    match &node.value {
        Value::Scalar { .. } => {}
        Value::List(items) => items.iter().for_each(|item| spans(item, all)),
        Value::Map(entries) => entries.iter().for_each(|entry| {
            all.push(entry.key_span);
            spans(&entry.value, all);
        }),
    }
}

/// Text made of the pieces that YAML gives a meaning.
fn yaml_like() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("a: ".to_owned()),
        Just("- ".to_owned()),
        Just("\n".to_owned()),
        Just("\n  ".to_owned()),
        Just("\n    ".to_owned()),
        Just("\r\n".to_owned()),
        Just("? ".to_owned()),
        Just(": ".to_owned()),
        Just("&x ".to_owned()),
        Just("*x ".to_owned()),
        Just("!!str ".to_owned()),
        Just("<<: ".to_owned()),
        Just("|\n".to_owned()),
        Just(">-\n".to_owned()),
        Just("---\n".to_owned()),
        Just("...\n".to_owned()),
        Just("%TAG ! x\n".to_owned()),
        Just("ä".to_owned()),
        Just("\t".to_owned()),
        "[\\[\\]{},'\"#@`%\\\\ ]{1,3}",
        "[a-z0-9~.:-]{1,6}",
        "\\PC{1,4}",
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_without_a_panic(text in yaml_like()) {
        let parsed = parse(&text);
        let mut all: Vec<_> = parsed.faults.iter().map(|f| f.span).collect();
        if let Some(root) = &parsed.root {
            spans(root, &mut all);
        }
        for span in all {
            prop_assert!(span.start <= span.end && span.end <= text.len(), "{span:?}");
            prop_assert!(text.is_char_boundary(span.start) && text.is_char_boundary(span.end));
            prop_assert!(span.line >= 1 && span.column >= 1);
        }
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        match decode(&bytes) {
            Ok(text) => drop(parse(text)),
            Err((shown, fault)) => prop_assert!(fault.span.end <= shown.len()),
        }
    }

    #[test]
    fn lines_and_columns_agree_with_the_bytes(keys in prop::collection::hash_set("[a-zäß]{1,8}", 1..10)) {
        let text: String = keys.iter().map(|k| format!("{k}: [ö, {k}]\n")).collect();
        let parsed = parse(&text);
        prop_assert!(parsed.faults.is_empty());
        let mut all = Vec::new();
        spans(&parsed.root.unwrap(), &mut all);
        for span in all {
            prop_assert_eq!(span, Span::at(&text, span.start, span.end));
        }
    }
}
