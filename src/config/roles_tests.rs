use super::*;
use crate::{
    config::diagnostic::{Diagnostic, Severity},
    model::TargetSigning,
};

fn targets() -> Vec<Arc<Target>> {
    vec![Arc::new(Target {
        name: "prod".parse().unwrap(),
        resource: None,
        address: "temporal:7233".to_owned(),
        audience: "temporal".to_owned(),
        namespaces: vec!["payments".parse().unwrap(), "orders".parse().unwrap()],
        max_ttl: Ttl::secs(3600),
        signing: TargetSigning::Es256,
        jwks_refresh: Ttl::secs(60),
        key_lifetime: Ttl::secs(86_400),
        permissions_claim: "permissions".to_owned(),
    })]
}

fn read_text(spec: &str) -> (Vec<Role>, Vec<Diagnostic>) {
    let text =
        format!("apiVersion: assay/v1\nkind: Roles\nmetadata: {{ name: payments }}\nspec:\n{spec}");
    let mut document = Document::read("payments.yaml", text.as_bytes()).unwrap();
    let roles = read(&mut document, &targets());
    (roles, document.report.into_found())
}

fn refused(spec: &str) -> (u32, u32, Code, String) {
    let (_, found) = read_text(spec);
    let [one] = found.as_slice() else {
        panic!("{found:#?}");
    };
    assert_eq!(one.severity, Severity::Error);
    (
        one.span.line,
        one.span.column,
        one.code,
        one.help.clone().unwrap_or_default(),
    )
}

fn role(lines: &str) -> String {
    format!("  target: prod\n  roles:\n    worker:\n{lines}")
}

#[test]
fn roles_are_read_with_their_permissions() {
    let (roles, found) = read_text(&role(
        "      namespaces: { payments: worker, orders: read }\n      maxTtl: 30m\n    root:\n      systemRole: admin\n",
    ));
    assert_eq!(found, []);
    let permissions = |at: usize| -> Vec<_> {
        roles[at]
            .permissions
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    assert_eq!(permissions(0), ["payments:write", "orders:read"]);
    assert_eq!(roles[0].max_ttl.to_string(), "30m");
    assert_eq!(roles[0].line, 7);
    assert_eq!(permissions(1), ["temporal-system:admin"]);
    assert_eq!(roles[1].max_ttl.to_string(), "1h");
}

#[test]
fn a_namespace_that_the_target_does_not_list_is_refused() {
    let found = refused(&role("      namespaces: { paymets: write }\n"));
    assert_eq!(
        found,
        (
            8,
            21,
            Code::InvalidValue,
            "did you mean `payments`?".to_owned()
        )
    );
    let found = refused(&role("      namespaces: { zzz: admin }\n"));
    assert!(found.3.contains("once it exists"), "{found:?}");
}

#[test]
fn the_whole_cluster_takes_its_own_key() {
    let found = refused(&role("      namespaces: { temporal-system: admin }\n"));
    assert_eq!((found.1, found.2), (21, Code::InvalidValue));
    assert_eq!(
        refused(&role("      systemRole: root\n")).2,
        Code::InvalidValue
    );
}

#[test]
fn a_role_allows_something() {
    assert_eq!(
        refused(&role("      maxTtl: 5m\n")).3,
        "add `namespaces: { NAME: read }`"
    );
    assert_eq!(refused("  target: prod\n  roles: {}\n").2, Code::MissingKey);
}

#[test]
fn an_unknown_target_is_named_once() {
    let found = refused("  target: prd\n  roles: { worker: { namespaces: { payments: read } } }\n");
    assert_eq!(
        found,
        (5, 11, Code::InvalidValue, "did you mean `prod`?".to_owned())
    );
}

#[test]
fn a_17_a_lifetime_beyond_the_targets_is_cut_and_said() {
    let (roles, found) = read_text(&role(
        "      namespaces: { payments: read }\n      maxTtl: 2h\n",
    ));
    assert_eq!(found[0].severity, Severity::Warning);
    assert_eq!(roles[0].max_ttl.to_string(), "1h");
}

#[test]
fn names_are_names() {
    let found = refused(
        "  target: prod\n  roles:\n    Payments Worker: { namespaces: { payments: read } }\n",
    );
    assert_eq!(
        found,
        (
            7,
            5,
            Code::InvalidValue,
            "did you mean `payments-worker`?".to_owned()
        )
    );
}
