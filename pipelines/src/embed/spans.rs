//! Mean embeddings of parts of DNA records: of each record, of windows, or of features, of one strand or of both.
//!
//! A record is kept until its end, a byte a base, since its other strand begins there. Hidden rows are not kept: each span
//! has a sum of its own, so that memory grows with the spans and not with the width times the length.

mod features;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, collections::VecDeque, sync::Arc};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use unspool_ingest::Reject;
use unspool_model::{Events, Front, Item, Model, Options, Pool, Pooled, State, dna};

pub use self::features::FeatureSpans;
use super::table::{Span, Table};
use crate::{
    End, Error, Job, Result, Sequence, Step,
    chunk::Events as ChunkEvents,
    featurise::{ReadsFeaturiser, Record},
};

/// Short records that go through the model together, at most.
const TOGETHER: usize = 512;

/// Which parts of a record have an embedding each.
#[derive(Clone, Debug)]
pub enum Spans {
    /// All of it.
    Record,
    /// Every so many bases; the last may be shorter.
    Window(u64),
    /// Named parts of the records of some ids. Records without any give no rows.
    Features(Arc<FeatureSpans>),
}

/// What is asked of an [`EmbedSpans`] job.
#[derive(Clone, Debug)]
pub struct SpanOptions {
    /// The parts.
    pub spans: Spans,
    /// The mean of both strands' embeddings, base by base the same ones; else the strand as it is written.
    pub both_strands: bool,
    /// The layer, as in the published `hidden_states`; `None`: the last, after the final norm.
    pub layer: Option<usize>,
    /// Bases a call of the model, at most.
    pub pack_tokens: usize,
}

/// The job behind `unspool embed` for features and for both strands. Rows as [`super::Embed`]'s: records in their order,
/// spans of a record by their place.
pub struct EmbedSpans {
    model: Arc<Model>,
    options: SpanOptions,
    layer: usize,
    featuriser: ReadsFeaturiser,
    open: HashMap<Sequence, (Record, Vec<u8>)>,
    /// Whole records that wait.
    waiting: VecDeque<(Record, Vec<u8>)>,
    table: Table,
}

impl EmbedSpans {
    /// A job for reads and contigs.
    ///
    /// # Errors
    /// When the model is not for DNA, or has no such layer.
    pub fn new(model: Arc<Model>, options: SpanOptions) -> Result<Self> {
        let info = model.info();
        if info.front != Front::Dna {
            let problem = format!("{} is not for DNA: features and strands are of DNA alone", info.name);
            return Err(Error::Rows(problem));
        }
        let layer = options.layer.unwrap_or(info.config.layers);
        model.open(&wanted(layer))?;
        let spans = match &options.spans {
            Spans::Record => "mean".to_owned(),
            Spans::Window(len) => format!("window:{len}"),
            Spans::Features(_) => "features".to_owned(),
        };
        let pooling = if options.both_strands { format!("{spans}, both strands") } else { spans };
        let table = Table::new(info.config.d, layer, pooling, info.digest.to_string());
        let (featuriser, open, waiting) = (ReadsFeaturiser::default(), HashMap::new(), VecDeque::new());
        Ok(Self { model, options, layer, featuriser, open, waiting, table })
    }

    /// The spans of a record of so many bases that begins at `start`, by their place; counted from the record's own start.
    fn spans(&self, record: &Record, len: u64) -> Vec<(u64, u64)> {
        match &self.options.spans {
            Spans::Record => vec![(0, len)],
            Spans::Window(width) => (0..len)
                .step_by(usize::try_from(*width).unwrap_or(usize::MAX))
                .map(|from| (from, len.min(from + width)))
                .collect(),
            Spans::Features(features) => {
                let of = features.of(record.id.as_deref().unwrap_or_default());
                let within = |&(from, to): &(u64, u64)| {
                    let (from, to) = (from.max(record.start), to.min(record.start + len));
                    (from < to).then(|| (from - record.start, to - record.start))
                };
                of.iter().filter_map(within).collect()
            }
        }
    }

    /// Records that go through the model in one call, or one that is too long for that.
    fn next_pack(&mut self) -> Vec<Whole> {
        let (mut pack, mut bases) = (vec![], 0);
        while let Some((_, next)) = self.waiting.front() {
            let cost = next.len() * if self.options.both_strands { 2 } else { 1 };
            if !pack.is_empty() && (bases + cost > self.options.pack_tokens || pack.len() == TOGETHER) {
                break;
            }
            bases += cost;
            let Some((record, bases)) = self.waiting.pop_front() else { break };
            let spans = self.spans(&record, bases.len() as u64);
            pack.push(Whole { record, bases, spans });
        }
        pack
    }

