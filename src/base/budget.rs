//! Token buckets in fixed memory.
//!
//! SKELETON CONTRACT (owner: server)

use std::time::Duration;

/// A fixed number of buckets; keys share one by hash. Lock-free.
#[derive(Debug)]
pub struct Buckets {}

impl Buckets {
    /// `slots` buckets of `burst` tokens, refilled at `per_second`.
    pub fn new(_slots: usize, _per_second: u32, _burst: u32) -> Self {
        todo!()
    }

    /// Takes a token for `key`, or says how long until there is one.
    pub fn take(&self, _key: &[u8], _uptime: Duration) -> Result<(), Duration> {
        todo!()
    }
}
