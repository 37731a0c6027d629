//! A Kubernetes cluster: projected service-account tokens.
//!
//! `sub` is made of names that must repeat what the `kubernetes.io` claim
//! says. The kubelet hands out the same file until it rotates it, so single
//! use is off. Tokens made for the API server are refused wherever they show:
//! every pod has one, and every controller has seen some.

use crate::{
    jose::{Algorithm, KeyUse},
    model::{Attributes, FieldKind, IssuerUrl, Json, Reason, Ttl, shape::Kind},
};

use super::{
    Outline, Preset, Profile, Rejection, Selector, SettingProblem, Settings, Source,
    attributes::{self, vocabulary},
    claims::missing,
    preset::{self, optional, settings},
    settings::Reader,
};

/// The preset `kubernetes`.
pub static PRESET: Preset = Preset {
    name: "kubernetes",
    settings: settings! { "A Kubernetes cluster, whose pods show projected service-account tokens.":
        preset::ISSUER,
        optional("requireBoundPod", "Whether a token must be bound to a pod. Default: false.", Kind::Flag),
        preset::KEYS,
        preset::ALGORITHMS,
    },
    fields: FIELDS,
    must_pin: &[&["namespace", "serviceAccount"]],
    untrusted: &[],
    algorithms: &[
        Algorithm::Rs256,
        Algorithm::Es256,
        Algorithm::Es384,
        Algorithm::Es512,
    ],
    key_use: KeyUse::Signature,
    max_lifetime: Ttl::secs(24 * 3600),
    max_age: None,
    single_use: false,
    build,
};

/// Names of service accounts come back when a cluster is made anew under the
/// same project, location and name, and so does the issuer of these clusters.
const NAMED_ISSUER: &str = "https://container.googleapis.com/";
const WITH_UID: &[&[&str]] = &[&["namespace", "serviceAccount", "serviceAccountUid"]];

/// Pods of one owner differ in the last parts of their names.
const PARTS: FieldKind = FieldKind::Segments(&['-', '.']);

const EXACT: FieldKind = FieldKind::Exact;

vocabulary! {
    "namespace"         EXACT Issuer, Required Text ["kubernetes.io", "namespace"],              "The namespace of the service account.";
    "serviceAccount"    EXACT Issuer, Required Text ["kubernetes.io", "serviceaccount", "name"], "The name of the service account.";
    "serviceAccountUid" EXACT Issuer, Required Text ["kubernetes.io", "serviceaccount", "uid"],  "The uid of the service account, which no other one ever has.";
    "pod"               PARTS Caller, Optional Text ["kubernetes.io", "pod", "name"],            "The name of the pod that the token is bound to.";
    "podUid"            EXACT Issuer, Optional Text ["kubernetes.io", "pod", "uid"],             "The uid of that pod.";
    "node"              PARTS Issuer, Optional Text ["kubernetes.io", "node", "name"],           "The node that the pod ran on when the token was issued.";
    "nodeUid"           EXACT Issuer, Optional Text ["kubernetes.io", "node", "uid"],            "The uid of that node.";
}

/// A configured cluster.
#[derive(Clone, Debug)]
pub struct Kubernetes {
    pub(super) outline: Outline,
    require_bound_pod: bool,
}

fn build(settings: &Settings) -> Result<Source, Vec<SettingProblem>> {
    let mut reader = Reader::new(settings);
    let issuer: Option<IssuerUrl> = reader.required("issuer");
    let require_bound_pod = reader.flag("requireBoundPod").unwrap_or(false);
    let audiences = reader.texts("audience").unwrap_or_default();
    if let Some(issuer) = &issuer
        && audiences.iter().any(|a| a == issuer.as_str())
    {
        reader.problem(
            SettingProblem::new("audience", "the issuer is the audience of the API server")
                .hint("project a token with the broker as its audience into the pods"),
        );
    }
    reader.finish(issuer.map(|issuer| {
        let named = issuer.as_str().starts_with(NAMED_ISSUER);
        let mut outline = Outline::new(&PRESET, &Profile::OIDC, Selector::Issuer(issuer));
        if named {
            outline.must_pin = WITH_UID;
        }
        Source::Kubernetes(Kubernetes {
            outline,
            require_bound_pod,
        })
    }))
}

