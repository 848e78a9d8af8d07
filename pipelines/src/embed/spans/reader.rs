//! What reads the strands of whole records: a model that carries a state, or one that reads whole windows.

use std::{ops::Range, sync::Arc};

use unspool_ingest::Reject;
use unspool_model::{
    Events, Front, Info, Item, Model, Options, Pooled, PooledSpan, State, WindowModel, overlap::Overlaps,
};

use super::{SpanOptions, Spans, record::Whole};
use crate::{Error, Result};

/// A DNA model of either kind.
#[derive(Clone)]
pub enum Reader {
    /// One that reads a record from its start, piece by piece: whatever its length.
    Carried(Arc<Model>),
    /// One that reads both ways: each window by itself, or a record as one window.
    Windows(Arc<WindowModel>),
}

impl From<Arc<Model>> for Reader {
    fn from(model: Arc<Model>) -> Self {
        Self::Carried(model)
    }
}

impl From<Arc<WindowModel>> for Reader {
    fn from(model: Arc<WindowModel>) -> Self {
        Self::Windows(model)
    }
}

/// How a pack is read: the layer, and at most so many bases at once where a window is not longer.
#[derive(Clone, Copy)]
pub(super) struct Reading {
    pub(super) layer: usize,
    pub(super) pack_tokens: usize,
}

impl Reader {
    /// What the model says of itself.
    #[must_use]
    pub fn info(&self) -> &Info {
        match self {
            Self::Carried(model) => model.info(),
            Self::Windows(model) => model.info(),
        }
    }

    /// Columns of a hidden row.
    pub(crate) fn width(&self) -> usize {
        match self {
            Self::Carried(model) => model.info().config.d,
            Self::Windows(model) => model.width(),
        }
    }

    /// Refuses what the model cannot give.
    pub(super) fn check(&self, options: &SpanOptions, layer: usize) -> Result<()> {
        let name = &self.info().name;
        if self.info().front != Front::Dna {
            return Err(Error::Rows(format!("{name} is not for DNA: features and strands are of DNA alone")));
        }
        match (self, &options.spans) {
            (Self::Carried(model), _) => drop(model.open(&Options { layers: vec![layer], ..Options::default() })?),
            (Self::Windows(_), Spans::Window(len)) if *len > WindowModel::MOST_BASES as u64 => {
                let most = WindowModel::MOST_BASES;
                return Err(Error::Rows(format!("windows of {len} bases: {name} reads at most {most} at once")));
            }
            (Self::Windows(model), _) => drop(model.encode(&[], &[layer])?),
        }
        Ok(())
    }

    /// Why a record of so many bases is not read, where it is not.
    pub(super) fn refuses(&self, spans: &Spans, (place, len): (&str, usize)) -> Option<Reject> {
        let whole = matches!(self, Self::Windows(_)) && !matches!(spans, Spans::Window(_));
        (whole && len > WindowModel::MOST_BASES).then(|| {
            let (name, most) = (&self.info().name, WindowModel::MOST_BASES);
            let reason = format!("it has {len} bases; {name} reads at most {most} at once: use --pool window:N");
            Reject { place: place.to_owned(), reason, payload: vec![] }
        })
    }

    /// The mean of each part of each record, of the strands that are wanted of it: of both strands `[records][parts]`.
    pub(super) fn strands(&self, pack: &[Whole], spans: &Spans, reading: Reading) -> Result<[Vec<Vec<Pooled>>; 2]> {
        let of = |backward| pack.iter().map(move |whole| Strand::new(whole, self.width(), backward));
        let mut strands: Vec<Strand<'_>> = of(false).chain(of(true)).collect();
        match self {
            Self::Carried(model) => carried(model, &mut strands, reading)?,
            Self::Windows(model) => windows(model, &mut strands, (spans, reading))?,
        }
        let mut means = strands.into_iter().map(|strand| strand.means);
        let forward = means.by_ref().take(pack.len()).collect();
        Ok([forward, means.collect()])
    }
}

/// A record's strand on its way through the model.
struct Strand<'a> {
    whole: &'a Whole,
    backward: bool,
    /// Where its parts lie; empty of those that do not need it.
    spans: Vec<Range<usize>>,
    /// Places up to the last that any part needs.
    len: usize,
    overlaps: Overlaps,
    means: Vec<Pooled>,
}

