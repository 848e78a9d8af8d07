//! What every [`Source`] must do, as a suite that each implementation's tests call.

use arrow::{array::RecordBatch, compute::concat_batches, datatypes::SchemaRef};
use futures_lite_poll::poll_once;

use crate::{Batch, Decode, Position, Result, Source};

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

/// What holds for a decoder of any bytes, damaged ones too: it ends, positions grow, and resuming at a batch's position
/// gives the rest of the rows and as many rejects, and an error where there was one. `open` opens it at a position.
///
/// Property tests and fuzz targets call it: a panic in `open` or the decoder is a finding of its own.
///
/// # Errors
/// With what does not hold.
pub fn any_bytes(mut open: impl FnMut(Option<Position>) -> Result<Box<dyn Decode>>) -> Result<(), String> {
    let Ok(decoder) = open(None) else { return Ok(()) };
    let whole = Drained::new(decoder)?;
    let cuts = whole.batches.len();
    for cut in [0, cuts / 2, cuts.saturating_sub(1)] {
        let Some((_, _, position)) = whole.batches.get(cut) else { continue };
        let expected = &whole.batches[cut + 1..];
        let resumed = match open(Some(*position)) {
            Ok(resumed) => resumed,
            // The error that would come next may come at once.
            Err(_) if whole.failed && expected.is_empty() => continue,
            Err(error) => return Err(format!("it cannot go on at {position:?}: {error}")),
        };
        let found = Drained::new(resumed)?;
        let rows = |batches: &[Decoded]| concat_batches(&whole.schema, batches.iter().map(|batch| &batch.0));
        let (found_rows, expected_rows) = (rows(&found.batches), rows(expected));
        if found_rows.map_err(|e| e.to_string())? != expected_rows.map_err(|e| e.to_string())? {
            return Err(format!("other rows after {position:?}"));
        }
        let rejects = |batches: &[Decoded]| batches.iter().map(|batch| batch.1).sum::<usize>();
        let (found_rejects, expected_rejects) = (rejects(&found.batches), rejects(expected));
        if found_rejects != expected_rejects || found.failed != whole.failed {
            return Err(format!(
                "after {position:?} {found_rejects} rejects and an error: {}, not {expected_rejects} and {}",
                found.failed, whole.failed
            ));
        }
    }
    Ok(())
}

/// A batch: its rows, how many rejects it had, and where to go on.
type Decoded = (RecordBatch, usize, Position);

/// All that a decoder gave.
struct Drained {
    schema: SchemaRef,
    batches: Vec<Decoded>,
    failed: bool,
}

impl Drained {
    fn new(mut decoder: Box<dyn Decode>) -> Result<Self, String> {
        let mut drained = Self { schema: decoder.schema(), batches: vec![], failed: false };
        loop {
            match decoder.decode() {
                Ok(None) => return Ok(drained),
                Err(_) => {
                    drained.failed = true;
                    return Ok(drained);
                }
                Ok(Some(Batch { rows, rejects, next, .. })) => {
                    if let Some((_, _, last)) = drained.batches.last()
                        && next <= *last
                    {
                        return Err(format!("the position does not grow: {last:?}, then {next:?}"));
                    }
                    drained.batches.push((rows, rejects.len(), next));
                }
            }
        }
    }
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
