//! Assay: workload identity federation and token exchange for Temporal.
//!
//! The modules are rooms, each with one duty. A room uses only rooms that
//! stand above it in this list; `tests/architecture.rs` holds it to that.
//! `ARCHITECTURE.md` walks one request through them.

#![warn(clippy::print_stderr, clippy::print_stdout, clippy::unwrap_used)]

pub mod base;
pub mod model;

pub mod jose;

pub mod keys;
pub mod signing;

pub mod evidence;
pub mod policy;

pub mod ledger;
pub mod mint;

pub mod exchange;

pub mod config;

pub mod server;

pub mod cli;
