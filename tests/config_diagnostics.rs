//! Configuration from the outside: the examples load, and what is wrong is
//! said with its place and what to write instead.

use std::path::Path;

use assay::config::{Diagnostic, Plan, Style, diagnostic::render_all};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn show(found: &[Diagnostic]) -> String {
    render_all(found, Style::Plain)
}

#[test]
fn the_examples_load_and_their_tests_pass() {
    let plan = Plan::load(&root().join("examples/assay.yaml"));
    let plan = plan.unwrap_or_else(|found| panic!("{}", show(&found)));
    assert_eq!(plan.warnings(), [], "{}", show(plan.warnings()));
    assert!(plan.tests().len() >= 12 && plan.tests().iter().all(|t| t.passed));
}
