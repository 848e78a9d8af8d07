//! The parts of a BGZF file that an index names, one after the other.

use std::collections::VecDeque;

use noodles::csi::binning_index::index::reference_sequence::bin::Chunk;

use super::Input;
use crate::Result;

/// The parts still to be read, in order; the first is being read.
pub(crate) struct Chunks(VecDeque<Chunk>);

impl Chunks {
    pub(crate) fn new(chunks: impl IntoIterator<Item = Chunk>) -> Self {
        Self(chunks.into_iter().collect())
    }

    /// Goes to the first part at or, when reading is `resumed`, after where the file is.
    pub(crate) fn go_to_first(&mut self, input: &mut Input, resumed: bool) -> Result<()> {
        let here = if resumed { input.mark() } else { 0 };
        self.0.retain(|chunk| u64::from(chunk.end()) > here);
        match self.0.front() {
            Some(chunk) if u64::from(chunk.start()) > here => input.seek_to(chunk.start().into()),
            _ => Ok(()),
        }
    }

    /// Goes to the next part where one ends; `false` after the last.
    pub(crate) fn go_on(&mut self, input: &mut Input) -> Result<bool> {
        while let Some(chunk) = self.0.front() {
            if input.mark() < u64::from(chunk.end()) {
                return Ok(true);
            }
            self.0.pop_front();
            if let Some(next) = self.0.front()
                && u64::from(next.start()) > input.mark()
            {
                input.seek_to(next.start().into())?;
            }
        }
        Ok(false)
    }
}
