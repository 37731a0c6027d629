use std::fs;

use super::*;

const BROKER: &str = "\
apiVersion: assay/v1
kind: Broker
metadata: { name: assay }
spec:
  issuer: https://assay.test
  listen: { public: 127.0.0.1:8443 }
  plaintext: loopback-only
  trustDomains: trust-domains
  ledger: { path: ledger.db }
  keyEncryption: { key: env:KEK }
  targets:
    prod:
      selfHosted: { address: temporal.test:7233, audience: temporal, namespaces: [payments] }
";

const ROLES: &str = "\
apiVersion: assay/v1
kind: Roles
metadata: { name: roles }
spec:
  target: prod
  roles: { worker: { namespaces: { payments: write } } }
";

fn set_up() -> (tempfile::TempDir, PathBuf, Reload) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("trust-domains")).unwrap();
    let path = folder.path().join("assay.yaml");
    fs::write(&path, BROKER).unwrap();
    fs::write(folder.path().join("trust-domains/roles.yaml"), ROLES).unwrap();
    let plan = Plan::load(&path).unwrap();
    let reload = Reload::new(path.clone(), &plan);
    (folder, path, reload)
}

#[test]
fn nothing_is_loaded_for_nothing() {
    let (_folder, _, mut reload) = set_up();
    assert!(matches!(reload.poll(), Change::None));
    assert!(matches!(reload.poll(), Change::None));
    assert!(matches!(reload.force(), Change::None));
}

#[test]
fn a_changed_file_is_a_new_plan_once() {
    let (folder, path, mut reload) = set_up();
    fs::write(&path, BROKER.replace("8443", "8444")).unwrap();
    let Change::Plan(plan) = reload.poll() else {
        panic!()
    };
    assert_eq!(plan.broker().listen.public.port(), 8444);
    assert!(matches!(reload.poll(), Change::None));
    fs::write(
        folder.path().join("trust-domains/roles.yaml"),
        ROLES.replace("write", "read"),
    )
    .unwrap();
    assert!(matches!(reload.poll(), Change::Plan(_)));
}

#[test]
fn f_21_a_bad_file_is_said_and_the_old_plan_stays() {
    let (folder, _, mut reload) = set_up();
    let roles = folder.path().join("trust-domains/roles.yaml");
    fs::write(&roles, ROLES.replace("payments:", "paymets:")).unwrap();
    let Change::Faulty(found) = reload.poll() else {
        panic!()
    };
    assert_eq!((found.len(), found[0].span.line), (1, 6));
    assert!(matches!(reload.poll(), Change::None));
    fs::write(&roles, ROLES).unwrap();
    assert!(matches!(reload.poll(), Change::Restored));
    assert!(matches!(reload.poll(), Change::None));
}

#[test]
fn a_file_that_comes_or_goes_is_a_change() {
    let (folder, _, mut reload) = set_up();
    let more = folder.path().join("trust-domains/more.yaml");
    fs::write(
        &more,
        ROLES
            .replace("roles }", "more }")
            .replace("worker", "other"),
    )
    .unwrap();
    assert!(matches!(reload.poll(), Change::Plan(_)));
    fs::remove_file(&more).unwrap();
    assert!(matches!(reload.poll(), Change::Plan(_)));
    fs::remove_file(folder.path().join("assay.yaml")).unwrap();
    assert!(matches!(reload.poll(), Change::Faulty(_)));
}

#[test]
fn a_change_between_reading_and_watching_is_not_lost() {
    let (folder, path, _) = set_up();
    let plan = Plan::load(&path).unwrap();
    fs::write(
        folder.path().join("trust-domains/roles.yaml"),
        ROLES.replace("write", "read"),
    )
    .unwrap();
    let mut reload = Reload::new(path, &plan);
    assert!(matches!(reload.poll(), Change::Plan(_)));
}

#[test]
fn another_folder_is_watched_from_then_on() {
    let (folder, path, mut reload) = set_up();
    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(
        &path,
        BROKER.replace("trustDomains: trust-domains", "trustDomains: other"),
    )
    .unwrap();
    assert!(matches!(reload.poll(), Change::Plan(_)));
    fs::write(other.join("roles.yaml"), ROLES).unwrap();
    assert!(matches!(reload.poll(), Change::Plan(_)));
    fs::write(folder.path().join("trust-domains/roles.yaml"), "x").unwrap();
    assert!(matches!(reload.poll(), Change::None));
}
