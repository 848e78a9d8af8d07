//! Running prepared sequences through the encoder in blocks, and handing their hidden rows on.

use super::Model;
use crate::{
    Device, Result,
    blocks::blocks,
    encoder::{BackboneState, Input, Packed},
};

/// Rows that go through the encoder at once: memory stays flat however long the input is.
pub(super) const BLOCK_ROWS: usize = 4096;
/// On a card, where several waves of one sequence are under way at a time; of tokens, which take little memory.
const CARD_ROWS: usize = 1 << 16;
const CARD_TOKENS: usize = 1 << 20;

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
    /// Runs sequences through the encoder, one state each, in blocks.
    ///
    /// `hidden(sequence, rows)` gets, piece by piece in time order, a sequence's rows of each tap: `[taps][l, d]`.
    pub(super) fn encode(
        &self,
        feeds: &[Feed<'_>],
        mut states: Vec<&mut BackboneState>,
        taps: &[usize],
        mut hidden: impl FnMut(usize, &[&[f32]]),
    ) -> Result<()> {
        let d = self.info.config.d;
        let lengths: Vec<usize> = feeds.iter().map(|feed| feed.len(d)).collect();
        let most = match (self.info.device, feeds.first()) {
            (Device::Cpu, _) => BLOCK_ROWS,
            (_, Some(Feed::Tokens(_))) => CARD_TOKENS,
            _ => CARD_ROWS,
        };
        for block in blocks(&lengths, most) {
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
            let packed = Packed { input, offsets: &offsets };
            self.encoder.encode_to(&packed, &mut present, taps, &mut |i, rows| hidden(block[i].0, rows))?;
        }
        Ok(())
    }
}
