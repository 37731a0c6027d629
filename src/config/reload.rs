//! New plans for changed files.

use std::path::PathBuf;

use super::{Diagnostic, Plan};
use crate::base::watch::Watch;

/// Watches the files of a plan and loads them again when they change.
///
/// It only ever hands out whole plans; what runs goes on until one is there.
#[derive(Debug)]
pub struct Reload {
    path: PathBuf,
    watched: Vec<PathBuf>,
    watch: Watch,
    content: [u8; 32],
    /// The files may have changed between the reading and the watching.
    unsure: bool,
    /// What was last said about the files is that they are not in order.
    faulty: bool,
}

/// What a look at the files came to.
#[derive(Debug)]
pub enum Change {
    /// No file says anything else.
    None,
    /// The files are in order and say something else.
    Plan(Box<Plan>),
    /// The files are not in order; the old plan stays.
    Faulty(Vec<Diagnostic>),
    /// The files, which were not in order, are again what the plan was read from.
    Restored,
}

impl Reload {
    /// Begins with the plan that was loaded from `path`.
    pub fn new(path: PathBuf, plan: &Plan) -> Self {
        let watched = plan.watched().to_vec();
        Self {
            watch: Watch::new(watched.clone()),
            path,
            watched,
            content: *plan.content(),
            unsure: true,
            faulty: false,
        }
    }

    /// Looks whether the files changed, and loads them if so. To be called
    /// every few seconds, off the serving threads.
    pub fn poll(&mut self) -> Change {
        if self.watch.changed() || self.unsure {
            self.load()
        } else {
            Change::None
        }
    }

    /// Loads the files whether or not they changed (SIGHUP).
    pub fn force(&mut self) -> Change {
        // What changes from here on shows in the next poll.
        self.watch.changed();
        self.load()
    }

    fn load(&mut self) -> Change {
        self.unsure = false;
        let plan = match Plan::load(&self.path) {
            Ok(plan) => plan,
            Err(found) => {
                self.faulty = true;
                return Change::Faulty(found);
            }
        };
        let was_faulty = std::mem::take(&mut self.faulty);
        if *plan.content() == self.content {
            return if was_faulty {
                Change::Restored
            } else {
                Change::None
            };
        }
        self.content = *plan.content();
        if plan.watched() != self.watched {
            self.watched = plan.watched().to_vec();
            self.watch = Watch::new(self.watched.clone());
            self.unsure = true;
        }
        Change::Plan(Box::new(plan))
    }
}

#[cfg(test)]
#[path = "reload_tests.rs"]
mod tests;
