//! `assay serve`: the broker.
