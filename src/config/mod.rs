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
pub mod roles;
mod scalar;
pub mod schema;
pub mod yaml;

pub use diagnostic::{Code, Diagnostic, Severity, SourceFile, Span, Style};
