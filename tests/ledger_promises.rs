//! What a ledger promises, held against every backend.
//!
//! The promises are in `ledger_promises/promises.rs` and know only the trait
//! and a way to open the same store again. A backend is a function that makes
//! a [`Store`] and one line below. What only a process of its own can show
//! (being killed, a full disk, a file that it may not write) is in
//! `ledger_promises/faults.rs`.

#![expect(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

#[path = "ledger_promises/faults.rs"]
mod faults;
#[path = "ledger_promises/promises.rs"]
mod promises;

use std::sync::Arc;

use assay::{
    base::clock::{Clock, ManualClock},
    ledger::{Ledger, Sqlite},
};

/// An empty store of one backend, and the time in it.
pub(crate) struct Store {
    /// Opens it, again if it is open: another replica, or the next start.
    pub(crate) open: Box<dyn Fn() -> Arc<dyn Ledger> + Send + Sync>,
    /// The clock of every ledger that it opens; stands at [`promises::NOW`].
    pub(crate) clock: Arc<ManualClock>,
}

fn sqlite() -> Store {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(promises::NOW));
    let time: Arc<dyn Clock> = Arc::clone(&clock) as _;
    Store {
        open: Box::new(move || {
            Sqlite::open(&folder.path().join("ledger.db"), Arc::clone(&time)).unwrap()
        }),
        clock,
    }
}

promises::promises!(sqlite);
