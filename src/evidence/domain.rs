//! A configured trust domain, as evidence sees it.

use std::{sync::Arc, time::Duration};

use crate::{
    jose::Algorithm,
    model::{IssuerUrl, TrustDomainName, Ttl},
};

use super::{Preset, Selector, SettingProblem, Settings, Source, settings::Reader};

/// Clock difference that is allowed unless the file says otherwise.
pub const DEFAULT_LEEWAY: Duration = Duration::from_secs(5);

/// A configured trust domain: everything that a verification depends on,
/// apart from the keys and the time.
#[derive(Debug)]
pub struct TrustDomain {
    /// Its name.
    pub name: TrustDomainName,
    /// The kind of its source.
    pub preset: &'static Preset,
    /// Its source.
    pub source: Source,
    /// The broker's own `iss`: a token that carries it was minted here and is
    /// no evidence.
    pub own_issuer: IssuerUrl,
    /// Accepted audiences: the broker's issuer unless the file says otherwise.
    pub audiences: Vec<String>,
    /// Accepted algorithms.
    pub algorithms: Vec<Algorithm>,
    /// Longest `exp - iat`.
    pub max_lifetime: Ttl,
    /// Longest time since `iat`.
    pub max_age: Option<Ttl>,
    /// Allowed clock difference, 0-60 s.
    pub leeway: Duration,
    /// Whether a token may be used once.
    pub single_use: bool,
}

impl TrustDomain {
    /// The issuer, where the evidence has one: a SPIFFE trust domain has none.
    pub fn issuer(&self) -> Option<&str> {
        match self.source.selector() {
            Selector::Issuer(issuer) => Some(issuer.as_str()),
            Selector::Spiffe(_) => None,
        }
    }

    /// Builds the source and reads the settings that every source has.
    pub fn new(
        name: TrustDomainName,
        preset: &'static Preset,
        settings: &Settings,
        own_issuer: &IssuerUrl,
    ) -> Result<Arc<Self>, Vec<SettingProblem>> {
        let source = (preset.build)(settings)?;
        let mut reader = Reader::new(settings);
        if *source.selector() == Selector::Issuer(own_issuer.clone()) {
            reader.problem(
                SettingProblem::new("issuer", "the broker cannot be its own source of identity")
                    .hint("name the issuer of the workloads' tokens, not the broker's"),
            );
        }
        // `spiffe` and the subject `//td1.test/x` would together be the subject
        // of a SPIFFE workload.
        if name.as_str() == "spiffe" && !source.outline().profile.global_subject {
            reader.problem(
                SettingProblem::new("", "a trust domain of this kind cannot be named `spiffe`")
                    .hint("rename it: its name stands before the subjects of its identities"),
            );
        }
        let domain = Self {
            name,
            preset,
            source,
            own_issuer: own_issuer.clone(),
            audiences: audiences(&mut reader, own_issuer),
            algorithms: algorithms(&mut reader, preset),
            max_lifetime: reader
                .optional("maxTokenLifetime")
                .unwrap_or(preset.max_lifetime),
            max_age: reader.optional("maxTokenAge").or(preset.max_age),
            leeway: reader
                .number("leeway")
                .map_or(DEFAULT_LEEWAY, |secs| Duration::from_secs(secs.min(60))),
            single_use: reader.flag("singleUse").unwrap_or(preset.single_use),
        };
        reader.finish(Some(Arc::new(domain)))
    }
}

fn audiences(reader: &mut Reader<'_>, own_issuer: &IssuerUrl) -> Vec<String> {
    let given = reader
        .texts("audience")
        .unwrap_or_else(|| vec![own_issuer.as_str().to_owned()]);
    if given.is_empty() || given.iter().any(String::is_empty) {
        reader.problem(SettingProblem::new(
            "audience",
            "an audience is needed, and cannot be empty",
        ));
    }
    // Everyone holds tokens for these: accepting one would let every service
    // that was ever handed such a token act as the workload here.
    for forced in given.iter().filter(|a| FORCED.contains(&a.as_str())) {
        reader.problem(
            SettingProblem::new(
                "audience",
                format!("`{forced}` is the audience of another service"),
            )
            .hint("have the platform issue a token whose audience is the broker"),
        );
    }
    given
}

/// Audiences of other services that platforms put into tokens by default.
const FORCED: &[&str] = &[
    "sts.amazonaws.com",
    "api://AzureADTokenExchange",
    "https://management.azure.com",
    "https://management.azure.com/",
    "https://graph.microsoft.com",
    "https://graph.microsoft.com/",
    "https://kubernetes.default.svc",
    "https://kubernetes.default.svc.cluster.local",
    "nomadproject.io",
];

