//! Roles: named sets of permissions on namespaces of one target.

use std::sync::Arc;

use super::{
    check::nearest,
    checked::{Fields, Report},
    diagnostic::Code,
    document::Document,
};
use crate::{
    model::{
        Access, Namespace, Permission, RoleName, Target, Ttl,
        shape::{Form, Key, Kind, Object},
    },
    policy::Role,
};

/// The `spec` of a `Roles` document.
pub const ROLES: Object = Object {
    doc: "Roles of one target: what a rule can grant.",
    keys: &[
        Key {
            name: "target",
            doc: "The target, by its name in assay.yaml.",
            kind: Kind::Text(Form::Name),
            required: true,
        },
        Key {
            name: "roles",
            doc: "The roles, by name. The name is what a caller asks for as `scope`.",
            kind: Kind::Named(Form::Name, &Kind::Object(&ROLE)),
            required: true,
        },
    ],
};

const ROLE: Object = Object {
    doc: "One role.",
    keys: &[
        Key {
            name: "description",
            doc: "A sentence for people.",
            kind: Kind::Text(Form::Free),
            required: false,
        },
        Key {
            name: "namespaces",
            doc: "What the role may do, by namespace: read, write, worker (the same as write) or admin. Only namespaces that the target lists.",
            kind: Kind::Named(Form::Namespace, &Kind::Text(Form::Access)),
            required: false,
        },
        Key {
            name: "systemRole",
            doc: "What the role may do on the whole cluster, every namespace included (`temporal-system`). Leave it out unless that is really meant.",
            kind: Kind::Text(Form::Access),
            required: false,
        },
        Key {
            name: "maxTtl",
            doc: "The longest lifetime of a credential of this role. Default, and upper bound: the target's `maxTtl`.",
            kind: Kind::Text(Form::Duration),
            required: false,
        },
    ],
};

/// Holds a document of roles against its shape alone, where the targets are
/// not known for certain.
pub fn check(document: &mut Document) {
    document.spec(&ROLES);
}

/// Reads a document of roles. Problems are put into its report.
pub fn read(document: &mut Document, targets: &[Arc<Target>]) -> Vec<Role> {
    let Some(spec) = document.spec(&ROLES) else {
        return Vec::new();
    };
    let report = &mut document.report;
    let target = target(&spec, targets, report);
    let Some(roles) = spec.object("roles") else {
        return Vec::new();
    };
    if roles.keys.is_empty() {
        report.error(spec.key_span("roles"), Code::MissingKey, "there is no role");
    }
    let mut all = Vec::new();
    for (name, span, value) in &roles.all {
        let (Ok(name), Some(fields)) = (name.parse::<RoleName>(), value.as_object()) else {
            continue;
        };
        let permissions = permissions(fields, target, report);
        if permissions.is_empty() && !fields.written("namespaces") && !fields.written("systemRole")
        {
            let help = "add `namespaces: { NAME: read }`".to_owned();
            let message = format!("the role `{name}` allows nothing");
            report.error(*span, Code::MissingKey, message).help = Some(help);
        }
        let asked: Option<Ttl> = fields.parse("maxTtl", report);
        let Some(target) = target else {
            continue;
        };
        if let Some(asked) = asked.filter(|asked| *asked > target.max_ttl) {
            let message = format!("{asked} is longer than the target `{}` allows", target.name);
            let help = format!("the shorter one counts: {}", target.max_ttl);
            report
                .warning(fields.key_span("maxTtl"), Code::InvalidValue, message)
                .help = Some(help);
        }
        all.push(Role {
            name,
            target: target.name.clone(),
            permissions,
            max_ttl: asked.map_or(target.max_ttl, |asked| asked.min(target.max_ttl)),
            file: report.file().path.as_str().into(),
            line: span.line,
        });
    }
    all
}

fn target<'t>(
    spec: &Fields,
    targets: &'t [Arc<Target>],
    report: &mut Report,
) -> Option<&'t Arc<Target>> {
    let given = spec.get("target")?;
    let name = given.as_text()?;
    let found = targets.iter().find(|t| t.name.as_str() == name);
    if found.is_none() {
        let names = || targets.iter().map(|t| t.name.as_str());
        let error = report.error(
            given.span,
            Code::InvalidValue,
            format!("no target is called `{name}`"),
        );
        error.help = nearest(name, names()).map(|name| format!("did you mean `{name}`?"));
        error.note = Some(match names().collect::<Vec<_>>().as_slice() {
            [] => "assay.yaml names no target that is in order".to_owned(),
            names => format!("targets: {}", names.join(", ")),
        });
    }
    found
}

fn permissions(
    fields: &Fields,
    target: Option<&Arc<Target>>,
    report: &mut Report,
) -> Vec<Permission> {
    let mut all = Vec::new();
    if let Some(access) = fields.parse::<Access>("systemRole", report) {
        all.push(Permission {
            namespace: None,
            access,
        });
    }
    let Some(namespaces) = fields.object("namespaces") else {
        return all;
    };
    for (name, span, value) in &namespaces.all {
        let (Ok(namespace), Some(access)) = (name.parse::<Namespace>(), value.parse(report)) else {
            continue;
        };
        if let Some(target) = target.filter(|t| !t.namespaces.contains(&namespace)) {
            let known = || target.namespaces.iter().map(Namespace::as_str);
            let message = format!(
                "the target `{}` has no namespace `{namespace}`",
                target.name
            );
            let error = report.error(*span, Code::InvalidValue, message);
            error.help = Some(match nearest(name, known()) {
                Some(name) => format!("did you mean `{name}`?"),
                None => "add it to the target's `namespaces` once it exists".to_owned(),
            });
            error.note = Some("a namespace that is not there must not be named: admin on it would be the right to create it".to_owned());
            continue;
        }
        all.push(Permission {
            namespace: Some(namespace),
            access,
        });
    }
    all
}

#[cfg(test)]
#[path = "roles_tests.rs"]
mod tests;
