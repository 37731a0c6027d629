//! The HTTP surface over real sockets, with a stub behind it.
//!
//! Each test starts a server on free ports of the loopback. Names that begin
//! with an id such as `o_23` are cases of the threat catalogue.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod drain;
mod http1;
mod http2;
mod limits;
mod rig;
mod tls;
