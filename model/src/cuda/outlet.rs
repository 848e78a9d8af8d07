//! What is made of a wave's rows, and what of it goes to the host.

use std::{
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use unspool_kernels::cuda::{self, CudaError, Gpu, Head, HeadRows, Lane, On, Piece, Pieces, Pinned, Pools};

use super::plan::Wave;
use crate::{PooledSpan, overlap::Overlaps};

/// What is asked of a call's rows. What goes to the host is given out wave by wave.
pub(super) enum Ask<'a> {
    /// Hidden rows of these taps: `[taps][l, d]` of a part of a sequence.
    Rows(&'a [usize], &'a mut TakeRows<'a>),
    /// Pools of the rows of one tap.
    Pooled(usize, &'a Spans<'a>),
    /// A head's outputs for the rows of the last tap: `[l, 4]` of a part of a sequence.
    Through(&'a Head, &'a mut TakeOutputs<'a>),
}

/// Is given a sequence's number, a range of its rows, and these of each tap.
pub(super) type TakeRows<'a> = dyn FnMut(usize, Range<usize>, &[&[f32]]) + 'a;
/// Is given a sequence's number and a head's outputs for its next rows.
pub(super) type TakeOutputs<'a> = dyn FnMut(usize, &[[f64; 4]]) + 'a;

/// The pools of a call, and which rows go where.
pub(super) struct Spans<'a> {
    pools: &'a Pools,
    spans: &'a [PooledSpan],
    overlaps: Overlaps,
}

/// What makes something of the rows on the card, kept from call to call.
pub(super) struct Outlets {
    gpu: Arc<Gpu>,
    pools: Mutex<Option<Pools>>,
    head: Mutex<Option<(Vec<[f64; 4]>, Head)>>,
}

/// A turn's memory for what leaves the card.
pub(super) struct Outlet {
    taps: Vec<Pinned<f32>>,
    pieces: Option<Pieces>,
    outputs: Option<HeadRows>,
}

impl Ask<'_> {
    /// Whether rows of a layer before the last are asked for.
    pub(super) fn inner(&self, layers: usize) -> bool {
        match self {
            Self::Rows(taps, _) => taps.iter().any(|tap| *tap < layers),
            Self::Pooled(tap, _) => *tap < layers,
            Self::Through(..) => false,
        }
    }

    /// What is made of a wave's rows goes on from the waves before it.
    pub(super) fn carries(&self) -> bool {
        matches!(self, Self::Pooled(..))
    }

    /// As [`Ask::carries`], at this tap.
    pub(super) fn carries_at(&self, reached: usize) -> bool {
        matches!(self, Self::Pooled(tap, _) if *tap == reached)
    }
}

impl Spans<'_> {
    /// Which parts of a wave go into which pools. `firsts`: the parts' rows in the wave; `starts`: their sequences' in the batch.
    fn pieces(&self, wave: &Wave, firsts: &[usize], starts: &[usize]) -> Vec<Piece> {
        let mut pieces = vec![];
        for (part, first) in wave.parts.iter().zip(firsts) {
            let from = starts[part.sequence] + part.rows.start;
            for (pool, rows) in self.overlaps.with(from..from + part.rows.len()) {
                let span = &self.spans[pool];
                let fresh = span.pooled.count == 0 && rows.start == span.rows.start;
                pieces.push(Piece { row: first + rows.start - from, rows: rows.len(), pool, fresh });
            }
        }
        pieces
    }
}

impl Outlets {
    pub(super) fn new(gpu: &Arc<Gpu>) -> Self {
        Self { gpu: Arc::clone(gpu), pools: Mutex::default(), head: Mutex::default() }
    }

