//! The outside world, injected.
//!
//! Nothing below this room reads the clock, draws randomness, opens a socket
//! or watches a file by itself: it is handed one of these. That is what makes
//! every refusal reproducible in a test and every time limit testable without
//! waiting for it.

pub mod budget;
pub mod clock;
pub mod file;
pub mod outbound;
pub mod random;
pub mod secret;
pub mod text;
pub mod watch;

use std::{future::Future, pin::Pin};

/// A boxed future, for the few traits that must be object safe.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
