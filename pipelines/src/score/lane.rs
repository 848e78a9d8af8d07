//! A tile of one strand on its way: the context runs once, and windows fork its state.

use std::{collections::VecDeque, ops::Range};

use unspool_model::{State, dna};

use super::{Window, ln_p};

/// A window that waits for the context to reach it.
pub(super) struct Wanted {
    /// Which score it is of.
    pub(super) id: usize,
    pub(super) window: Window,
}

/// A tile.
pub(super) struct Lane {
    /// The strand's tokens from the tile's start on, as far as any window reaches.
    pub(super) tokens: Vec<u32>,
    /// Its state after the tokens run so far.
    pub(super) state: State,
    /// Tokens run so far.
    run: usize,
    /// What is predicted after them.
    predicted: [f64; 4],
    /// ln p of each token known so far: one more than were run.
    known: Vec<f64>,
    /// Windows by where they begin.
    waiting: VecDeque<Wanted>,
    /// Windows of the reference that are not known yet.
    references: Vec<(usize, Range<usize>)>,
}

/// An alternative that forked a state.
pub(super) struct Fork {
    pub(super) id: usize,
    pub(super) state: State,
    pub(super) predicted: [f64; 4],
    pub(super) tokens: Vec<u32>,
}

impl Lane {
    /// A tile at its start. Its tokens end where the last window of the reference does.
    pub(super) fn new(tokens: Vec<u32>, state: State, mut wanted: Vec<Wanted>) -> Self {
        wanted.sort_by_key(|wanted| wanted.window.context);
        let references = wanted.iter().map(|wanted| {
            let Window { context, len, .. } = wanted.window;
            (wanted.id, context..context + len)
        });
        let (references, predicted) = (references.collect(), dna::no_context());
        let known = tokens.first().map(|token| ln_p(&predicted, *token)).into_iter().collect();
        Self { tokens, state, run: 0, predicted, known, waiting: wanted.into(), references }
    }

    /// The alternatives whose windows begin where the context is.
    pub(super) fn forks(&mut self) -> Vec<Fork> {
        let mut forks = vec![];
        while let Some(wanted) = self.waiting.pop_front_if(|wanted| wanted.window.context == self.run) {
            let (id, state, tokens) = (wanted.id, self.state.clone(), wanted.window.alternative);
            forks.push(Fork { id, state, predicted: self.predicted, tokens });
        }
        forks
    }

    /// The next tokens to run, at most `most`: up to the next window's start, or to the last token that predicts another.
    pub(super) fn next(&self, most: usize) -> Range<usize> {
        let last = self.tokens.len().saturating_sub(1);
        let end = self.waiting.front().map_or(last, |wanted| wanted.window.context);
        self.run..end.min(self.run.saturating_add(most))
    }

    /// Takes in what was predicted after each of the tokens run.
    pub(super) fn advance(&mut self, predicted: &[[f64; 4]]) {
        for predicted in predicted {
            self.run += 1;
            self.predicted = *predicted;
            if let Some(token) = self.tokens.get(self.run) {
                self.known.push(ln_p(predicted, *token));
            }
        }
    }

    /// The windows of the reference that are known by now: id and ln p, summed in order.
    pub(super) fn finished(&mut self) -> Vec<(usize, f64)> {
        let known = &self.known;
        let (finished, references) =
            std::mem::take(&mut self.references).into_iter().partition(|r| r.1.end <= known.len());
        self.references = references;
        let finished: Vec<(usize, Range<usize>)> = finished;
        finished.into_iter().map(|(id, range)| (id, known[range].iter().sum())).collect()
    }

    /// Whether all is done.
    pub(super) fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.references.is_empty()
    }
}

impl Fork {
    /// The tokens to run: all but the last, after which nothing is predicted that counts.
    pub(super) fn run(&self) -> &[u32] {
        &self.tokens[..self.tokens.len().saturating_sub(1)]
    }

    /// ln p of the window, given what was predicted after each of the tokens run.
    pub(super) fn ln_p(&self, predicted: &[[f64; 4]]) -> f64 {
        let before = std::iter::once(&self.predicted).chain(predicted);
        self.tokens.iter().zip(before).map(|(token, predicted)| ln_p(predicted, *token)).sum()
    }
}
