//! A configured source: closed, so that a new kind is answered for everywhere.
//!
//! What every source is asked alike (who issues, which tenant, what is pinned)
//! is an [`Outline`], made once when the source is built. What differs is two
//! functions of each: reading claims into attributes, and refusing what this
//! trust domain never accepts.

use crate::{
    keys,
    model::{Attributes, FieldSpec, IssuerUrl, Json, SpiffeTrustDomain},
};

use super::{
    Preset, Profile, Rejection, github_actions::GithubActions, kubernetes::Kubernetes, oidc::Oidc,
    spiffe::Spiffe,
};

/// Every preset.
pub const PRESETS: &[&Preset] = &[
    &super::spiffe::PRESET,
    &super::kubernetes::PRESET,
    &super::github_actions::PRESET,
    &super::oidc::PRESET,
];

/// A configured source.
#[derive(Clone, Debug)]
pub enum Source {
    /// A SPIFFE trust domain.
    Spiffe(Spiffe),
    /// A Kubernetes cluster.
    Kubernetes(Kubernetes),
    /// A GitHub organisation's Actions.
    GithubActions(GithubActions),
    /// Any other OpenID Connect issuer.
    Oidc(Oidc),
}

/// What of the unverified evidence picks a trust domain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Selector {
    /// The issuer, byte for byte.
    Issuer(IssuerUrl),
    /// The trust domain of the SPIFFE ID.
    Spiffe(SpiffeTrustDomain),
}

/// The tenant of a shared issuer that a trust domain is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// The top-level claim that carries it.
    pub claim: &'static str,
    /// Its immutable id.
    pub id: String,
}

/// What every source is asked alike.
#[derive(Clone, Debug)]
pub struct Outline {
    /// Its kind.
    pub preset: &'static Preset,
    /// What its tokens look like.
    pub profile: &'static Profile,
    /// What selects it.
    pub selector: Selector,
    /// The tenant, if the issuer serves many.
    pub tenant: Option<Tenant>,
    /// Fields that the trust domain itself pins.
    pub pinned: Vec<&'static str>,
    /// What a rule must pin: the preset's demand, unless the settings say more.
    pub must_pin: &'static [&'static [&'static str]],
    /// Fields that a wildcard behind a whole literal segment pins too.
    pub prefixed: &'static [&'static str],
}

impl Outline {
    /// An outline with nothing pinned, and the preset's own demands.
    pub(super) fn new(
        preset: &'static Preset,
        profile: &'static Profile,
        selector: Selector,
    ) -> Self {
        Self {
            preset,
            profile,
            selector,
            tenant: None,
            pinned: Vec::new(),
            must_pin: preset.must_pin,
            prefixed: &[],
        }
    }
}

impl Source {
    /// What every source is asked alike.
    pub fn outline(&self) -> &Outline {
        match self {
            Self::Spiffe(source) => &source.outline,
            Self::Kubernetes(source) => &source.outline,
            Self::GithubActions(source) => &source.outline,
            Self::Oidc(source) => &source.outline,
        }
    }

