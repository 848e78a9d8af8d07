//! What reads the strands of whole records: a model that carries a state, or one that reads whole windows.

use std::{ops::Range, sync::Arc};

use unspool_ingest::Reject;
use unspool_model::{Events, Front, Info, Item, Model, Pooled, State, WindowModel};

use super::{SpanOptions, Spans, record::Whole, wanted};
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
    /// From the record's end on.
    pub(super) backward: bool,
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
            (Self::Carried(model), _) => drop(model.open(&wanted(layer))?),
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

    /// The mean of each part of each record that is wanted of a strand: `[records][parts]`.
    pub(super) fn strand(&self, pack: &[Whole], spans: &Spans, reading: Reading) -> Result<Vec<Vec<Pooled>>> {
        let strands = pack.iter().map(|whole| Strand::new(whole, self.width(), reading.backward));
        let mut strands = strands.collect::<Result<Vec<_>>>()?;
        match self {
            Self::Carried(model) => carried(model, &mut strands, reading)?,
            Self::Windows(model) => windows(model, &mut strands, (spans, reading))?,
        }
        Ok(strands.into_iter().map(|strand| strand.means).collect())
    }
}

/// A record's strand on its way through the model.
struct Strand {
    tokens: Vec<u32>,
    /// Where its parts lie; empty of those that do not need it.
    spans: Vec<Range<usize>>,
    means: Vec<Pooled>,
}

impl Strand {
    fn new(whole: &Whole, width: usize, backward: bool) -> Result<Self> {
        let (tokens, spans) = (whole.tokens(backward)?, whole.places(backward));
        let mean = |span: &Range<usize>| Pooled::new(if span.is_empty() { 0 } else { width });
        Ok(Self { tokens, means: spans.iter().map(mean).collect(), spans })
    }

    /// Adds the hidden rows of some places to the spans that they lie in.
    fn take(&mut self, places: &Range<usize>, (rows, width): (&[f32], usize)) {
        for (mean, span) in self.means.iter_mut().zip(&self.spans) {
            let (first, last) = (span.start.max(places.start), span.end.min(places.end));
            if first < last {
                mean.push(&rows[(first - places.start) * width..(last - places.start) * width]);
            }
        }
    }
}

/// All strands side by side, a piece of each at a time, up to the last token that any part needs.
fn carried(model: &Model, strands: &mut [Strand], reading: Reading) -> Result<()> {
    for strand in strands.iter_mut() {
        strand.tokens.truncate(strand.spans.iter().map(|span| span.end).max().unwrap_or(0));
    }
    let most = reading.pack_tokens.max(1);
    let mut states = strands.iter().map(|_| model.open(&wanted(reading.layer))).collect::<Result<Vec<State>, _>>()?;
    let longest = strands.iter().map(|strand| strand.tokens.len()).max().unwrap_or(0);
    for from in (0..longest).step_by(most) {
        let piece = |strand: &Strand| from.min(strand.tokens.len())..strand.tokens.len().min(from + most);
        let items = states.iter_mut().zip(strands.iter());
        let items = items.map(|(state, strand)| Item { state, events: Events::Tokens(&strand.tokens[piece(strand)]) });
        let outputs = model.append(&mut items.collect::<Vec<_>>())?;
        for (strand, output) in strands.iter_mut().zip(&outputs) {
            strand.take(&piece(strand), (&output.rows[0], model.info().config.d));
        }
    }
    Ok(())
}

/// Window by window, as many in a call as its bases allow.
fn windows(model: &WindowModel, strands: &mut [Strand], (spans, reading): (&Spans, Reading)) -> Result<()> {
    let mut waiting: Vec<(usize, Range<usize>)> = vec![];
    for (i, strand) in strands.iter().enumerate() {
        // A strand that no part needs has no tokens.
        let whole = 0..strand.tokens.len();
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
        let windows: Vec<&[u32]> = now.iter().map(|(i, window)| &strands[*i].tokens[window.clone()]).collect();
        let (width, rows) = (model.width(), model.encode(&windows, &[reading.layer])?.remove(0));
        let mut done = 0;
        for (i, window) in now {
            strands[*i].take(window, (&rows[done * width..(done + window.len()) * width], width));
            done += window.len();
        }
    }
    Ok(())
}
