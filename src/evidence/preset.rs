//! What is true of a kind of source wherever it is used, as data.
//!
//! Everything that differs between GitHub and a Kubernetes cluster stands in
//! a [`Preset`] (what an administrator may write and must pin) and a
//! [`Profile`] (what its tokens look like). The checks themselves are common.

use crate::{
    jose::{Algorithm, KeyUse},
    model::{
        Asserter, Field, FieldKind, Ttl,
        shape::{Form, Key, Kind, Object},
    },
};

use super::{
    settings::{SettingProblem, Settings},
    source::Source,
};

/// A kind of source: what an administrator may write about it.
pub struct Preset {
    /// The key under a trust domain's `spec`, such as `githubActions`.
    pub name: &'static str,
    /// The keys under it: its own, then the ones that every source has.
    pub settings: &'static Object,
    /// The fields that rules match.
    pub fields: &'static [Field],
    /// Alternatives: a rule must pin (exactly, no glob) every field of at
    /// least one of these lists. Fields that the trust domain itself pins
    /// ([`Source::pinned`]) count as pinned. [`Source::must_pin`] has the last word.
    pub must_pin: &'static [&'static [&'static str]],
    /// Values of a field that mean "anyone can trigger this": never with
    /// write or admin, and only if the rule names them.
    pub untrusted: &'static [(&'static str, &'static [&'static str])],
    /// The algorithms that it may sign with.
    pub algorithms: &'static [Algorithm],
    /// Which keys of its set count.
    pub key_use: KeyUse,
    /// Longest `exp - iat`.
    pub max_lifetime: Ttl,
    /// Longest time since `iat`, if that is bounded.
    pub max_age: Option<Ttl>,
    /// Whether a token may be used once (CI), or as often as its platform
    /// hands it out again (SPIFFE, Kubernetes).
    pub single_use: bool,
    /// Builds the source from its checked settings.
    pub build: fn(&Settings) -> Result<Source, Vec<SettingProblem>>,
}

impl std::fmt::Debug for Preset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Preset").field(&self.name).finish()
    }
}

/// What the tokens of a kind of source look like.
#[derive(Debug)]
pub struct Profile {
    /// Media types that `typ` may name, when it is there.
    pub types: &'static [&'static str],
    /// Whether the header may have parameters beyond `alg`, `kid` and `typ`
    /// that change nothing.
    pub extra_headers: bool,
    /// Whether `kid` must be there even if the issuer has one key only.
    pub key_id_required: bool,
    /// Whether `iat` must be there.
    pub issued_at_required: bool,
    /// Whether `jti` must be there.
    pub token_id_required: bool,
    /// Longest `sub`, in bytes.
    pub max_subject: usize,
    /// Whether `sub` is unique in the world. Otherwise the canonical subject
    /// is prefixed with the trust domain's name.
    pub global_subject: bool,
    /// Other names of fields, as `(other, field)`.
    pub aliases: &'static [(&'static str, &'static str)],
}

impl Profile {
    /// What an OpenID Connect issuer's tokens look like.
    pub const OIDC: Self = Self {
        types: &["JWT"],
        extra_headers: true,
        key_id_required: false,
        issued_at_required: true,
        token_id_required: false,
        max_subject: 1024,
        global_subject: false,
        aliases: &[],
    };
}

/// A field of a source's vocabulary.
pub(super) const fn field(
    name: &'static str,
    doc: &'static str,
    kind: FieldKind,
    asserted_by: Asserter,
) -> Field {
    Field {
        name,
        doc,
        kind,
        asserted_by,
    }
}

/// A key of a settings shape that need not be there.
pub(super) const fn optional(name: &'static str, doc: &'static str, kind: Kind) -> Key {
    Key {
        name,
        doc,
        kind,
        required: false,
    }
}

/// A key of a settings shape that must be there.
pub(super) const fn required(name: &'static str, doc: &'static str, kind: Kind) -> Key {
    Key {
        name,
        doc,
        kind,
        required: true,
    }
}

/// `issuer`, for the sources that have one each.
pub(super) const ISSUER: Key = required(
    "issuer",
    "The `iss` of its tokens, byte for byte: a slash at the end matters.",
    Kind::Text(Form::Issuer),
);

/// `audience`.
pub(super) const AUDIENCE: Key = optional(
    "audience",
    "The audience that a token must have as its only one; a list names alternatives. Default: the broker's issuer.",
    Kind::Texts(Form::Free),
);

/// `algorithms`, to narrow what the source may sign with.
pub(super) const ALGORITHMS: Key = optional(
    "algorithms",
    "The signature algorithms that are accepted, fewer than the default.",
    ALGORITHM_LIST,
);