impl Kubernetes {
    pub(super) fn read(&self, claims: &Json) -> Result<Attributes, Rejection> {
        refuse_api_token(claims)?;
        let attributes = attributes::read(claims, CLAIMS, FIELDS)?;
        let wanted = subject(&attributes);
        match claims.get("sub").and_then(Json::as_text) {
            Some(found) if found == wanted => Ok(attributes),
            found => Err(Rejection::new(Reason::SubjectInvalid, "sub")
                .found(found.unwrap_or_default())
                .wanted(wanted)),
        }
    }

    pub(super) fn admits(&self, attributes: &Attributes) -> Result<(), Rejection> {
        if self.require_bound_pod && attributes.get("pod").is_none() {
            return Err(missing("pod").wanted("a token bound to a pod"));
        }
        Ok(())
    }

    pub(super) fn suppose(&self, attributes: &mut Attributes) -> String {
        subject(attributes)
    }
}

/// `warnafter` stands only in tokens for the API server whose life Kubernetes
/// extended to a year. The flat claims are those of the tokens that it kept in
/// secrets, which never expire.
fn refuse_api_token(claims: &Json) -> Result<(), Rejection> {
    if claims.at(&["kubernetes.io", "warnafter"]).is_some() {
        return Err(Rejection::new(Reason::TokenKindRefused, "warnafter")
            .found("present")
            .wanted("a token projected for this audience, not the pod's default token"));
    }
    if claims
        .get("kubernetes.io/serviceaccount/namespace")
        .is_some()
    {
        return Err(Rejection::new(Reason::TokenKindRefused, "kubernetes.io")
            .found("a token from a secret")
            .wanted("a projected token"));
    }
    Ok(())
}

