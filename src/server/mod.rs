//! (owner room to come)
