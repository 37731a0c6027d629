//! What may stand in a trust domain's file.
//!
//! Each source has settings and fields of its own, so each has a shape of its
//! own: the source's key, and the keys that all have.

use std::sync::LazyLock;

use crate::{
    evidence::{PRESETS, Preset},
    model::shape::{Form, Key, Kind, Object},
};

const fn must(name: &'static str, doc: &'static str, kind: Kind) -> Key {
    Key {
        name,
        doc,
        kind,
        required: true,
    }
}

const fn may(name: &'static str, doc: &'static str, kind: Kind) -> Key {
    Key {
        name,
        doc,
        kind,
        required: false,
    }
}

/// What all sources have beside their own key.
fn common() -> [Key; 5] {
    [
        may(
            "explain",
            "What a refused caller is told: `none` the reason only, `mismatch` (the default) also the field and its own value, `full` also what the rule wants.",
            Kind::Word(&["none", "mismatch", "full"]),
        ),
        may(
            "boundLifetime",
            "Whether a credential ends with the token that it was given for, if not before; `false` by default, since most platforms' tokens live for minutes.",
            Kind::Flag,
        ),
        may(
            "forbid",
            "Values that are refused before any rule, by field: `FIELD: VALUE` or `FIELD: [VALUE, VALUE]`.",
            Kind::Later,
        ),
        must(
            "rules",
            "The rules. Their order means nothing.",
            Kind::List(&Kind::Object(&RULE)),
        ),
        may(
            "tests",
            "Tests of the rules. A file whose tests fail does not load.",
            Kind::List(&Kind::Object(&TEST)),
        ),
    ]
}

/// Sources of the design that this version does not read.
const RESERVED: &[&str] = &[
    "gitlab",
    "aws",
    "google",
    "entra",
    "buildkite",
    "circleci",
    "hcpTerraform",
    "certificateAuthority",
];

const NOT_YET: Kind = Kind::Reserved(
    "this source is not read by this version; `oidc` reads the tokens of any OpenID Connect issuer",
);

const RULE: Object = Object {
    doc: "A rule: an identity that all of it matches is granted one role.",
    keys: &[
        must(
            "name",
            "The rule's name, which stands in audit records.",
            Kind::Text(Form::Name),
        ),
        may(
            "mode",
            "`enforce` (the default) grants; `observe` only records what it would grant.",
            Kind::Word(&["observe", "enforce"]),
        ),
        must(
            "match",
            "What the identity must be, by field: `FIELD: VALUE`, or `FIELD: [VALUE, VALUE]` for one of several. All fields must match. Exact, except that `*` stands for a part of one segment where the field has segments.",
            Kind::Later,
        ),
        may(
            "when",
            "Further conditions, all of which must hold.",
            Kind::List(&Kind::Object(&CONDITION)),
        ),
        must("grant", "What is granted.", Kind::Object(&GRANT)),
    ],
};

const CONDITION: Object = Object {
    doc: "A named condition.",
    keys: &[
        must(
            "name",
            "Its name, which stands in traces.",
            Kind::Text(Form::Name),
        ),
        must(
            "cel",
            "A CEL expression over `attrs.FIELD` and `subject` that is true or false.",
            Kind::Text(Form::Cel),
        ),
    ],
};

const GRANT: Object = Object {
    doc: "What a rule grants.",
    keys: &[
        must("role", "The role, of a Roles file.", Kind::Text(Form::Name)),
        may(
            "ttl",
            "The longest lifetime of the credential. Default: the role's.",
            Kind::Text(Form::Duration),
        ),
        may(
            "only",
            "Namespaces that this rule narrows the role to.",
            Kind::Texts(Form::Namespace),
        ),
    ],
};

const TEST: Object = Object {
    doc: "A test: an identity, and what must come out.",
    keys: &[
        may(
            "allow",
            "An identity that must be granted, by field.",
            Kind::Later,
        ),
        may(
            "deny",
            "An identity that must be refused, by field.",
            Kind::Later,
        ),
        may("role", "The role that it asks for.", Kind::Text(Form::Name)),
        may(
            "target",
            "The target that it asks for. Default: that of the role.",
            Kind::Text(Form::Name),
        ),
        may(
            "reason",
            "The reason of the refusal, such as RULE_NO_MATCH.",
            Kind::Text(Form::Free),
        ),
        may(
            "field",
            "The field that the refusal is about.",
            Kind::Text(Form::Free),
        ),
    ],
};

static SHAPES: LazyLock<Vec<(&'static str, &'static Object)>> = LazyLock::new(|| {
    let shape = |preset: &Preset| kept(preset.settings.doc, keys(&[preset], true));
    PRESETS
        .iter()
        .map(|preset| (preset.name, shape(preset)))
        .collect()
});

/// For a document whose source is not known: whatever else it says is judged.
static ANY_SOURCE: LazyLock<&'static Object> =
    LazyLock::new(|| kept("A trust domain.", keys(PRESETS, false)));

/// How keys are kept fresh: the same for every source that fetches them, so it
/// stands here and not in each.
const FRESHNESS: [Key; 2] = [
    may(
        "refresh",
        "How often keys are fetched. Default: 5m.",
        Kind::Text(Form::Duration),
    ),
    may(
        "maxStale",
        "How old keys may become when they cannot be fetched; then evidence is refused until they can. Default: 1d.",
        Kind::Text(Form::Duration),
    ),
];

/// A source's own settings, with what is said about its keys completed.
fn settings(preset: &Preset) -> &'static Object {
    let complete = |key: &Key| match key.kind {
        Kind::Object(inner) if matches!(key.name, "keys" | "bundle") => {
            let own = inner.keys.iter().copied();
            let further = FRESHNESS.into_iter();
            let further = further.filter(|k| !inner.keys.iter().any(|own| own.name == k.name));
            Key {
                kind: Kind::Object(kept(inner.doc, own.chain(further).collect())),
                ..*key
            }
        }
        _ => *key,
    };
    kept(
        preset.settings.doc,
        preset.settings.keys.iter().map(complete).collect(),
    )
}

/// Made once per process and kept: shapes are data that live as long as it.
fn kept(doc: &'static str, keys: Vec<Key>) -> &'static Object {
    Box::leak(Box::new(Object {
        doc,
        keys: Box::leak(keys.into_boxed_slice()),
    }))
}

fn keys(presets: &[&Preset], required: bool) -> Vec<Key> {
    let source = |preset: &&Preset| Key {
        name: preset.name,
        doc: preset.settings.doc,
        kind: Kind::Object(settings(preset)),
        required,
    };
    let reserved = |name: &&'static str| may(name, "Reserved.", NOT_YET);
    let sources = presets.iter().map(source);
    sources
        .chain(common())
        .chain(RESERVED.iter().map(reserved))
        .collect()
}

/// The `spec` of a trust domain of one kind of source.
pub fn of(preset: &Preset) -> &'static Object {
    let found = SHAPES.iter().find(|(name, _)| *name == preset.name);
    found.map_or_else(any, |(_, shape)| shape)
}

/// The `spec` of a trust domain whose source is not known.
pub fn any() -> &'static Object {
    &ANY_SOURCE
}

/// Whether it is a source of the design that this version does not read.
pub(super) fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}
