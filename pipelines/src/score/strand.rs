//! Many windows scored together: tiles run side by side, and forks in packs.

use std::{collections::BTreeMap, sync::Arc};

use unspool_model::{Events, Item, Model, State};

use super::{
    ScoreOptions, Strand, Variant, Window,
    lane::{Fork, Lane, Wanted},
    options,
    site::strand_tokens,
};
use crate::Result;

/// Tokens of context that a tile runs at once when several run side by side.
const LANE_TOKENS: usize = 1024;
/// Tiles that run side by side, at most.
const MAX_LANES: usize = 128;

/// Why a variant that fits has no score.
const NO_BASE: &str = "the contig has what is no base in the context before it";

/// A variant's score on one strand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// ln p of the alternative's window less that of the reference's.
    pub log_ratio: f64,
    /// Bases of each window.
    pub window: usize,
    /// Bases of context.
    pub context: usize,
}

/// Tokens that scoring took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Tokens that went through the model.
    pub run: u64,
    /// Tokens that two runs from the tile's start for each variant and strand would have taken.
    pub plain: u64,
}

/// Windows of one tile of one strand.
type Tile = (Strand, usize);

/// Variants of one contig, by tile.
pub(super) struct Work {
    model: Arc<Model>,
    options: ScoreOptions,
    contig: Arc<[u8]>,
    tiles: Vec<(Tile, Vec<Wanted>)>,
    /// For each window: its score, once known; until then what is known of it.
    scores: Vec<Partial>,
    pub(super) tokens: Tokens,
}

#[derive(Clone, Copy)]
struct Partial {
    window: usize,
    context: usize,
    reference: f64,
    alternative: f64,
}

impl Work {
    pub(super) fn new(model: Arc<Model>, options: ScoreOptions, contig: Arc<[u8]>) -> Self {
        Self { model, options, contig, tiles: vec![], scores: vec![], tokens: Tokens::default() }
    }

