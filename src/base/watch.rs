//! Noticing that files changed, by looking.
//!
//! File events come in as many dialects as there are file systems, and none at
//! all over a network mount or through the links that Kubernetes swaps. A look
//! at what each path leads to costs a few microseconds and misses nothing.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// A set of files and folders, and what they looked like last time.
///
/// A folder stands for the list of its entries and for each file in it.
#[derive(Debug)]
pub struct Watch {
    paths: Vec<PathBuf>,
    seen: Look,
}

/// What every path led to.
type Look = BTreeMap<PathBuf, State>;

/// What one path led to, links followed.
#[derive(Debug, PartialEq, Eq)]
enum State {
    /// Nothing that can be looked at.
    Absent,
    /// A file: where it is stored, its size, when content and owner changed.
    File {
        place: (u64, u64),
        size: u64,
        changed: (i64, i64),
        touched: (i64, i64),
    },
    /// A folder: its entries, links not followed.
    Folder(Vec<OsString>),
}

impl Watch {
    /// Remembers what the files look like now. A path need not exist.
    pub fn new(paths: Vec<PathBuf>) -> Self {
        let seen = look(&paths);
        Self { paths, seen }
    }

    /// Whether anything changed since the last call.
    ///
    /// Asked before the files are read, it never misses a change: one that
    /// comes during the reading shows on the next call.
    pub fn changed(&mut self) -> bool {
        let now = look(&self.paths);
        let changed = now != self.seen;
        self.seen = now;
        changed
    }
}

fn look(paths: &[PathBuf]) -> Look {
    let mut look = Look::new();
    for path in paths {
        let state = state(path);
        if let State::Folder(names) = &state {
            for name in names {
                let file = path.join(name);
                // What lies deeper in a folder is not part of it.
                let inside = match self::state(&file) {
                    State::Folder(_) => State::Folder(Vec::new()),
                    other => other,
                };
                look.insert(file, inside);
            }
        }
        look.insert(path.clone(), state);
    }
    look
}

fn state(path: &Path) -> State {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => {
            let mut names: Vec<_> = fs::read_dir(path)
                .map(|entries| entries.flatten().map(|e| e.file_name()).collect())
                .unwrap_or_default();
            names.sort();
            State::Folder(names)
        }
        Ok(found) => State::File {
            place: (found.dev(), found.ino()),
            size: found.size(),
            changed: (found.mtime(), found.mtime_nsec()),
            touched: (found.ctime(), found.ctime_nsec()),
        },
        Err(_) => State::Absent,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::base::file::write_atomic;

    #[test]
    fn nothing_changes_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "1").unwrap();
        let mut watch = Watch::new(vec![folder.path().into(), folder.path().join("none")]);
        assert!(!watch.changed());
        assert!(!watch.changed());
    }

    #[test]
    fn a_write_a_new_file_and_a_removal_show_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        let mut watch = Watch::new(vec![file.clone()]);
        let mut around = Watch::new(vec![folder.path().into()]);
        fs::write(&file, "1").unwrap();
        assert!(watch.changed() && around.changed());
        fs::write(&file, "12").unwrap();
        assert!(watch.changed() && around.changed());
        fs::remove_file(&file).unwrap();
        assert!(watch.changed() && around.changed());
        assert!(!watch.changed() && !around.changed());
    }

    #[test]
    fn a_replaced_file_of_the_same_size_shows() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        write_atomic(&file, b"1", 0o600).unwrap();
        // The old file stays alive, so that its number is not used again.
        let _old = fs::File::open(&file).unwrap();
        let mut watch = Watch::new(vec![file.clone()]);
        write_atomic(&file, b"2", 0o600).unwrap();
        assert!(watch.changed());
    }

    #[test]
    fn a_kubernetes_swap_of_links_shows() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (version, text) in [("..1", "old"), ("..2", "new")] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("a.yaml"), text).unwrap();
        }
        symlink("..1", at("..data")).unwrap();
        symlink("..data/a.yaml", at("a.yaml")).unwrap();
        let mut file = Watch::new(vec![at("a.yaml")]);
        let mut around = Watch::new(vec![folder.path().into()]);
        symlink("..2", at("..new")).unwrap();
        fs::rename(at("..new"), at("..data")).unwrap();
        assert!(file.changed() && around.changed());
        assert!(!file.changed() && !around.changed());
    }

    #[test]
    fn a_file_in_a_folder_below_is_not_watched() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("below");
        fs::create_dir(&below).unwrap();
        let mut watch = Watch::new(vec![folder.path().into()]);
        fs::write(below.join("a"), "1").unwrap();
        assert!(!watch.changed());
    }
}