    /// The mean of each span of each record, of one strand: `[records][spans]`.
    fn strand(&self, pack: &[Whole], backward: bool) -> Result<Vec<Vec<Pooled>>> {
        let width = self.model.info().config.d;
        let mut strands = vec![];
        for whole in pack {
            let mut tokens = dna::tokens(&whole.bases).map_err(|bad| Error::Rows(bad.to_string()))?;
            if backward {
                dna::reverse_complement(&mut tokens);
            }
            let state = self.model.open(&wanted(self.layer))?;
            strands.push(Strand { tokens, done: 0, state, means: vec![Pooled::new(width); whole.spans.len()] });
        }
        let most = self.options.pack_tokens.max(1);
        while strands.iter().any(|strand| strand.done < strand.tokens.len()) {
            let pieces: Vec<usize> =
                strands.iter().map(|strand| (strand.tokens.len() - strand.done).min(most)).collect();
            let items = strands.iter_mut().zip(&pieces).map(|(strand, piece)| {
                let events = Events::Tokens(&strand.tokens[strand.done..strand.done + piece]);
                Item { state: &mut strand.state, events }
            });
            let outputs = self.model.append(&mut items.collect::<Vec<_>>())?;
            for (((strand, whole), output), piece) in strands.iter_mut().zip(pack).zip(&outputs).zip(pieces) {
                strand.take(whole, (&output.rows[0], width), (piece, backward));
            }
        }
        Ok(strands.into_iter().map(|strand| strand.means).collect())
    }
}

/// A record that has come to its end.
struct Whole {
    record: Record,
    bases: Vec<u8>,
    spans: Vec<(u64, u64)>,
}

/// A record's strand on its way through the model.
struct Strand {
    tokens: Vec<u32>,
    done: usize,
    state: State,
    means: Vec<Pooled>,
}

impl Strand {
    /// Adds the next hidden rows to the spans that they lie in.
    fn take(&mut self, whole: &Whole, (rows, width): (&[f32], usize), (piece, backward): (usize, bool)) {
        let (from, to, len) = (self.done, self.done + piece, self.tokens.len());
        for (mean, &(first, last)) in self.means.iter_mut().zip(&whole.spans) {
            // Places in a record are at most its length, which is a usize.
            let (first, last) = (first as usize, last as usize);
            let (first, last) = if backward { (len - last, len - first) } else { (first, last) };
            let (first, last) = (first.max(from), last.min(to));
            if first < last {
                mean.push(&rows[(first - from) * width..(last - from) * width]);
            }
        }
        self.done = to;
    }
}

fn wanted(layer: usize) -> Options {
    Options { layers: vec![layer], rows: true, ..Options::default() }
}

impl Job for EmbedSpans {
    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    fn push(&mut self, rows: &RecordBatch) -> Result<Vec<Reject>> {
        let found = self.featuriser.featurise(rows)?;
        self.open.extend(found.begun.into_iter().map(|record| (record.sequence, (record, vec![]))));
        for chunk in found.chunks {
            let Some((_, bases)) = self.open.get_mut(&chunk.sequence) else { continue };
            if let ChunkEvents::Bases(more) = &chunk.events {
                bases.extend_from_slice(more);
            }
            match chunk.end {
                End::Open => {}
                End::Complete => self.waiting.extend(self.open.remove(&chunk.sequence)),
                End::Broken => drop(self.open.remove(&chunk.sequence)),
            }
        }
        Ok(found.rejects)
    }

    fn end(&mut self) -> Result<Vec<Reject>> {
        let Some((sequence, reject)) = self.featuriser.end() else { return Ok(vec![]) };
        self.open.remove(&sequence);
        Ok(vec![reject])
    }

    fn step(&mut self) -> Result<Option<Step>> {
        let pack = self.next_pack();
        if pack.is_empty() {
            return Ok(None);
        }
        let forward = self.strand(&pack, false)?;
        let backward = if self.options.both_strands { Some(self.strand(&pack, true)?) } else { None };
        let mut events = 0;
        for (i, (whole, means)) in pack.iter().zip(forward).enumerate() {
            events += whole.bases.len() as u64;
            for (j, (mean, &(from, to))) in means.iter().zip(&whole.spans).enumerate() {
                let Some(mut embedding) = mean.get(Pool::Mean) else { continue };
                if let Some(other) = backward.as_ref().and_then(|strands| strands[i][j].get(Pool::Mean)) {
                    embedding.iter_mut().zip(other).for_each(|(a, b)| *a = 0.5 * (*a + b));
                }
                let span = Span { start: whole.record.start + from, len: to - from };
                self.table.push(whole.record.id.as_deref(), span, &embedding);
            }
        }
        Ok(Some(Step { rows: self.table.take()?, rejects: vec![], events }))
    }
}
