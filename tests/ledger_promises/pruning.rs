//! Pruning: never what is still needed.

use std::time::Duration;

use assay::{
    base::clock::{Clock as _, Moment},
    ledger::LedgerError,
};

use super::{NOW, all, entry, records};
use crate::Store;

pub(crate) async fn p_09_pruning_forgets_no_use_before_its_time(store: Store) {
    let ledger = (store.open)();
    for token in 0..50 {
        ledger.commit(entry(token)).await.unwrap();
    }
    store.clock.advance(Duration::from_secs(600));
    assert_eq!(ledger.prune(store.clock.now()).await, Ok(0));
    for token in 0..50 {
        assert_eq!(
            ledger.commit(entry(token)).await,
            Err(LedgerError::Replayed)
        );
    }
    // Long after, there is nothing to protect any more.
    store.clock.advance(Duration::from_secs(86_400));
    assert_eq!(ledger.prune(store.clock.now()).await, Ok(50));
    assert_eq!(ledger.prune(store.clock.now()).await, Ok(0));
}

pub(crate) async fn f_13_a_jump_of_the_clock_forgets_no_use(store: Store) {
    let ledger = (store.open)();
    ledger.commit(entry(1)).await.unwrap();
    let years = NOW.plus(Duration::from_secs(10 * 365 * 86_400));
    for jump in [years, Moment::from_secs(0)] {
        store.clock.jump_to(jump);
        assert_eq!(ledger.prune(jump).await, Ok(0));
        store.clock.jump_to(NOW);
        assert_eq!(ledger.commit(entry(1)).await, Err(LedgerError::Replayed));
    }
}

pub(crate) async fn pruning_keeps_the_chain(store: Store) {
    let ledger = (store.open)();
    for token in 0..5 {
        ledger.commit(entry(token)).await.unwrap();
    }
    let before = all(&*ledger).await;
    store.clock.advance(Duration::from_secs(86_400));
    assert_eq!(ledger.prune(store.clock.now()).await, Ok(5));
    assert_eq!(all(&*ledger).await, before);
    assert_eq!(records(&*ledger).await, 5);
}