    /// Its kind.
    pub fn preset(&self) -> &'static Preset {
        self.outline().preset
    }

    /// The issuer that selects it, or the SPIFFE trust domain.
    pub fn selector(&self) -> &Selector {
        &self.outline().selector
    }

    /// Where its keys come from when the file says nothing. A SPIFFE trust
    /// domain's bundle must be named: it is never inferred from the id.
    pub fn default_keys(&self) -> Option<keys::Source> {
        match self.selector() {
            Selector::Issuer(issuer) => Some(keys::Source::Discovery(issuer.clone())),
            Selector::Spiffe(_) => None,
        }
    }

    /// Fields that the trust domain itself pins.
    pub fn pinned(&self) -> &[&'static str] {
        &self.outline().pinned
    }

    /// What a rule must pin: alternatives, each a list of fields. A name is
    /// pinned by an exact value for the field of that name, or for one whose
    /// [`FieldSpec::field`] has that name (any `claims.NAME` pins `claims`).
    pub fn must_pin(&self) -> &'static [&'static [&'static str]] {
        self.outline().must_pin
    }

    /// Fields that a wildcard behind a whole literal segment pins too: names in
    /// a hierarchy that one authority gives out, so that nobody else can be
    /// behind `/ns/payments/job/*`.
    pub fn prefixed(&self) -> &'static [&'static str] {
        self.outline().prefixed
    }

    /// The field of that name, or of which that is another name. This is the
    /// vocabulary of rules and tests: a name that it does not know is an error.
    pub fn field(&self, name: &str) -> Option<FieldSpec> {
        if let Self::Oidc(source) = self
            && let Some(claim) = source.claim_field(name)
        {
            return Some(claim);
        }
        let aliases = self.outline().profile.aliases;
        let name = aliases
            .iter()
            .find(|(other, _)| *other == name)
            .map_or(name, |(_, field)| field);
        let field = self.preset().fields.iter().find(|f| f.name == name)?;
        Some(FieldSpec {
            name: field.name.into(),
            field,
        })
    }

    /// Refuses what this trust domain never accepts, whatever its rules say:
    /// another tenant, a forbidden trigger, an unbound token. Proven and
    /// supposed identities pass through here alike.
    pub fn admits(&self, attributes: &Attributes) -> Result<(), Rejection> {
        match self {
            Self::Spiffe(source) => source.admits(attributes),
            Self::Kubernetes(source) => source.admits(attributes),
            Self::GithubActions(source) => source.admits(attributes),
            Self::Oidc(_) => Ok(()),
        }
    }

    /// Reads verified claims into attributes.
    pub(super) fn read(&self, claims: &Json) -> Result<Attributes, Rejection> {
        match self {
            Self::Spiffe(source) => source.read(claims),
            Self::Kubernetes(source) => source.read(claims),
            Self::GithubActions(source) => source.read(claims),
            Self::Oidc(source) => source.read(claims),
        }
    }

    /// Adds to supposed attributes what follows from them, and says what the
    /// token's `sub` would be.
    pub(super) fn suppose(&self, attributes: &mut Attributes) -> String {
        match self {
            Self::Spiffe(source) => source.suppose(attributes),
            Self::Kubernetes(source) => source.suppose(attributes),
            Self::GithubActions(source) => source.suppose(attributes),
            Self::Oidc(source) => source.suppose(attributes),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        evidence::{
            TokenType,
            claims::{self, Case},
            testkit::{any_json, at, domain, good},
        },
        model::Value,
    };

    #[test]
    fn every_source_knows_its_own_fields() {
        for preset in PRESETS {
            let source = domain(preset.name, &[]).source.clone();
            assert_eq!(source.preset().name, preset.name);
            for field in preset.fields {
                let spec = source.field(field.name).unwrap();
                assert_eq!((&*spec.name, spec.field), (field.name, field));
            }
            assert!(source.field("no-such-field").is_none());
            for pinned in source.pinned() {
                assert!(source.field(pinned).is_some(), "{pinned}");
            }
        }
    }

    #[test]
    fn other_names_lead_to_the_field() {
        let source = domain("githubActions", &[]).source.clone();
        assert_eq!(&*source.field("event").unwrap().name, "events");
        assert_eq!(source.field("event"), source.field("events"));
        for preset in PRESETS {
            let source = domain(preset.name, &[]).source.clone();
            for (other, field) in source.outline().profile.aliases {
                assert!(preset.fields.iter().any(|f| f.name == *field));
                assert!(preset.fields.iter().all(|f| f.name != *other));
            }
        }
    }

    #[test]
    fn keys_are_discovered_from_the_issuer_itself() {
        for preset in PRESETS {
            let source = domain(preset.name, &[]).source.clone();
            match (source.selector(), source.default_keys()) {
                (Selector::Issuer(issuer), Some(keys::Source::Discovery(from))) => {
                    assert_eq!(*issuer, from);
                }
                (Selector::Spiffe(_), None) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn prefixed_fields_have_segments() {
        for preset in PRESETS {
            let source = domain(preset.name, &[]).source.clone();
            for name in source.prefixed() {
                let kind = source.field(name).unwrap().kind;
                assert!(
                    matches!(kind, crate::model::FieldKind::Segments(_)),
                    "{name}"
                );
            }
        }
        assert_eq!(domain("spiffe", &[]).source.prefixed(), ["path"]);
    }

    proptest! {
        /// Whatever an issuer signs, reading it does not panic, and what comes
        /// out is bounded, plain and in the vocabulary.
        #[test]
        fn attributes_are_bounded_plain_and_known(
            kind in 0..PRESETS.len(),
            member in any::<prop::sample::Index>(),
            inner in any::<prop::sample::Index>(),
            value in any_json(),
        ) {
            let kind = PRESETS[kind].name;
            let source = domain(kind, &[]).source.clone();
            let mut claims = good(kind).claims;
            let names: Vec<String> = claims.as_object().unwrap().keys().cloned().collect();
            let place = &mut claims[member.get(&names).as_str()];
            let inside: Vec<String> = match place.as_object() {
                Some(object) => object.keys().cloned().collect(),
                None => Vec::new(),
            };
            if inside.is_empty() {
                *place = value;
            } else {
                place[inner.get(&inside).as_str()] = value;
            }
            let claims = Json::parse(claims.to_string().as_bytes()).unwrap();
            let case = Case {
                claims: &claims,
                domain: &domain(kind, &[]),
                kind: TokenType::Jwt,
                now: at(1),
            };
            if claims::STEPS.iter().any(|(_, check)| check(&case).is_err()) {
                return Ok(());
            }
            let Ok(attributes) = source.read(&claims) else { return Ok(()) };
            let _ = source.admits(&attributes);
            for attribute in attributes.iter() {
                let spec = source.field(&attribute.name);
                prop_assert!(spec.is_some(), "{}", attribute.name);
                prop_assert_eq!(spec.unwrap().asserted_by, attribute.asserted_by);
                let texts = match &attribute.value {
                    Value::Text(text) => vec![text.clone()],
                    Value::List(items) => items.clone(),
                    Value::Number(_) | Value::Flag(_) => Vec::new(),
                };
                for text in texts {
                    prop_assert!(!text.is_empty() && text.len() <= 2048);
                    prop_assert!(!text.contains(char::is_control));
                }
            }
        }
    }
}