fn subject(attributes: &Attributes) -> String {
    let part = |name| attributes::text(attributes, name).unwrap_or_default();
    format!(
        "system:serviceaccount:{}:{}",
        part("namespace"),
        part("serviceAccount")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{
        Identity, Setting,
        testkit::{T0, Token, check, domain, good, lines, text, try_domain},
    };

    fn verdict(token: &Token) -> Result<Identity, Rejection> {
        check(&domain("kubernetes", &[]), &token.sign())
    }

    fn refused(token: &Token) -> (Reason, Option<&'static str>) {
        let rejection = verdict(token).unwrap_err();
        (rejection.reason, rejection.field)
    }

    #[test]
    fn a_projected_token_names_its_service_account_and_pod() {
        let identity = verdict(&good("kubernetes")).unwrap();
        assert_eq!(
            lines(identity.attributes()),
            [
                "namespace=\"billing\"",
                "serviceAccount=\"worker\"",
                "serviceAccountUid=\"5a000000-1111\"",
                "pod=\"worker-6d5f7c9b8-x2x7k\"",
                "podUid=\"0b0d0000-1111\"",
                "node=\"ip-10-0-1-17\"",
                "nodeUid=\"0de00000-1111\"",
            ]
        );
        assert!(!identity.trust_domain().single_use);
    }

    #[test]
    fn the_subject_repeats_the_claim() {
        for other in [
            "system:serviceaccount:billing:admin",
            "system:serviceaccount:kube-system:worker",
            "system:serviceaccount:billing:worker:x",
            "system:serviceaccount:billing",
            "system:node:billing:worker",
            "worker",
        ] {
            let token = good("kubernetes").with(&["sub"], other);
            assert_eq!(
                refused(&token),
                (Reason::SubjectInvalid, Some("sub")),
                "{other}"
            );
        }
    }

    #[test]
    fn what_the_claim_must_say_it_says_as_text() {
        let paths: [(&[&str], &str); 3] = [
            (&["kubernetes.io", "namespace"], "namespace"),
            (
                &["kubernetes.io", "serviceaccount", "name"],
                "serviceAccount",
            ),
            (
                &["kubernetes.io", "serviceaccount", "uid"],
                "serviceAccountUid",
            ),
        ];
        for (path, field) in paths {
            let token = good("kubernetes").without(path);
            assert_eq!(refused(&token), (Reason::ClaimMissing, Some(field)));
            let token = good("kubernetes").with(path, 1);
            assert_eq!(refused(&token), (Reason::ClaimInvalid, Some(field)));
        }
        let token = good("kubernetes").with(&["kubernetes.io"], "billing");
        assert_eq!(refused(&token), (Reason::ClaimMissing, Some("namespace")));
    }

    #[test]
    fn tokens_for_the_api_server_are_refused() {
        // Kubernetes extends only these to a year, and marks them.
        let token = good("kubernetes").with(&["kubernetes.io", "warnafter"], T0 + 3607);
        assert_eq!(
            refused(&token),
            (Reason::TokenKindRefused, Some("warnafter"))
        );
        let year = good("kubernetes").with(&["exp"], T0 + 31_536_000);
        assert_eq!(refused(&year).0, Reason::TokenLifetimeTooLong);
        let legacy = good("kubernetes")
            .without(&["kubernetes.io"])
            .with(&["kubernetes.io/serviceaccount/namespace"], "billing");
        assert_eq!(
            refused(&legacy),
            (Reason::TokenKindRefused, Some("kubernetes.io"))
        );
        let legacy = legacy.without(&["exp"]).without(&["aud"]);
        assert_eq!(refused(&legacy).0, Reason::ClaimMissing);
    }

    #[test]
    fn other_services_audiences_are_problems() {
        let issuer = "https://oidc.eks.us-east-1.amazonaws.com/id/D4A0";
        for audience in [
            "sts.amazonaws.com",
            "api://AzureADTokenExchange",
            "https://kubernetes.default.svc",
            "https://kubernetes.default.svc.cluster.local",
            issuer,
        ] {
            let problems =
                try_domain("c", "kubernetes", &[("audience", text(audience))]).unwrap_err();
            assert_eq!(problems[0].key, "audience", "{audience}");
        }
        assert!(try_domain("c", "kubernetes", &[("audience", text("assay"))]).is_ok());
    }

    #[test]
    fn a_pod_can_be_required() {
        let strict = domain("kubernetes", &[("requireBoundPod", Setting::Flag(true))]);
        assert!(check(&strict, &good("kubernetes").sign()).is_ok());
        let unbound = good("kubernetes").without(&["kubernetes.io", "pod"]);
        let rejection = check(&strict, &unbound.sign()).unwrap_err();
        assert_eq!(
            (rejection.reason, rejection.field),
            (Reason::ClaimMissing, Some("pod"))
        );
        assert!(verdict(&unbound).is_ok());
    }

    #[test]
    fn where_the_issuer_is_made_of_names_the_uid_is_pinned() {
        let must_pin = |issuer: &str| {
            let domain = domain("kubernetes", &[("issuer", text(issuer))]);
            domain.source.must_pin()
        };
        let gke = "https://container.googleapis.com/v1/projects/p/locations/l/clusters/c";
        assert_eq!(must_pin(gke), WITH_UID);
        assert_eq!(must_pin("https://k8s.test"), PRESET.must_pin);
        assert_eq!(
            must_pin("https://container.googleapis.com.evil.test/"),
            PRESET.must_pin
        );
    }

    #[test]
    fn issuers_keep_their_slash() {
        let aks = "https://eastus.oic.prod-aks.azure.com/72f988bf/0f0f0f0f/";
        let domain = domain("kubernetes", &[("issuer", text(aks))]);
        let token = |issuer: &str| good("kubernetes").with(&["iss"], issuer).sign();
        assert!(check(&domain, &token(aks)).is_ok());
        let bare = aks.trim_end_matches('/');
        assert_eq!(
            check(&domain, &token(bare)).unwrap_err().reason,
            Reason::IssuerUnknown
        );
    }

    #[test]
    fn subjects_may_be_long() {
        let (namespace, name) = ("n".repeat(63), "s".repeat(253));
        let token = good("kubernetes")
            .with(&["kubernetes.io", "namespace"], namespace.as_str())
            .with(&["kubernetes.io", "serviceaccount", "name"], name.as_str())
            .with(
                &["sub"],
                format!("system:serviceaccount:{namespace}:{name}"),
            );
        assert!(verdict(&token).is_ok());
    }

    #[test]
    fn clusters_of_all_usual_algorithms_are_served() {
        let names: Vec<_> = PRESET.algorithms.iter().map(|a| a.as_str()).collect();
        assert_eq!(names, ["RS256", "ES256", "ES384", "ES512"]);
        let ec = good("kubernetes")
            .header("alg", "ES256")
            .header("kid", "ES256");
        assert!(verdict(&ec).is_ok());
    }
}
