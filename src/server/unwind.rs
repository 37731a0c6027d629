//! A fault in the handler of one request stays with that request.

use std::{
    any::Any,
    future::Future,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
};

/// The future's value, or what it panicked with.
///
/// What the handler shares with others is immutable or atomic, so nothing is
/// seen half changed afterwards.
pub(super) async fn contained<F: Future>(future: F) -> Result<F::Output, Box<dyn Any + Send>> {
    let mut future = pin!(future);
    poll_fn(
        |cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Err(panic) => Poll::Ready(Err(panic)),
        },
    )
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_value() {
        assert_eq!(contained(async { 7 }).await.unwrap(), 7);
        let panicked = contained(async {
            tokio::task::yield_now().await;
            panic!("on purpose");
        })
        .await;
        let panic = panicked.unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"on purpose"));
    }
}
