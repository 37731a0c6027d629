//! threats.
