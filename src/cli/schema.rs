//! `assay schema`: JSON Schema of the configuration documents.

use clap::{Args, ValueEnum};

use crate::config::{document::DocumentKind, schema};

use super::{
    Outcome,
    output::{Exit, Output},
};

/// Options of `assay schema`.
#[derive(Debug, Args)]
pub(super) struct Schema {
    /// The kind of document; without one, a schema that takes any of them
    #[arg(value_enum)]
    kind: Option<Kind>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Broker,
    TrustDomain,
    Roles,
}

impl Schema {
    pub(super) fn run(self, output: &Output) -> Outcome {
        let schema = match self.kind {
            None => schema::all(),
            Some(Kind::Broker) => schema::document(DocumentKind::Broker),
            Some(Kind::TrustDomain) => schema::document(DocumentKind::TrustDomain),
            Some(Kind::Roles) => schema::document(DocumentKind::Roles),
        };
        // A value of strings and lists always serialises.
        output.text(serde_json::to_string_pretty(&schema).unwrap_or_default());
        Ok(Exit::Ok)
    }
}
