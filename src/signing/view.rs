//! What readers see: built aside, swapped whole, read without a lock.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;

use crate::{base::clock::Moment, model::TargetName};

use super::{ActiveKey, KeyView};

/// The keys as of one reading of the store.
#[derive(Default)]
pub(super) struct View {
    pub(super) targets: HashMap<TargetName, TargetKeys>,
    /// When the reading began, by both clocks.
    pub(super) uptime: Duration,
    pub(super) wall: Moment,
}

/// The keys of one target.
pub(super) struct TargetKeys {
    pub(super) active: ActiveKey,
    /// Never without a key.
    pub(super) jwks: Bytes,
    /// How old the reading may be.
    pub(super) limit: Duration,
    pub(super) listed: Vec<KeyView>,
}

impl View {
    /// A target's keys, if this reading is recent enough to rely on.
    ///
    /// The monotonic clock stands still while a machine sleeps, and the wall
    /// clock can go back, so the older of the two answers counts.
    pub(super) fn get(&self, target: &str, now: Moment, uptime: Duration) -> Option<&TargetKeys> {
        let age = uptime.saturating_sub(self.uptime).max(now.since(self.wall));
        self.targets.get(target).filter(|keys| age <= keys.limit)
    }
}
