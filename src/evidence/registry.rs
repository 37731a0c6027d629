//! Which trust domains a token could be from.
//!
//! The unverified issuer, SPIFFE trust domain and tenant are read for this one
//! purpose: a look-up in what is configured. Nothing is fetched, nothing is
//! allocated, and the cost does not grow with the number of trust domains.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
};

use crate::{
    jose::Compact,
    keys::Handle,
    model::{IssuerUrl, Json, Reason},
};

use super::{Rejection, Selector, TrustDomain};

/// A trust domain and its keys.
///
/// They stand apart because a verification takes a snapshot: it cannot fetch.
#[derive(Clone)]
pub struct Entry {
    /// The trust domain.
    pub domain: Arc<TrustDomain>,
    /// Its keys.
    pub keys: Handle,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Entry").field(&self.domain.name).finish()
    }
}

/// All trust domains, by what selects them.
#[derive(Debug)]
pub struct Registry {
    own_issuer: IssuerUrl,
    by_name: BTreeMap<Box<str>, Entry>,
    by_issuer: HashMap<Box<str>, Shared>,
    by_spiffe: HashMap<Box<str>, Shared>,
}

/// The trust domains of one issuer.
#[derive(Debug)]
struct Shared {
    /// The claim that tells its tenants apart, if they are told apart.
    claim: Option<&'static str>,
    /// For each tenant: its trust domains, and those that name no tenant.
    by_tenant: HashMap<Box<str>, Vec<Entry>>,
    /// For every other tenant: the trust domains that name none; if there are
    /// none, one trust domain, to check the signature and then refuse.
    others: Vec<Entry>,
}

impl Registry {
    /// Arranges the trust domains. Their order decides which is tried first
    /// where several share an issuer.
    pub fn new(own_issuer: IssuerUrl, entries: Vec<Entry>) -> Self {
        let mut by_issuer: BTreeMap<Box<str>, Vec<Entry>> = BTreeMap::new();
        let mut by_spiffe: BTreeMap<Box<str>, Vec<Entry>> = BTreeMap::new();
        for entry in &entries {
            let group = match entry.domain.source.selector() {
                Selector::Issuer(issuer) => by_issuer.entry(issuer.as_str().into()),
                Selector::Spiffe(domain) => by_spiffe.entry(domain.as_str().into()),
            };
            group.or_default().push(entry.clone());
        }
        let share = |groups: BTreeMap<Box<str>, Vec<Entry>>| {
            groups
                .into_iter()
                .map(|(selector, group)| (selector, Shared::new(&group)))
                .collect()
        };
        Self {
            own_issuer,
            by_issuer: share(by_issuer),
            by_spiffe: share(by_spiffe),
            by_name: entries
                .into_iter()
                .map(|entry| (entry.domain.name.as_str().into(), entry))
                .collect(),
        }
    }

    /// The trust domains that the unverified token could be from.
    pub fn candidates(&self, unverified: &Compact<'_>) -> &[Entry] {
        self.select(unverified.unverified_claims())
    }

    /// Why there are no candidates.
    pub fn refusal(&self, unverified: &Compact<'_>) -> Rejection {
        self.refuse(unverified.unverified_claims())
    }

    /// The trust domain of that name.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.by_name.get(name)
    }

    /// All trust domains, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.by_name.values()
    }

    fn select(&self, unverified: &Json) -> &[Entry] {
        let spiffe = text(unverified, "sub").and_then(spiffe_domain);
        let shared = spiffe
            .and_then(|name| self.by_spiffe.get(name))
            .or_else(|| self.by_issuer.get(text(unverified, "iss")?));
        shared.map_or(&[], |shared| shared.select(unverified))
    }

    fn refuse(&self, unverified: &Json) -> Rejection {
        let wanted = "the issuer of a configured trust domain";
        match unverified.get("iss") {
            Some(Json::Text(issuer)) if issuer == self.own_issuer.as_str() => {
                Rejection::new(Reason::TokenSelfIssued, "iss").found(issuer)
            }
            Some(Json::Text(issuer)) => Rejection::new(Reason::IssuerUnknown, "iss")
                .found(issuer)
                .wanted(wanted),
            Some(other) => Rejection::new(Reason::ClaimInvalid, "iss")
                .found(other.type_name())
                .wanted("a string"),
            None => match text(unverified, "sub").filter(|sub| spiffe_domain(sub).is_some()) {
                Some(sub) => Rejection::new(Reason::IssuerUnknown, "sub")
                    .found(sub)
                    .wanted("a configured SPIFFE trust domain"),
                None => Rejection::new(Reason::ClaimMissing, "iss").wanted(wanted),
            },
        }
    }
}

