use jsonschema::validator_for;

use super::*;

#[test]
fn all_schemas_are_of_their_dialect() {
    assert!(jsonschema::meta::is_valid(&all()));
    for kind in DocumentKind::ALL {
        assert!(jsonschema::meta::is_valid(&document(*kind)), "{kind:?}");
    }
}

/// Every key has a sentence, and no reserved key is offered.
#[test]
fn every_property_is_described() {
    fn walk(schema: &Value, path: &str) {
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            for (name, property) in properties {
                let path = format!("{path}.{name}");
                assert!(
                    !matches!(name.as_str(), "mtls" | "gitlab" | "cloud"),
                    "{path}"
                );
                // What a condition adds to a property is not the property.
                if schema.get("additionalProperties") == Some(&json!(false)) {
                    assert!(
                        property["description"]
                            .as_str()
                            .is_some_and(|d| d.ends_with('.')),
                        "{path}"
                    );
                }
            }
        }
        match schema {
            Value::Object(members) => members
                .iter()
                .for_each(|(name, m)| walk(m, &format!("{path}/{name}"))),
            Value::Array(items) => items.iter().for_each(|item| walk(item, path)),
            _ => {}
        }
    }
    walk(&all(), "");
}

/// The schema never refuses what the loader takes.
#[test]
fn patterns_take_what_the_loader_takes() {
    let good = [
        (Form::Name, "github-acme"),
        (Form::Name, "a"),
        (Form::Duration, "366d"),
        (Form::Url, "https://[::1]:8443/x"),
        (Form::Issuer, "https://a.example/"),
        (Form::Address, "[::1]:7233"),
        (Form::Address, "temporal_1.example:7233"),
        (Form::Listen, "localhost:0"),
        (Form::Listen, "[::]:8443"),
        (Form::Uri, "urn:temporal:prod"),
        (Form::Secret, "file:/run/key"),
        (Form::Namespace, "payments-prod.a1b2c"),
        (Form::Free, "ä b"),
        (Form::Free, "x"),
        (Form::Pattern, "refs/heads/*"),
        (Form::Access, "worker"),
        (Form::Cel, " a\n&& b"),
    ];
    for (form, text) in good {
        assert_eq!(form.judge(text), Ok(()), "{form:?} {text:?}");
        let validator = validator_for(&super::text(form)).unwrap();
        assert!(validator.is_valid(&json!(text)), "{form:?} {text:?}");
        assert!(!validator.is_valid(&json!("")), "{form:?}");
        assert!(!validator.is_valid(&json!(1)), "{form:?}");
    }
}

#[test]
fn each_source_has_its_own_fields() {
    let validator = validator_for(&document(DocumentKind::TrustDomain)).unwrap();
    let with = |source: Value, matched: Value| {
        let mut spec = source;
        spec["rules"] = json!([{ "name": "r", "match": matched, "grant": { "role": "x" } }]);
        json!({ "apiVersion": "assay/v1", "kind": "TrustDomain", "metadata": { "name": "t" }, "spec": spec })
    };
    let kubernetes = || json!({ "kubernetes": { "issuer": "https://a.example" } });
    let github = || json!({ "githubActions": { "organizationId": "1" } });
    assert!(validator.is_valid(&with(kubernetes(), json!({ "namespace": "a" }))));
    assert!(!validator.is_valid(&with(kubernetes(), json!({ "ref": "a" }))));
    assert!(validator.is_valid(&with(
        github(),
        json!({ "ref": ["a", "b"], "refProtected": true })
    )));
    assert!(!validator.is_valid(&with(github(), json!({ "refProtected": "true" }))));
    assert!(!validator.is_valid(&with(github(), json!({ "namespace": "a" }))));
    assert!(!validator.is_valid(&with(json!({}), json!({ "namespace": "a" }))));
    let mut both = kubernetes();
    both["githubActions"] = github()["githubActions"].clone();
    assert!(!validator.is_valid(&with(both, json!({ "namespace": "a" }))));
}
