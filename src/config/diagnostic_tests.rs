use std::ffi::OsStr;

use proptest::prelude::*;

use super::*;

fn diagnostic(text: &str, start: usize, end: usize) -> Diagnostic {
    Diagnostic {
        file: Arc::new(SourceFile {
            path: "trust-domains/github-acme.yaml".to_owned(),
            text: text.to_owned(),
        }),
        span: Span::at(text, start, end),
        severity: Severity::Error,
        code: Code::UnknownKey,
        message: "unknown key `branch`".to_owned(),
        help: Some("did you mean `ref`?".to_owned()),
        note: Some("known keys: repository, ref".to_owned()),
    }
}

#[test]
fn the_line_is_shown_with_a_marker_and_a_suggestion() {
    let text = "match:\n  environment: production\n  branch: main\n";
    let at = text.find("branch").unwrap();
    let shown = diagnostic(text, at, at + "branch".len()).render(Style::Plain);
    let expected = "\
error[unknown-key]: unknown key `branch`
 --> trust-domains/github-acme.yaml:3:3
  |
2 |   environment: production
3 |   branch: main
  |   ^^^^^^ did you mean `ref`?
  |
  = note: known keys: repository, ref";
    assert_eq!(shown, expected);
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let coloured = diagnostic("branch: x\n", 0, 6).render(Style::Colour);
    assert!(coloured.contains("\u{1b}["), "{coloured:?}");
    assert!(
        !diagnostic("branch: x\n", 0, 6)
            .render(Style::Plain)
            .contains('\u{1b}')
    );
    assert_eq!(Style::detect(true, None), Style::Colour);
    assert_eq!(Style::detect(true, Some(OsStr::new(""))), Style::Colour);
    assert_eq!(Style::detect(true, Some(OsStr::new("1"))), Style::Plain);
    assert_eq!(Style::detect(false, None), Style::Plain);
}

#[test]
fn a_marker_over_several_lines_is_cut_to_the_first() {
    let shown = diagnostic("a:\n  - b\n  - c\n", 0, 13).render(Style::Plain);
    assert!(shown.contains("1 | a:\n  | ^^ did you mean"), "{shown}");
    assert!(!shown.contains("- c"), "{shown}");
}

#[test]
fn nothing_in_a_file_reaches_the_terminal_raw() {
    let text = "x: \u{1b}[31m\u{202e}y\\d\n";
    let shown = diagnostic(text, 3, text.len()).render(Style::Plain);
    assert!(shown.contains("\\u{1b}[31m\\u{202e}y\\d"), "{shown}");
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'));
}

#[test]
fn a_file_without_text_is_named_alone() {
    let shown = diagnostic("", 0, 0).render(Style::Plain);
    assert!(
        shown.contains("--> trust-domains/github-acme.yaml"),
        "{shown}"
    );
    assert!(shown.contains("help: did you mean"), "{shown}");
}

#[test]
fn json_and_one_line_forms_carry_the_place() {
    let text = "ä: 1\nbranch: x\n";
    let at = text.find("branch").unwrap();
    let diagnostic = diagnostic(text, at, at + 6);
    let json = diagnostic.to_json();
    assert_eq!(json["line"], 2);
    assert_eq!(json["column"], 1);
    assert_eq!(json["endLine"], 2);
    assert_eq!(json["endColumn"], 7);
    assert_eq!(json["severity"], "error");
    assert_eq!(json["code"], "unknown-key");
    assert_eq!(json["file"], "trust-domains/github-acme.yaml");
    assert_eq!(
        diagnostic.to_string(),
        "trust-domains/github-acme.yaml:2:1: error[unknown-key]: unknown key `branch` \
         (did you mean `ref`?)"
    );
}

#[test]
fn all_are_drawn_with_a_count() {
    let one = diagnostic("branch: x\n", 0, 6);
    let warning = Diagnostic {
        severity: Severity::Warning,
        ..one.clone()
    };
    assert!(
        render_all(&[one.clone(), one.clone(), warning.clone()], Style::Plain)
            .ends_with("2 errors, 1 warning")
    );
    assert!(render_all(&[warning], Style::Plain).ends_with("\n1 warning"));
    assert!(render_all(&[one], Style::Plain).ends_with("\n1 error"));
}

#[test]
fn codes_are_distinct_and_explained() {
    let names: std::collections::BTreeSet<_> = Code::ALL.iter().map(|c| c.as_str()).collect();
    assert_eq!(names.len(), Code::ALL.len());
    for code in Code::ALL {
        assert!(code.meaning().ends_with('.'), "{code}");
    }
}

proptest! {
    #[test]
    fn drawing_never_panics(text in "[a-zäß\u{1b}\u{202e}\t\\\\ \r\n]{0,80}", start in 0usize..90, length in 0usize..90) {
        let diagnostic = diagnostic(&text, start, start.saturating_add(length));
        drop(diagnostic.render(Style::Colour));
        let shown = diagnostic.render(Style::Plain);
        prop_assert!(!shown.contains('\u{1b}'), "escape");
        drop(diagnostic.to_json());
    }
}