impl<'a> Strand<'a> {
    fn new(whole: &'a Whole, width: usize, backward: bool) -> Self {
        let spans = whole.places(backward);
        let mean = |span: &Range<usize>| Pooled::new(if span.is_empty() { 0 } else { width });
        let (means, overlaps) = (spans.iter().map(mean).collect(), Overlaps::new(spans.iter().cloned()));
        let len = spans.iter().map(|span| span.end).max().unwrap_or(0);
        Self { whole, backward, spans, len, overlaps, means }
    }

    fn tokens(&self, places: &Range<usize>) -> Result<Vec<u32>> {
        self.whole.tokens(self.backward, places)
    }

    /// The spans that some places fall into, with what they hold so far; and their numbers.
    fn lend(&mut self, places: &Range<usize>) -> (Vec<usize>, Vec<PooledSpan>) {
        let lent = self.overlaps.with(places.clone()).map(|(i, part)| {
            let pooled = std::mem::replace(&mut self.means[i], Pooled::new(0));
            (i, PooledSpan { rows: part.start - places.start..part.end - places.start, pooled })
        });
        lent.unzip()
    }

    fn take_back(&mut self, numbers: Vec<usize>, spans: Vec<PooledSpan>) {
        numbers.into_iter().zip(spans).for_each(|(i, span)| self.means[i] = span.pooled);
    }

    /// Adds the hidden rows of some places to the spans that they lie in.
    fn take(&mut self, places: &Range<usize>, (rows, width): (&[f32], usize)) {
        for (i, part) in self.overlaps.with(places.clone()) {
            self.means[i].push(&rows[(part.start - places.start) * width..(part.end - places.start) * width]);
        }
    }
}

/// All strands side by side, a piece of each at a time.
fn carried(model: &Model, strands: &mut [Strand<'_>], reading: Reading) -> Result<()> {
    let most = reading.pack_tokens.max(1);
    let mut states = strands.iter().map(|_| model.open(&Options::default())).collect::<Result<Vec<State>, _>>()?;
    let longest = strands.iter().map(|strand| strand.len).max().unwrap_or(0);
    for from in (0..longest).step_by(most) {
        let piece = |strand: &Strand<'_>| from.min(strand.len)..strand.len.min(from + most);
        let tokens = strands.iter().map(|strand| strand.tokens(&piece(strand))).collect::<Result<Vec<_>>>()?;
        let items =
            states.iter_mut().zip(&tokens).map(|(state, tokens)| Item { state, events: Events::Tokens(tokens) });
        let lent = strands.iter_mut().map(|strand| strand.lend(&piece(strand)));
        let (numbers, mut spans): (Vec<_>, Vec<_>) = lent.unzip();
        model.append_pooled(&mut items.collect::<Vec<_>>(), reading.layer, &mut spans)?;
        for (strand, (numbers, spans)) in strands.iter_mut().zip(numbers.into_iter().zip(spans)) {
            strand.take_back(numbers, spans);
        }
    }
    Ok(())
}

/// Window by window, as many in a call as its bases allow.
fn windows(model: &WindowModel, strands: &mut [Strand<'_>], (spans, reading): (&Spans, Reading)) -> Result<()> {
    let mut waiting: Vec<(usize, Range<usize>)> = vec![];
    for (i, strand) in strands.iter().enumerate().filter(|(_, strand)| strand.len > 0) {
        let whole = 0..strand.whole.bases.len();
        let cuts = if let Spans::Window(_) = spans { &strand.spans[..] } else { std::slice::from_ref(&whole) };
        waiting.extend(cuts.iter().filter(|cut| !cut.is_empty()).map(|cut| (i, cut.clone())));
    }
    let mut rest = &waiting[..];
    while !rest.is_empty() {
        let mut bases = 0;
        let fits = |(_, window): &&(usize, Range<usize>)| {
            bases += window.len();
            bases <= reading.pack_tokens
        };
        let (now, after) = rest.split_at(rest.iter().take_while(fits).count().max(1));
        rest = after;
        let tokens = now.iter().map(|(i, window)| strands[*i].tokens(window)).collect::<Result<Vec<_>>>()?;
        let windows: Vec<&[u32]> = tokens.iter().map(Vec::as_slice).collect();
        let (width, rows) = (model.width(), model.encode(&windows, &[reading.layer])?.remove(0));
        let mut done = 0;
        for (i, window) in now {
            strands[*i].take(window, (&rows[done * width..(done + window.len()) * width], width));
            done += window.len();
        }
    }
    Ok(())
}
