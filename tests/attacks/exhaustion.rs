//! exhaustion.
