//! A Kubernetes cluster: projected service-account tokens.
//!
//! `sub` is made of names that must repeat what the `kubernetes.io` claim
//! says. The kubelet hands out the same file until it rotates it, so single
//! use is off. Tokens made for the API server are refused wherever they show:
//! every pod has one, and every controller has seen some.

use crate::{
    jose::{Algorithm, KeyUse},
    model::{Asserter, Attributes, Field, FieldKind, IssuerUrl, Json, Reason, Ttl, shape::Kind},
};

use super::{
    Outline, Preset, Profile, Rejection, Selector, SettingProblem, Settings, Source,
    attributes::{self, Claim, Form},
    claims::missing,
    preset::{self, field, optional, settings},
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

const FIELDS: &[Field] = &[
    field(
        "namespace",
        "The namespace of the service account.",
        FieldKind::Exact,
        Asserter::Issuer,
    ),
    field(
        "serviceAccount",
        "The name of the service account.",
        FieldKind::Exact,
        Asserter::Issuer,
    ),
    field(
        "serviceAccountUid",
        "The uid of the service account, which no other one ever has.",
        FieldKind::Exact,
        Asserter::Issuer,
    ),
    field(
        "pod",
        "The name of the pod that the token is bound to.",
        PARTS,
        Asserter::Caller,
    ),
    field(
        "podUid",
        "The uid of that pod.",
        FieldKind::Exact,
        Asserter::Issuer,
    ),
    field(
        "node",
        "The name of the node that the pod ran on when the token was issued.",
        PARTS,
        Asserter::Issuer,
    ),
    field(
        "nodeUid",
        "The uid of that node.",
        FieldKind::Exact,
        Asserter::Issuer,
    ),
];

const CLAIMS: &[Claim] = &[
    attributes::required("namespace", &["kubernetes.io", "namespace"], Form::Text),
    attributes::required(
        "serviceAccount",
        &["kubernetes.io", "serviceaccount", "name"],
        Form::Text,
    ),
    attributes::required(
        "serviceAccountUid",
        &["kubernetes.io", "serviceaccount", "uid"],
        Form::Text,
    ),
    attributes::optional("pod", &["kubernetes.io", "pod", "name"], Form::Text),
    attributes::optional("podUid", &["kubernetes.io", "pod", "uid"], Form::Text),
    attributes::optional("node", &["kubernetes.io", "node", "name"], Form::Text),
    attributes::optional("nodeUid", &["kubernetes.io", "node", "uid"], Form::Text),
];

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