    /// Runs a call that fills pools: they are put on the card, and fetched when `run` is through.
    ///
    /// # Errors
    /// Those of `run`, and when memory does not suffice.
    pub(super) fn pool<E: From<CudaError>>(
        &self,
        (spans, d): (&mut [PooledSpan], usize),
        run: impl FnOnce(&Spans<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut kept = lock(&self.pools);
        let pools = match &mut *kept {
            Some(pools) if pools.room() >= spans.len() => pools,
            kept => {
                *kept = None; // its memory first
                kept.insert(Pools::new(&self.gpu, spans.len().next_power_of_two(), d)?)
            }
        };
        let carried = spans.iter().rposition(|span| span.pooled.count > 0).map_or(0, |last| last + 1);
        pools.put(carried, |i| spans[i].pooled.on_card())?;
        let overlaps = Overlaps::new(spans.iter().map(|span| span.rows.clone()));
        run(&Spans { pools, spans, overlaps })?;
        pools.get(spans.len())?;
        for (i, span) in spans.iter_mut().enumerate().filter(|(_, span)| !span.rows.is_empty()) {
            span.pooled.take(pools.pool(i), span.rows.len());
        }
        Ok(())
    }

    /// Runs a call with a head on the card.
    ///
    /// # Errors
    /// Those of `run`, and when memory does not suffice.
    pub(super) fn head<E: From<CudaError>>(
        &self,
        weight: &[[f64; 4]],
        run: impl FnOnce(&Head) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut kept = lock(&self.head);
        let (_, head) = match &mut *kept {
            Some(kept) if kept.0 == weight => kept,
            kept => kept.insert((weight.to_vec(), Head::new(&self.gpu, weight)?)),
        };
        run(head)
    }
}

impl Outlet {
    pub(super) fn new() -> Self {
        Self { taps: vec![], pieces: None, outputs: None }
    }

    /// Makes room for what is asked of a wave, and describes it. `d`: a row's width.
    pub(super) fn describe(
        &mut self,
        on: (&Gpu, &Lane),
        (wave, firsts): (&Wave, &[usize]),
        (ask, starts): (&Ask<'_>, &[usize]),
        (rows, d): (usize, usize),
    ) -> Result<(), CudaError> {
        let (gpu, lane) = on;
        match ask {
            Ask::Rows(taps, _) => {
                while self.taps.len() < taps.len() {
                    self.taps.push(Pinned::zeros(gpu, rows * d)?);
                }
            }
            Ask::Pooled(_, spans) => {
                let pieces = match &mut self.pieces {
                    Some(pieces) => pieces,
                    none => none.insert(Pieces::new(gpu)?),
                };
                pieces.set(gpu, lane, &spans.pieces(wave, firsts, starts))?;
            }
            Ask::Through(..) if self.outputs.is_none() => self.outputs = Some(HeadRows::new(gpu, rows)?),
            Ask::Through(..) => {}
        }
        Ok(())
    }

    /// Queues what is asked of a wave's rows of one tap.
    pub(super) fn tapped(
        &mut self,
        on: On<'_>,
        (reached, rows): (usize, &cuda::Rows),
        (ask, layers): (&Ask<'_>, usize),
    ) -> Result<(), CudaError> {
        match ask {
            Ask::Rows(taps, _) => {
                for (_, to) in taps.iter().zip(&mut self.taps).filter(|(tap, _)| **tap == reached) {
                    rows.buffer().get(on.lane, 0, to, on.size.rows * rows.cols())?;
                }
            }
            Ask::Pooled(tap, spans) if *tap == reached => {
                self.pieces.as_ref().map_or(Ok(()), |pieces| spans.pools.forward(on, rows, pieces))?;
            }
            Ask::Through(head, _) if reached == layers => {
                self.outputs.as_mut().map_or(Ok(()), |outputs| head.forward(on, rows, outputs))?;
            }
            Ask::Pooled(..) | Ask::Through(..) => {}
        }
        Ok(())
    }

    /// Gives out what came of a wave, which is through.
    pub(super) fn give(
        &self,
        (wave, firsts): (&Wave, &[usize]),
        (ask, first_sequence): (&mut Ask<'_>, usize),
        d: usize,
    ) {
        for (part, first) in wave.parts.iter().zip(firsts) {
            let (sequence, range) = (first_sequence + part.sequence, *first..first + part.rows.len());
            match ask {
                Ask::Rows([], _) | Ask::Pooled(..) => return,
                Ask::Rows(taps, take) => {
                    let each = self.taps.iter().take(taps.len());
                    let rows: Vec<&[f32]> = each.map(|from| &from.values()[range.start * d..range.end * d]).collect();
                    take(sequence, part.rows.clone(), &rows);
                }
                Ask::Through(_, take) => {
                    self.outputs.iter().for_each(|outputs| take(sequence, &outputs.values()[range.clone()]));
                }
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
