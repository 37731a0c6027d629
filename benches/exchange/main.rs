//! What an exchange costs, as a ratio to what it must cost.
//!
//! One run measures, on one core with the load generator on the other: the
//! crypto floor (the two signature operations alone), a bare server (the same
//! TLS and HTTP stack, verify and sign), the exchange in this process without
//! and with the durable ledger, and the real server over TLS keep-alive; then
//! the real server again with a thousand trust domains of ten rules. Absolute
//! figures depend on the machine; the ratios are what to compare.
//!
//! `cargo bench --bench exchange` runs all of it; `-- --seconds N` sets the
//! length of each measurement (5 by default).

