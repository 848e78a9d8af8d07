//! Scores of variants: how much likelier a DNA model finds the alternative than the reference, given what stands before.
//!
//! ```text
//!           tile's start (a multiple of 8,192)                 variant
//! forward   |───────────── context, run once ────────────────►|═══ reference: window of 256 ═══►
//!                                                       fork  └═══ alternative ═════════════►
//! ```
//!
//! A variant's score on a strand is `ln p(alternative's window | context) - ln p(reference's window | context)`. The
//! context begins at a fixed tile boundary of the contig, so a score depends on nothing but the contig, the variant and the
//! model: not on the other variants. Each tile's context runs once; every alternative forks its state. By the chunk law
//! that gives the bits of two runs from the tile's start for each variant ([`plain::score`] does those, and a test compares).
//!
//! The policy, in full:
//!
//! - **Both strands** are scored, each in its own direction of reading with its own context, and averaged.
//! - **Windows** hold as many bases of the reference as of the alternative, from the first base in which they differ (on
//!   the reverse strand: from the last one, going left): what both begin with belongs to the context. They end early at
//!   the contig's end.
//! - **Tile boundaries**: a window that would begin at one has the whole tile before it as its context, so there is always
//!   at least one base of context, except at the contig's end, whose first base counts as 1/4 in both alleles.
//! - **Letters**: case is ignored and U is T. N and the ambiguity codes are read by the model but not predicted: as a base of
//!   a window they count nothing, in both alleles; a variant whose own alleles have one is a reject.

mod job;
mod lane;
pub mod plain;
mod site;
mod strand;
mod table;
pub mod track;

use std::{collections::HashMap, sync::Arc};

use unspool_ingest::Reference;
use unspool_model::{Front, Model, Options, dna};

pub use self::{
    job::{Scores, contig, score_all},
    site::{Strand, Variant, Window},
    strand::{Score, Tokens},
};
use crate::Result;

/// How variants are scored. The defaults are what scores are comparable with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScoreOptions {
    /// Bases from one tile's start to the next one's.
    pub tile: usize,
    /// Bases of a window, of each allele.
    pub window: usize,
    /// Tokens that go through the model at once, about; changes no score.
    pub pack_tokens: usize,
}

impl Default for ScoreOptions {
    fn default() -> Self {
        Self { tile: 8192, window: 256, pack_tokens: 2048 }
    }
}

/// The longest tile, and so the longest context and allele, in bases.
const MAX_TILE: usize = 1 << 20;

/// Where contigs come from.
pub trait Contigs: Send {
    /// The bases of a contig; `None` where there is none of this name.
    ///
    /// # Errors
    /// When they cannot be read.
    fn contig(&mut self, name: &str) -> Result<Option<Arc<[u8]>>>;
}

impl Contigs for Reference {
    fn contig(&mut self, name: &str) -> Result<Option<Arc<[u8]>>> {
        Ok(Reference::contig(self, name)?)
    }
}

impl Contigs for HashMap<String, Arc<[u8]>> {
    fn contig(&mut self, name: &str) -> Result<Option<Arc<[u8]>>> {
        Ok(self.get(name).cloned())
    }
}

impl ScoreOptions {
    /// Refuses sizes that make no sense, and models that predict no bases.
    ///
    /// # Errors
    /// Says which.
    pub fn check(&self, model: &Model) -> Result<()> {
        let refuse = |problem: String| Err(unspool_model::Error::Input(problem).into());
        if model.info().front != Front::Dna {
            return refuse(format!("{} is no DNA model: it predicts no bases", model.info().name));
        }
        if !(1..=MAX_TILE).contains(&self.tile) || !(1..=self.tile).contains(&self.window) {
            return refuse(format!(
                "a window of {} in tiles of {} (at most {MAX_TILE}) cannot be",
                self.window, self.tile
            ));
        }
        Ok(())
    }
}

/// What sequences are opened for: the last layer's rows, from which the next base is predicted.
fn options(model: &Model) -> Options {
    Options { layers: vec![model.info().config.layers], rows: true, ..Options::default() }
}

/// ln p of a base by what was predicted; nothing of one that is not predicted.
fn ln_p(predicted: &[f64; 4], token: u32) -> f64 {
    dna::base(token).map_or(0.0, |base| predicted[base])
}

#[cfg(test)]
mod tests;