    /// Adds variants. Returns, for each, the numbers of its forward and its reverse score, or why it has none.
    pub(super) fn add(&mut self, variants: &[Variant<'_>]) -> Vec<Result<[usize; 2], String>> {
        let mut tiles: BTreeMap<(usize, Strand), Vec<Wanted>> = BTreeMap::new();
        let numbers = variants.iter().map(|variant| {
            variant.check(&self.contig, &self.options)?;
            let window = |strand| variant.window(&self.contig, strand, &self.options);
            let (forward, reverse) = (window(Strand::Forward)?, window(Strand::Reverse)?);
            let forward = self.want(&mut tiles, Strand::Forward, forward);
            Ok([forward, self.want(&mut tiles, Strand::Reverse, reverse)])
        });
        let numbers = numbers.collect();
        self.tiles = tiles.into_iter().map(|((start, strand), wanted)| ((strand, start), wanted)).collect();
        numbers
    }

    fn want(&mut self, tiles: &mut BTreeMap<(usize, Strand), Vec<Wanted>>, strand: Strand, window: Window) -> usize {
        let id = self.scores.len();
        let Window { context, len, .. } = window;
        self.scores.push(Partial { window: len, context, reference: 0.0, alternative: 0.0 });
        self.tokens.plain += 2 * (context + len - 1) as u64;
        tiles.entry((window.start, strand)).or_default().push(Wanted { id, window });
        id
    }

    /// Runs some tiles to their ends; `None` when all are done. Returns the tokens run.
    ///
    /// # Errors
    /// When the model refuses. (A tile that holds what is no base leaves its windows without a score.)
    pub(super) fn step(&mut self) -> Result<Option<u64>> {
        if self.tiles.is_empty() {
            return Ok(None);
        }
        let lanes = (self.options.pack_tokens / LANE_TOKENS).clamp(1, MAX_LANES).min(self.tiles.len());
        let tiles: Vec<_> = self.tiles.drain(..lanes).collect();
        let mut lanes = vec![];
        for ((strand, start), wanted) in tiles {
            let reach = wanted.iter().map(|wanted| wanted.window.context + wanted.window.len).max().unwrap_or(0);
            match strand_tokens(&self.contig, start..start + reach, strand) {
                Ok(tokens) => lanes.push(Lane::new(tokens, self.model.open(&options(&self.model))?, wanted)),
                Err(_) => wanted.iter().for_each(|wanted| self.scores[wanted.id].reference = f64::NAN),
            }
        }
        let before = self.tokens.run;
        self.run(lanes)?;
        Ok(Some(self.tokens.run - before))
    }

    fn run(&mut self, mut lanes: Vec<Lane>) -> Result<()> {
        let most_forks = (self.options.pack_tokens / self.options.window).max(1);
        let mut forks: Vec<Fork> = vec![];
        while !lanes.is_empty() {
            for lane in &mut lanes {
                forks.extend(lane.forks());
                for (id, ln_p) in lane.finished() {
                    self.scores[id].reference = ln_p;
                }
            }
            lanes.retain(|lane| !lane.is_done());
            self.run_contexts(&mut lanes)?;
            while forks.len() >= most_forks || (lanes.is_empty() && !forks.is_empty()) {
                let rest = forks.split_off(most_forks.min(forks.len()));
                self.run_forks(std::mem::replace(&mut forks, rest))?;
            }
        }
        Ok(())
    }

    /// Runs each lane on to its next window.
    fn run_contexts(&mut self, lanes: &mut [Lane]) -> Result<()> {
        if lanes.is_empty() {
            return Ok(());
        }
        let most = (self.options.pack_tokens / lanes.len()).max(1);
        let ranges: Vec<_> = lanes.iter().map(|lane| lane.next(most)).collect();
        let mut runs = vec![];
        for (lane, range) in lanes.iter_mut().zip(&ranges) {
            let Lane { tokens, state, .. } = lane;
            runs.push((state, &tokens[range.clone()]));
        }
        let predicted = self.predict(runs)?;
        lanes.iter_mut().zip(predicted).for_each(|(lane, predicted)| lane.advance(&predicted));
        Ok(())
    }

    /// Runs alternatives to the ends of their windows.
    fn run_forks(&mut self, mut forks: Vec<Fork>) -> Result<()> {
        let mut runs = vec![];
        for Fork { state, tokens, .. } in &mut forks {
            let run = tokens.len().saturating_sub(1);
            runs.push((state, &tokens[..run]));
        }
        let predicted = self.predict(runs)?;
        for (fork, predicted) in forks.iter().zip(predicted) {
            debug_assert_eq!(fork.run().len(), predicted.len(), "one prediction a token");
            self.scores[fork.id].alternative = fork.ln_p(&predicted);
        }
        Ok(())
    }

    /// Runs tokens, and says what is predicted after each.
    fn predict(&mut self, runs: Vec<(&mut State, &[u32])>) -> Result<Vec<Vec<[f64; 4]>>> {
        self.tokens.run += runs.iter().map(|(_, tokens)| tokens.len() as u64).sum::<u64>();
        let mut items: Vec<Item<'_>> =
            runs.into_iter().map(|(state, tokens)| Item { state, events: Events::Tokens(tokens) }).collect();
        let outputs = self.model.append(&mut items)?;
        let rows = outputs.iter().map(|output| output.rows.first().map_or(&[][..], Vec::as_slice));
        Ok(rows.map(|rows| self.model.next_bases(rows)).collect::<Result<_, _>>()?)
    }

    /// A variant's forward and reverse score by their numbers, or why it has none.
    pub(super) fn scores(&self, numbers: [usize; 2]) -> Result<[Score; 2], String> {
        let [forward, reverse] = numbers.map(|number| {
            let Partial { window, context, reference, alternative } = self.scores[number];
            Score { log_ratio: alternative - reference, window, context }
        });
        // A tile that holds what is no base has left it without a number.
        let known = !forward.log_ratio.is_nan() && !reverse.log_ratio.is_nan();
        known.then_some([forward, reverse]).ok_or_else(|| NO_BASE.to_owned())
    }
}