impl Shared {
    fn new(group: &[Entry]) -> Self {
        let tenant = |entry: &Entry| entry.domain.source.outline().tenant.clone();
        let claim = group.iter().find_map(tenant).map(|tenant| tenant.claim);
        let told_apart = |entry: &&Entry| tenant(entry).map(|t| t.claim) == claim;
        let mut by_tenant: HashMap<Box<str>, Vec<Entry>> = HashMap::new();
        let ids = group.iter().filter(told_apart).filter_map(tenant);
        for id in ids.map(|tenant| tenant.id) {
            let mine = |entry: &&Entry| {
                !told_apart(entry) || tenant(entry).is_some_and(|tenant| tenant.id == id)
            };
            by_tenant
                .entry(id.as_str().into())
                .or_insert_with(|| group.iter().filter(mine).cloned().collect());
        }
        let mut others: Vec<_> = match claim {
            Some(_) => group.iter().filter(|e| !told_apart(e)).cloned().collect(),
            None => group.to_vec(),
        };
        if others.is_empty() {
            others.extend(group.first().cloned());
        }
        Self {
            claim,
            by_tenant,
            others,
        }
    }

    fn select(&self, unverified: &Json) -> &[Entry] {
        self.claim
            .and_then(|claim| self.by_tenant.get(text(unverified, claim)?))
            .unwrap_or(&self.others)
    }
}

fn text<'c>(claims: &'c Json, name: &str) -> Option<&'c str> {
    claims.get(name)?.as_text()
}

