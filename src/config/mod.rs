//! Files in, one immutable plan out, or everything that is wrong with them.
//!
//! A configuration of this program decides who gets the keys to production, so
//! it is read the way a compiler reads a program: strictly, whole, and with
//! every problem of every file said at once, each with its place and what to
//! write instead. A plan that is not whole does not exist; the one that runs
//! stays until a better one is there.

pub mod broker;
pub mod check;
pub mod checked;
pub mod diagnostic;
pub mod document;
mod load;
mod plan;
mod reload;
pub mod roles;
mod scalar;
pub mod schema;
pub mod trust_domain;
pub mod yaml;

pub use broker::Broker;
pub use diagnostic::{Code, Diagnostic, Severity, SourceFile, Span, Style};
pub use plan::{Domain, Plan};
pub use reload::{Change, Reload};
