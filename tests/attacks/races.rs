//! races.