fn algorithms(reader: &mut Reader<'_>, preset: &Preset) -> Vec<Algorithm> {
    let Some(names) = reader.texts("algorithms") else {
        return preset.algorithms.to_vec();
    };
    let mut chosen = Vec::new();
    for name in &names {
        match Algorithm::from_name(name).filter(|a| preset.algorithms.contains(a)) {
            Some(algorithm) => chosen.push(algorithm),
            None => {
                let allowed: Vec<_> = preset.algorithms.iter().map(|a| a.as_str()).collect();
                reader.problem(SettingProblem::new(
                    "algorithms",
                    format!("`{name}` is not one of {}", allowed.join(", ")),
                ));
            }
        }
    }
    if names.is_empty() {
        reader.problem(SettingProblem::new(
            "algorithms",
            "at least one algorithm is needed",
        ));
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{
        PRESETS, Setting,
        testkit::{BROKER, domain, map, preset, settings, text, texts, try_domain},
    };

    fn problem(kind: &str, changed: &[(&str, Setting)]) -> String {
        let problems = try_domain("test", kind, changed).unwrap_err();
        assert!(!problems[0].what.is_empty());
        problems[0].key.clone()
    }

    #[test]
    fn the_presets_say_what_the_file_does_not() {
        for preset in PRESETS {
            let domain = domain(preset.name, &[]);
            assert_eq!(domain.audiences, [BROKER]);
            assert_eq!(domain.leeway, Duration::from_secs(5));
            assert_eq!(domain.max_lifetime, preset.max_lifetime);
            assert_eq!(domain.max_age, preset.max_age);
            assert_eq!(domain.single_use, preset.single_use);
            assert_eq!(domain.source.preset().name, preset.name);
        }
        assert!(preset("githubActions").single_use);
        assert!(!preset("spiffe").single_use && !preset("kubernetes").single_use);
    }

    #[test]
    fn the_file_says_otherwise() {
        let domain = domain(
            "spiffe",
            &[
                ("audience", text("assay")),
                ("algorithms", texts(&["ES256"])),
                ("maxTokenLifetime", text("10m")),
                ("maxTokenAge", text("5m")),
                ("leeway", Setting::Number(0)),
                ("singleUse", Setting::Flag(true)),
            ],
        );
        assert_eq!(domain.audiences, ["assay"]);
        assert_eq!(domain.algorithms, [Algorithm::Es256]);
        assert_eq!(domain.max_lifetime, Ttl::secs(600));
        assert_eq!(domain.max_age, Some(Ttl::secs(300)));
        assert_eq!(domain.leeway, Duration::ZERO);
        assert!(domain.single_use);
    }

    #[test]
    fn wrong_values_are_problems() {
        assert_eq!(problem("spiffe", &[("audience", texts(&[]))]), "audience");
        assert_eq!(problem("spiffe", &[("audience", text(""))]), "audience");
        assert_eq!(
            problem("spiffe", &[("maxTokenAge", text("1w"))]),
            "maxTokenAge"
        );
        // EdDSA is no algorithm of SPIFFE, and no list can make it one.
        let eddsa = [("algorithms", texts(&["ES256", "EdDSA"]))];
        assert_eq!(problem("spiffe", &eddsa), "algorithms");
        assert_eq!(problem("oidc", &[("issuer", text(BROKER))]), "issuer");
        let forced = [("audience", texts(&["assay", "sts.amazonaws.com"]))];
        for preset in PRESETS {
            assert_eq!(problem(preset.name, &forced), "audience");
        }
    }

    #[test]
    fn no_trust_domain_can_name_itself_into_a_spiffe_id() {
        let named = |name: &str, kind: &str| try_domain(name, kind, &[]).is_ok();
        assert!(named("spiffe", "spiffe"));
        assert!(named("spiffe-x", "oidc"));
        assert!(!named("spiffe", "oidc"));
    }

    #[test]
    fn a_required_setting_that_is_missing_is_a_problem() {
        for preset in PRESETS {
            let given = settings(preset.name, &[]);
            let keys = preset.settings.keys.iter().filter(|key| key.required);
            // Where the bundle comes from is no matter of evidence.
            for key in keys.filter(|key| key.name != "bundle") {
                let mut less = given.clone();
                assert!(less.values.remove(key.name).is_some(), "{}", key.name);
                let problems = (preset.build)(&less).unwrap_err();
                assert_eq!(problems[0].key, key.name);
            }
            assert!((preset.build)(&Settings { values: map(&[]) }).is_err());
        }
    }

    #[test]
    fn every_setting_that_a_good_file_has_is_in_the_shape() {
        for preset in PRESETS {
            for key in settings(preset.name, &[]).values.keys() {
                assert!(preset.settings.keys.iter().any(|k| k.name == key), "{key}");
            }
        }
    }
}
