//! Noticing that files changed, by looking.
//!
//! SKELETON CONTRACT (owner: config)

use std::path::PathBuf;

/// A set of files and folders, and what they looked like last time.
#[derive(Debug)]
pub struct Watch {}

impl Watch {
    /// Remembers what the files look like now. A path need not exist.
    pub fn new(_paths: Vec<PathBuf>) -> Self {
        todo!()
    }

    /// Whether anything changed since the last call.
    pub fn changed(&mut self) -> bool {
        todo!()
    }
}
