//! Where a trust domain's keys come from.

use crate::{
    base::outbound::Peer,
    config::{
        checked::{Fields, Report},
        diagnostic::Code,
    },
    evidence::TrustDomain,
    keys::{Source, Spec},
    model::Ttl,
};

/// Regular refresh, unless the file says otherwise.
const REFRESH: Ttl = Ttl::secs(5 * 60);
/// How old a key set may become, unless the file says otherwise.
const MAX_STALE: Ttl = Ttl::secs(24 * 3600);
/// Least time between refreshes that tokens cause.
const COOL_DOWN: Ttl = Ttl::secs(30);

/// Reads `keys` or `bundle` of a source's settings.
pub(super) fn spec(domain: &TrustDomain, settings: &Fields, report: &mut Report) -> Option<Spec> {
    let bundle = settings.object("bundle");
    let given = bundle.or_else(|| settings.object("keys"));
    let written = settings.written("bundle") || settings.written("keys");
    if written && given.is_none() {
        // It was reported as what it is.
        return None;
    }
    let default = domain.source.default_keys();
    let source = match given {
        None => default?,
        Some(given) => source(given, default, report)?,
    };
    let parse = |key: &str, default: Ttl, report: &mut Report| {
        given.and_then(|g| g.parse(key, report)).unwrap_or(default)
    };
    let refresh = parse("refresh", REFRESH, report);
    let max_stale = parse("maxStale", MAX_STALE, report);
    if max_stale <= refresh {
        let at = given.map_or(settings.span, |g| g.key_span("maxStale"));
        let message =
            format!("keys that are refused after {max_stale} are refreshed every {refresh} only");
        let help = "`maxStale` must be longer than `refresh`".to_owned();
        report.error(at, Code::Conflict, message).help = Some(help);
    }
    Some(Spec {
        source,
        uses: domain.preset.key_use,
        allowed: domain.algorithms.clone(),
        peer: Peer {
            ca: given.and_then(|g| g.text("ca")).map(Into::into),
            allow_private: given
                .and_then(|g| g.flag("allowPrivateAddress"))
                .unwrap_or(false),
        },
        refresh,
        max_stale,
        cool_down: COOL_DOWN,
    })
}

fn source(given: &Fields, default: Option<Source>, report: &mut Report) -> Option<Source> {
    let fetched = ["endpoint", "url"]
        .into_iter()
        .find(|key| given.written(key));
    let file = given.written("file");
    if file {
        let pointless = ["endpoint", "url", "profile", "ca", "allowPrivateAddress"];
        if let Some(key) = pointless.into_iter().find(|key| given.written(key)) {
            let message =
                format!("`{key}` says how keys are fetched, and `file` that they are not");
            let help = "keep one of the two".to_owned();
            report
                .error(given.key_span(key), Code::Conflict, message)
                .help = Some(help);
            return None;
        }
        return Some(Source::File(given.text("file")?.into()));
    }
    match fetched {
        Some(key) => {
            if key == "endpoint" && !given.written("profile") {
                let message = "`profile` is missing: how the bundle endpoint proves what it is";
                let help = "write `profile: https_web` for a Web PKI certificate (or one of `ca`)"
                    .to_owned();
                report
                    .error(given.key_span(key), Code::MissingKey, message)
                    .help = Some(help);
            }
            given.parse(key, report).map(Source::Url)
        }
        None if default.is_some() => default,
        None => {
            let message = "where the bundle comes from is missing";
            let help = "write `endpoint` and `profile`, or `file`".to_owned();
            report
                .error(given.first_span(), Code::MissingKey, message)
                .help = Some(help);
            None
        }
    }
}
