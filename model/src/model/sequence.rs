//! Running prepared sequences through the encoder in blocks, and handing on what comes of them.

use std::ops::Range;

use super::Model;
use crate::{
    Device, Pooled, PooledSpan, Result,
    blocks::blocks,
    encoder::{BackboneState, Input, Packed},
    overlap::Overlaps,
};

/// Rows that go through the encoder at once: memory stays flat however long the input is.
pub(super) const BLOCK_ROWS: usize = 4096;
/// On a card, where several waves of one sequence are under way at a time; of tokens, which take little memory.
const CARD_ROWS: usize = 1 << 16;
const CARD_TOKENS: usize = 1 << 22;
/// Pools that are on a card at once, as long as spans are spread evenly.
const CARD_POOLS: usize = 1 << 14;

/// One sequence on its way into the encoder.
pub(super) enum Feed<'a> {
    /// Token ids.
    Tokens(Vec<u32>),
    /// Embedded rows `[l, d]`.
    Rows(&'a [f32]),
}

/// Some rows of some sequences: their numbers, and which rows.
type Block = [(usize, Range<usize>)];

impl Feed<'_> {
    fn len(&self, d: usize) -> usize {
        match self {
            Self::Tokens(tokens) => tokens.len(),
            Self::Rows(rows) => rows.len() / d,
        }
    }

    fn part(&self, rows: &Range<usize>, d: usize) -> Input<'_> {
        match self {
            Self::Tokens(all) => Input::Tokens(&all[rows.clone()]),
            Self::Rows(all) => Input::Rows(&all[rows.start * d..rows.end * d]),
        }
    }
}

impl Model {
    /// Runs sequences through the encoder, one state each, in blocks.
    ///
    /// `hidden(sequence, rows)` gets, piece by piece in time order, a sequence's rows of each tap: `[taps][l, d]`.
    pub(super) fn encode(
        &self,
        feeds: &[Feed<'_>],
        states: Vec<&mut BackboneState>,
        taps: &[usize],
        mut hidden: impl FnMut(usize, &[&[f32]]),
    ) -> Result<()> {
        self.in_blocks((feeds, usize::MAX), states, |block, packed, states| {
            self.encoder.encode_to(packed, states, taps, &mut |i, rows| hidden(block[i].0, rows))
        })
    }

    /// As [`Model::encode`]: the rows of one layer go into pools. `spans`: those of each sequence, by its own rows.
    pub(super) fn encode_pooled(
        &self,
        feeds: &[Feed<'_>],
        states: Vec<&mut BackboneState>,
        layer: usize,
        spans: &mut [Vec<PooledSpan>],
    ) -> Result<()> {
        let d = self.info.config.d;
        let overlaps: Vec<Overlaps> =
            spans.iter().map(|spans| Overlaps::new(spans.iter().map(|span| span.rows.clone()))).collect();
        let (rows, pools) = (feeds.iter().map(|feed| feed.len(d)).sum::<usize>(), spans.iter().map(Vec::len).sum());
        let most = rows.saturating_mul(CARD_POOLS) / CARD_POOLS.max(pools);
        self.in_blocks((feeds, most), states, |block, packed, states| {
            let (mut places, mut present) = (vec![], vec![]);
            for ((sequence, rows), first) in block.iter().zip(packed.offsets) {
                for (i, part) in overlaps[*sequence].with(rows.clone()) {
                    let pooled = std::mem::replace(&mut spans[*sequence][i].pooled, Pooled::new(0));
                    let rows = first + part.start - rows.start..first + part.end - rows.start;
                    places.push((*sequence, i));
                    present.push(PooledSpan { rows, pooled });
                }
            }
            let done = self.encoder.encode_pooled(packed, states, layer, &mut present);
            places.into_iter().zip(present).for_each(|((sequence, i), span)| spans[sequence][i].pooled = span.pooled);
            done
        })
    }

    /// As [`Model::encode`]: `outputs` gets those of a head for the rows of the last layer.
    pub(super) fn encode_through(
        &self,
        feeds: &[Feed<'_>],
        states: Vec<&mut BackboneState>,
        head: &[[f64; 4]],
        mut outputs: impl FnMut(usize, &[[f64; 4]]),
    ) -> Result<()> {
        self.in_blocks((feeds, usize::MAX), states, |block, packed, states| {
            self.encoder.encode_through(packed, states, head, &mut |i, rows| outputs(block[i].0, rows))
        })
    }

    /// Runs blocks of as many rows as suit the device, `most` or fewer where it is a card.
    fn in_blocks(
        &self,
        (feeds, most): (&[Feed<'_>], usize),
        mut states: Vec<&mut BackboneState>,
        mut run: impl FnMut(&Block, &Packed<'_>, &mut [&mut BackboneState]) -> Result<()>,
    ) -> Result<()> {
        let d = self.info.config.d;
        let lengths: Vec<usize> = feeds.iter().map(|feed| feed.len(d)).collect();
        let most = match (self.info.device, feeds.first()) {
            (Device::Cpu, _) => BLOCK_ROWS,
            (_, Some(Feed::Tokens(_))) => most.clamp(BLOCK_ROWS, CARD_TOKENS),
            _ => most.clamp(BLOCK_ROWS, CARD_ROWS),
        };
        for block in blocks(&lengths, most) {
            let (mut tokens, mut rows, mut offsets) = (vec![], vec![], vec![0]);
            for (_, range) in &block {
                offsets.push(offsets[offsets.len() - 1] + range.len());
            }
            let input = if let [(sequence, range)] = &block[..] {
                feeds[*sequence].part(range, d)
            } else {
                for (sequence, range) in &block {
                    match feeds[*sequence].part(range, d) {
                        Input::Tokens(part) => tokens.extend_from_slice(part),
                        Input::Rows(part) => rows.extend_from_slice(part),
                    }
                }
                if rows.is_empty() { Input::Tokens(&tokens) } else { Input::Rows(&rows) }
            };
            let mut wanted = block.iter().map(|(sequence, _)| *sequence).peekable();
            let mut present: Vec<&mut BackboneState> = (states.iter_mut().enumerate())
                .filter_map(|(i, state)| wanted.next_if_eq(&i).map(|_| &mut **state))
                .collect();
            run(&block, &Packed { input, offsets: &offsets }, &mut present)?;
        }
        Ok(())
    }
}
