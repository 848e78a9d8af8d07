//! Tokens and bases: to hidden rows, pools of them, or bits.

use super::{Events, Item, Model, Output, bases::BaseHead, sequence::Feed, taps};
use crate::{Device, Error, PooledSpan, Result, State, dna, state::Options};

/// Rows whose outputs are made into bits together.
const GATHERED: usize = 1 << 16;

impl Model {
    /// As [`Model::append`] of bases or tokens, for embeddings of parts of sequences: the hidden rows of `layer` go into the pools
    /// of `spans`, one list an item, by rows as the item's events count them. On a card rows are pooled where they are, and so
    /// long sequences run at the encoder's own rate. What the states were opened for is not looked at.
    ///
    /// # Errors
    /// As [`Model::append`]; and when there are other numbers of lists than items, a span is outside its item's events, or the
    /// model has no such layer or is for series.
    pub fn append_pooled(&self, items: &mut [Item<'_>], layer: usize, spans: &mut [Vec<PooledSpan>]) -> Result<()> {
        for item in items.iter() {
            self.check(item)?;
        }
        let config = &self.info.config;
        if self.series.is_some() || items.len() != spans.len() || layer > config.layers {
            let (name, layers) = (&self.info.name, config.layers);
            let problem = format!("{name} pools spans of tokens, a list a sequence, of layers 0 to {layers}");
            return Err(Error::Input(problem));
        }
        for (item, spans) in items.iter().zip(&*spans) {
            spans.iter().try_for_each(|span| span.check(&[0, item.events.len()], config.d))?;
        }
        let feeds = feeds(items)?;
        let states = items.iter_mut().filter_map(|item| {
            item.state.position += item.events.len() as u64;
            item.state.backbone.as_mut()
        });
        self.encode_pooled(&feeds, states.collect(), layer, spans)
    }

    pub(super) fn append_tokens(&self, items: &mut [Item<'_>]) -> Result<Vec<Output>> {
        let taps = taps(items);
        let all = |asked: fn(&Options) -> bool| items.iter().all(|item| asked(&item.state.options));
        match (&taps[..], &self.bases, self.info.device) {
            ([layer], _, _) if all(|options| !options.rows && !options.bits) => self.append_to_pools(items, *layer),
            // The CPU makes the rows here in any case.
            ([], Some(head), Device::Cuda(_)) if all(|options| options.bits) => self.append_for_bits(items, head),
            _ => self.append_for_rows(items, taps),
        }
    }

    fn append_for_rows(&self, items: &mut [Item<'_>], mut taps: Vec<usize>) -> Result<Vec<Output>> {
        let feeds = feeds(items)?;
        let layers = self.info.config.layers;
        if items.iter().any(|item| item.state.options.bits) && taps.last() != Some(&layers) {
            taps.push(layers); // the head reads the last one
        }
        let (mut outputs, mut states, mut rest) = (vec![], vec![], vec![]);
        for item in items.iter_mut() {
            let State { backbone, pools, options, position, predicted, .. } = &mut *item.state;
            *position += item.events.len() as u64;
            outputs.push(Output::new(options));
            states.extend(backbone);
            rest.push((&*options, pools, predicted));
        }
        self.encode(&feeds, states, &taps, |i, hidden| {
            let (options, pools, predicted) = &mut rest[i];
            outputs[i].take(options, pools, &taps, hidden);
            if let (Some(predicted), Some(head), Feed::Tokens(tokens)) = (predicted, &self.bases, &feeds[i]) {
                let scores = &mut outputs[i].scores;
                head.bits((&tokens[scores.len()..], hidden[hidden.len() - 1]), predicted, scores);
            }
        })?;
        Ok(outputs)
    }

    /// Of states that ask for bits and nothing else: the head's outputs are made where the rows are.
    fn append_for_bits(&self, items: &mut [Item<'_>], head: &BaseHead) -> Result<Vec<Output>> {
        let feeds = feeds(items)?;
        let (mut outputs, mut states, mut rest) = (vec![Output::default(); items.len()], vec![], vec![]);
        for item in items.iter_mut() {
            let State { backbone, position, predicted, .. } = &mut *item.state;
            *position += item.events.len() as u64;
            states.extend(backbone);
            rest.push((predicted, vec![]));
        }
        let mut flush = |i: usize, (predicted, made): &mut (&mut Option<[f64; 4]>, Vec<[f64; 4]>)| {
            if let (Some(predicted), Feed::Tokens(tokens)) = (predicted, &feeds[i]) {
                let scores = &mut outputs[i].scores;
                head.bits_of_outputs((&tokens[scores.len()..], &made[..]), predicted, scores);
            }
            made.clear();
        };
        // A wave's outputs are too few to wake threads for.
        self.encode_through(&feeds, states, head.weight(), |i, made| {
            rest[i].1.extend_from_slice(made);
            if rest[i].1.len() >= GATHERED {
                flush(i, &mut rest[i]);
            }
        })?;
        rest.iter_mut().enumerate().for_each(|(i, rest)| flush(i, rest));
        Ok(outputs)
    }

    /// Of states that hold nothing but pools of one layer, or nothing.
    fn append_to_pools(&self, items: &mut [Item<'_>], layer: usize) -> Result<Vec<Output>> {
        let whole = |item: &mut Item<'_>| {
            let len = item.events.len();
            let pools = std::mem::take(&mut item.state.pools).into_iter();
            pools.map(|pooled| PooledSpan { rows: 0..len, pooled }).collect()
        };
        let mut spans: Vec<Vec<PooledSpan>> = items.iter_mut().map(whole).collect();
        let done = self.append_pooled(items, layer, &mut spans);
        for (item, spans) in items.iter_mut().zip(spans) {
            item.state.pools = spans.into_iter().map(|span| span.pooled).collect();
        }
        done.map(|()| items.iter().map(|_| Output::default()).collect())
    }
}

/// The items' events as tokens.
fn feeds<'a>(items: &[Item<'_>]) -> Result<Vec<Feed<'a>>> {
    let feeds = items.iter().map(|item| match item.events {
        Events::Bases(bases) => Ok(Feed::Tokens(dna::tokens(bases).map_err(|e| Error::Input(e.to_string()))?)),
        Events::Tokens(tokens) => Ok(Feed::Tokens(tokens.to_vec())),
        Events::Values(_) => Ok(Feed::Tokens(vec![])),
    });
    feeds.collect()
}