/// A list of algorithm names.
pub(super) const ALGORITHM_LIST: Kind = Kind::List(&Kind::Word(&[
    "ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA",
]));

/// `maxTokenLifetime`.
pub(super) const MAX_TOKEN_LIFETIME: Key = optional(
    "maxTokenLifetime",
    "The longest lifetime (`exp` - `iat`) that a token may have.",
    Kind::Text(Form::Duration),
);

/// `maxTokenAge`.
pub(super) const MAX_TOKEN_AGE: Key = optional(
    "maxTokenAge",
    "The longest time since a token was issued (`iat`).",
    Kind::Text(Form::Duration),
);

/// `leeway`.
pub(super) const LEEWAY: Key = optional(
    "leeway",
    "The clock difference that is allowed, in whole seconds from 0 to 60. Default: 5.",
    Kind::Number(0, 60),
);

/// `singleUse`.
pub(super) const SINGLE_USE: Key = optional(
    "singleUse",
    "Whether a token may be used once only.",
    Kind::Flag,
);

/// `keys`, for sources whose keys are found by discovery.
pub(super) const KEYS: Key = optional(
    "keys",
    "Where its keys come from. Default: discovery from the issuer.",
    Kind::Object(&Object {
        doc: "Where an issuer's keys come from.",
        keys: &[
            optional(
                "url",
                "A JWKS at this URL, instead of discovery.",
                Kind::Text(Form::Url),
            ),
            optional(
                "file",
                "A JWKS in this file, which is watched, instead of discovery.",
                Kind::Text(Form::Path),
            ),
            CA,
            ALLOW_PRIVATE_ADDRESS,
        ],
    }),
);

/// `ca`, of what is fetched.
pub(super) const CA: Key = optional(
    "ca",
    "A PEM file with the only roots that are trusted when fetching.",
    Kind::Text(Form::Path),
);

/// `allowPrivateAddress`, of what is fetched.
pub(super) const ALLOW_PRIVATE_ADDRESS: Key = optional(
    "allowPrivateAddress",
    "Whether private and loopback addresses may be dialled. Default: false.",
    Kind::Flag,
);

/// The shape of a source found by discovery: its own keys, then the common ones.
macro_rules! settings {
    ($doc:literal: $($key:expr),* $(,)?) => {
        &$crate::model::shape::Object {
            doc: $doc,
            keys: &[
                $($key,)*
                $crate::evidence::preset::AUDIENCE,
                $crate::evidence::preset::MAX_TOKEN_LIFETIME,
                $crate::evidence::preset::MAX_TOKEN_AGE,
                $crate::evidence::preset::LEEWAY,
                $crate::evidence::preset::SINGLE_USE,
            ],
        }
    };
}

pub(super) use settings;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::PRESETS;

    #[test]
    fn names_are_unique_inside_a_preset_and_among_them() {
        let unique = |names: Vec<&str>| {
            let mut seen = std::collections::BTreeSet::new();
            names.into_iter().all(|n| seen.insert(n))
        };
        assert!(unique(PRESETS.iter().map(|p| p.name).collect()));
        for preset in PRESETS {
            assert!(
                unique(preset.fields.iter().map(|f| f.name).collect()),
                "{preset:?}"
            );
            assert!(
                unique(preset.settings.keys.iter().map(|k| k.name).collect()),
                "{preset:?}"
            );
        }
    }

    #[test]
    fn what_must_be_pinned_and_what_is_untrusted_are_fields() {
        for preset in PRESETS {
            let known = |name: &str| preset.fields.iter().any(|f| f.name == name);
            assert!(!preset.must_pin.is_empty(), "{preset:?}");
            for alternative in preset.must_pin {
                assert!(!alternative.is_empty(), "{preset:?}");
                assert!(
                    alternative.iter().all(|name| known(name)),
                    "{preset:?}: {alternative:?}"
                );
            }
            for (field, values) in preset.untrusted {
                assert!(known(field) && !values.is_empty(), "{preset:?}: {field}");
            }
        }
    }

    #[test]
    fn a_caller_asserted_value_never_suffices() {
        for preset in PRESETS {
            for alternative in preset.must_pin {
                let vouched = |name: &&str| {
                    let field = preset.fields.iter().find(|f| f.name == *name).unwrap();
                    field.asserted_by != Asserter::Caller
                };
                assert!(
                    alternative.iter().any(vouched),
                    "{preset:?}: {alternative:?}"
                );
            }
        }
    }

    #[test]
    fn every_text_is_a_sentence() {
        for preset in PRESETS {
            let docs = preset.settings.keys.iter().map(|k| k.doc);
            for doc in docs.chain(preset.fields.iter().map(|f| f.doc)) {
                assert!(doc.ends_with('.') && doc.len() > 10, "{preset:?}: {doc}");
            }
        }
    }
}