fn spiffe_domain(subject: &str) -> Option<&str> {
    subject.strip_prefix("spiffe://")?.split('/').next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        evidence::testkit::{self, BROKER, GITHUB, at},
        jose::KeySet,
    };

    fn registry(domains: &[Arc<TrustDomain>]) -> Registry {
        let entries = domains.iter().map(|domain| Entry {
            domain: Arc::clone(domain),
            keys: Handle::fixed(KeySet::default(), at(0)),
        });
        Registry::new(BROKER.parse().unwrap(), entries.collect())
    }

    fn names(registry: &Registry, claims: &str) -> Vec<String> {
        registry
            .select(&Json::parse(claims.as_bytes()).unwrap())
            .iter()
            .map(|entry| entry.domain.name.to_string())
            .collect()
    }

    fn github(name: &str, organization: &str) -> Arc<TrustDomain> {
        testkit::domain_named(
            name,
            "githubActions",
            &[("organizationId", testkit::text(organization))],
        )
    }

    fn cluster(name: &str, issuer: &str) -> Arc<TrustDomain> {
        testkit::domain_named(name, "kubernetes", &[("issuer", testkit::text(issuer))])
    }

    fn spiffe(name: &str, trust_domain: &str) -> Arc<TrustDomain> {
        testkit::domain_named(
            name,
            "spiffe",
            &[("trustDomain", testkit::text(trust_domain))],
        )
    }

    #[test]
    fn issuers_are_compared_byte_for_byte() {
        let registry = registry(&[cluster("c", "https://k8s.test/x")]);
        assert_eq!(names(&registry, r#"{"iss":"https://k8s.test/x"}"#), ["c"]);
        // C-15, and section 0 rule 10: nothing is like enough.
        for near in [
            "https://k8s.test/x/",
            "https://K8s.test/x",
            "https://k8s.test/x/y",
            "https://k8s.test",
            "http://k8s.test/x",
            "https://k8s.test.evil.test/x",
            "https://evil.test/?https://k8s.test/x",
            "https://k8s.test/x\\u0000",
            " https://k8s.test/x",
            "",
        ] {
            assert!(
                names(&registry, &format!(r#"{{"iss":"{near}"}}"#)).is_empty(),
                "{near}"
            );
        }
        for wrong in [
            r#"{"iss":["https://k8s.test/x"]}"#,
            r#"{"iss":1}"#,
            "{}",
            "[]",
        ] {
            assert!(names(&registry, wrong).is_empty(), "{wrong}");
        }
    }

    #[test]
    fn clusters_that_share_an_issuer_are_all_candidates_in_order() {
        let shared = "https://kubernetes.default.svc.cluster.local";
        let registry = registry(&[cluster("b", shared), cluster("a", shared)]);
        assert_eq!(
            names(&registry, &format!(r#"{{"iss":"{shared}"}}"#)),
            ["b", "a"]
        );
    }

    #[test]
    fn a_shared_issuer_is_narrowed_by_tenant() {
        let registry = registry(&[github("one", "1"), github("two", "2")]);
        let token = |id: &str| format!(r#"{{"iss":"{GITHUB}","repository_owner_id":{id}}}"#);
        assert_eq!(names(&registry, &token("\"1\"")), ["one"]);
        assert_eq!(names(&registry, &token("\"2\"")), ["two"]);
        // A stranger's tenant costs one signature check, however many there are.
        assert_eq!(names(&registry, &token("\"3\"")), ["one"]);
        assert_eq!(names(&registry, &token("1")), ["one"]);
    }

    #[test]
    fn trust_domains_without_a_tenant_are_candidates_for_every_tenant() {
        let issuer = "https://ghes.test/_services/token";
        let ghes = testkit::domain_named(
            "ghes",
            "githubActions",
            &[
                ("organizationId", testkit::text("1")),
                ("ghesHost", testkit::text("ghes.test")),
            ],
        );
        let registry = registry(&[cluster("any", issuer), ghes]);
        let token = |id: &str| format!(r#"{{"iss":"{issuer}","repository_owner_id":"{id}"}}"#);
        assert_eq!(names(&registry, &token("1")), ["any", "ghes"]);
        assert_eq!(names(&registry, &token("2")), ["any"]);
    }

    #[test]
    fn s_07_the_trust_domain_of_a_spiffe_id_is_compared_whole() {
        let registry = registry(&[spiffe("one", "td1.test"), spiffe("two", "td2.test")]);
        let sub = |sub: &str| format!(r#"{{"sub":"{sub}"}}"#);
        assert_eq!(names(&registry, &sub("spiffe://td1.test/x")), ["one"]);
        assert_eq!(names(&registry, &sub("spiffe://td2.test/x")), ["two"]);
        for near in [
            "spiffe://td1.test.evil/x",
            "spiffe://td1.testx/x",
            "spiffe://evil/td1.test/x",
            "spiffe://TD1.test/x",
            "SPIFFE://td1.test/x",
            "spiffe:/td1.test/x",
            "spiffe:td1.test",
            "http://td1.test/x",
            "spiffe:///x",
        ] {
            assert!(names(&registry, &sub(near)).is_empty(), "{near}");
        }
    }

    #[test]
    fn a_spiffe_id_under_an_oidc_issuer_is_still_that_issuers() {
        let registry = registry(&[
            spiffe("svid", "td1.test"),
            cluster("oidc", "https://oidc.test"),
        ]);
        let both = |td: &str| format!(r#"{{"sub":"spiffe://{td}/x","iss":"https://oidc.test"}}"#);
        assert_eq!(names(&registry, &both("td1.test")), ["svid"]);
        assert_eq!(names(&registry, &both("td9.test")), ["oidc"]);
    }

    #[test]
    fn c_09_a_token_without_candidates_is_told_why() {
        let registry = registry(&[spiffe("one", "td1.test")]);
        let reason = |claims: &str| {
            let rejection = registry.refuse(&Json::parse(claims.as_bytes()).unwrap());
            (rejection.reason, rejection.field)
        };
        assert_eq!(
            reason(&format!(r#"{{"iss":"{BROKER}"}}"#)),
            (Reason::TokenSelfIssued, Some("iss"))
        );
        assert_eq!(
            reason(r#"{"iss":"https://x.test"}"#),
            (Reason::IssuerUnknown, Some("iss"))
        );
        assert_eq!(
            reason(r#"{"sub":"spiffe://td9.test/x"}"#),
            (Reason::IssuerUnknown, Some("sub"))
        );
        assert_eq!(reason("{}"), (Reason::ClaimMissing, Some("iss")));
        for wrong in [r#"["https://x.test"]"#, "1", "null", "{}", "true"] {
            assert_eq!(
                reason(&format!(r#"{{"iss":{wrong}}}"#)),
                (Reason::ClaimInvalid, Some("iss")),
                "{wrong}"
            );
        }
    }

    #[test]
    fn domains_are_found_by_name() {
        let registry = registry(&[spiffe("b", "td1.test"), spiffe("a", "td2.test")]);
        assert_eq!(registry.get("b").unwrap().domain.name.as_str(), "b");
        assert!(registry.get("c").is_none());
        let all: Vec<_> = registry.iter().map(|e| e.domain.name.as_str()).collect();
        assert_eq!(all, ["a", "b"]);
    }
}
