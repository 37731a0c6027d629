//! The keys of others: fetched in the background, read without a lock.
//!
//! A request never waits for somebody else's server: it reads a snapshot, and
//! one scheduler keeps all snapshots fresh. A new set replaces the old one
//! whole, so a key that its issuer withdrew is gone with the next fetch. What
//! cannot be fetched or understood leaves the last good set in place until it
//! is too old. Sets are never pooled: each belongs to one source, and only the
//! trust domains that name this very source read it.

mod agenda;
mod discovery;
mod document;
mod entry;
mod fault;
mod fetch;
mod handle;
mod keyring;
mod pace;
mod scheduler;
mod spec;

pub use entry::{Health, Snapshot};
pub use fault::KeyFault;
pub use handle::Handle;
pub use keyring::{Keyring, Limits};
pub use spec::{Source, Spec};

#[cfg(test)]
mod fakes;
