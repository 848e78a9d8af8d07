//! What every [`Source`] must do, as a suite that each implementation's tests call.

use arrow::{array::RecordBatch, compute::concat_batches};
use futures_lite_poll::poll_once;

use crate::{Position, Result, Source};

/// Checks a source against the contract: the schema is fixed, positions grow, `None` stays `None`, resuming at any
/// batch's position loses nothing and repeats nothing, and a dropped `next` loses no row.
///
/// `open` opens the source at a position (`None`: from the start).
///
/// # Panics
/// With a message, when the source breaks the contract.
pub async fn check<S: Source, F: FnMut(Option<Position>) -> Result<S>>(mut open: F) {
    let (whole, cuts) = read(open(None).expect("opens"), false).await;
    for (rows_before, position) in cuts {
        let (rest, _) = read(open(Some(position)).expect("opens again"), false).await;
        let expected = whole.slice(rows_before, whole.num_rows() - rows_before);
        assert_eq!(rest, expected, "resumed at {position:?} after {rows_before} rows");
    }
    let (interrupted, _) = read(open(None).expect("opens"), true).await;
    assert_eq!(interrupted, whole, "calls of `next` were dropped");
}

/// Reads to the end; returns all rows, and the position after each batch with the number of rows before it.
async fn read<S: Source>(mut source: S, interrupt: bool) -> (RecordBatch, Vec<(usize, Position)>) {
    let schema = source.schema();
    let (mut batches, mut cuts, mut rows): (Vec<RecordBatch>, Vec<(usize, Position)>, usize) = (vec![], vec![], 0);
    loop {
        let polled = if interrupt { poll_once(source.next()).await } else { None };
        let next = match polled {
            Some(answer) => answer,
            None => source.next().await,
        };
        let Some(batch) = next.expect("reads") else { break };
        assert_eq!(batch.rows.schema(), schema, "the schema changed");
        if let Some((_, last)) = cuts.last() {
            assert!(batch.next > *last, "the position does not grow: {last:?}, then {:?}", batch.next);
        }
        rows += batch.rows.num_rows();
        cuts.push((rows, batch.next));
        batches.push(batch.rows);
    }
    assert!(source.next().await.expect("reads").is_none(), "rows after the end");
    (concat_batches(&schema, &batches).expect("one schema"), cuts)
}

/// Polling a future once and dropping it.
mod futures_lite_poll {
    use std::{
        future::{Future, poll_fn},
        pin::pin,
        task::Poll,
    };

    /// The future's answer if it is ready at once; else it is dropped, as a cancelled call is.
    pub(super) async fn poll_once<F: Future>(future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        poll_fn(|cx| {
            Poll::Ready(match future.as_mut().poll(cx) {
                Poll::Ready(answer) => Some(answer),
                Poll::Pending => None,
            })
        })
        .await
    }
}
