//! Running prepared sequences through the encoder in blocks, and handing their hidden rows on.

use super::Model;
use crate::{
    Result,
    blocks::blocks,
    encoder::{BackboneState, Input, Packed},
};

/// Rows that go through the encoder at once: memory stays flat however long the input is.
pub(super) const BLOCK_ROWS: usize = 4096;

/// One sequence on its way into the encoder.
pub(super) enum Feed<'a> {
    /// Token ids.
    Tokens(Vec<u32>),
    /// Embedded rows `[l, d]`.
    Rows(&'a [f32]),
}

impl Feed<'_> {
    fn len(&self, d: usize) -> usize {
        match self {
            Self::Tokens(tokens) => tokens.len(),
            Self::Rows(rows) => rows.len() / d,
        }
    }
}

impl Model {
    /// Runs sequences through the encoder, one state each, in blocks of at most [`BLOCK_ROWS`] rows.
    ///
    /// `hidden(sequence, rows)` gets, in time order, a sequence's rows of each tap: `[taps][l, d]`.
    pub(super) fn encode(
        &self,
        feeds: &[Feed<'_>],
        mut states: Vec<&mut BackboneState>,
        taps: &[usize],
        mut hidden: impl FnMut(usize, &[&[f32]]),
    ) -> Result<()> {
        let d = self.info.config.d;
        let lengths: Vec<usize> = feeds.iter().map(|feed| feed.len(d)).collect();
        for block in blocks(&lengths, BLOCK_ROWS) {
            let (mut tokens, mut rows, mut offsets) = (vec![], vec![], vec![0]);
            for (sequence, range) in &block {
                match &feeds[*sequence] {
                    Feed::Tokens(all) => tokens.extend_from_slice(&all[range.clone()]),
                    Feed::Rows(all) => rows.extend_from_slice(&all[range.start * d..range.end * d]),
                }
                offsets.push(offsets[offsets.len() - 1] + range.len());
            }
            let input = if rows.is_empty() { Input::Tokens(&tokens) } else { Input::Rows(&rows) };
            let mut wanted = block.iter().map(|(sequence, _)| *sequence).peekable();
            let mut present: Vec<&mut BackboneState> = (states.iter_mut().enumerate())
                .filter_map(|(i, state)| wanted.next_if_eq(&i).map(|_| &mut **state))
                .collect();
            let blocks = self.encoder.encode(&Packed { input, offsets: &offsets }, &mut present, taps)?;
            for (i, (sequence, _)) in block.iter().enumerate() {
                let rows: Vec<&[f32]> = blocks.iter().map(|rows| &rows[offsets[i] * d..offsets[i + 1] * d]).collect();
                hidden(*sequence, &rows);
            }
        }
        Ok(())
    }
}
