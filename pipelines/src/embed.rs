//! Embeddings of reads, contigs and series: one row a record, a window or a token.

mod kept;
mod pooling;
mod spans;
pub(crate) mod table;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, num::NonZeroU64, sync::Arc};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use unspool_ingest::Reject;
use unspool_model::{Front, Model, Options, Output, Pool, Pooled, PooledSpan, State};

use self::table::{Span, Table};
pub use self::{
    kept::KeptColumns,
    pooling::{ParsePoolingError, Pooling},
    spans::{EmbedSpans, Feature, FeatureSpans, Reader, SpanOptions, Spans},
};
use crate::{
    Chunk, End, Error, Job, Result, Scheduler, Sequence, Step, Worker,
    featurise::{ReadsFeaturiser, Record, SeriesFeaturiser},
    scheduler::Limits,
    worker::Encoded,
};

/// Sequences that go through the model together, at most.
const TOGETHER: usize = 1024;

/// What is asked of an [`Embed`] job.
#[derive(Clone, Copy, Debug)]
pub struct EmbedOptions {
    /// How hidden rows become embeddings.
    pub pooling: Pooling,
    /// The layer, as in the published `hidden_states`; `None`: the last, after the final norm.
    pub layer: Option<usize>,
    /// Tokens a pack, at most: bases, or patches of values.
    pub pack_tokens: usize,
    /// Sequences open at once, at most.
    pub max_sequences: usize,
}

/// The job behind `unspool embed`.
///
/// Output rows: `id`, `start`, `end` (0-based, half-open: bases of the record, or values of the series), `length`,
/// `layer`, `pooling`, `embedding` (d × f32), `model` (digest). They come in the order of the records, and of the
/// windows within one. Memory does not grow with a record's length: a record is one state, read in pieces.
pub struct Embed {
    layer: usize,
    pooling: Pooling,
    /// Events of one hidden row: 1, or a series model's patch.
    row_events: u64,
    featuriser: Featuriser,
    scheduler: Scheduler,
    worker: Worker,
    open: HashMap<Sequence, Open>,
    table: Table,
    kept: KeptColumns,
    rejects: Vec<Reject>,
    /// Series to close, once nothing waits and the input has ended.
    closing: std::vec::IntoIter<Sequence>,
    ended: bool,
}

enum Featuriser {
    Reads(ReadsFeaturiser),
    Series(SeriesFeaturiser),
}

/// A sequence that is being embedded.
struct Open {
    id: Option<String>,
    /// The columns that go along.
    kept: Option<RecordBatch>,
    place: String,
    /// 0-based place of its first event.
    start: u64,
    /// Hidden rows so far.
    rows: u64,
    /// The window at hand.
    window: Option<Window>,
}

impl Embed {
    /// A job for the inputs that `model` eats.
    ///
    /// # Errors
    /// When the model eats token ids (no file holds them), or has no such layer.
    pub fn new(model: Arc<Model>, options: EmbedOptions) -> Result<Self> {
        let info = model.info();
        let featuriser = match info.front {
            Front::Dna => Featuriser::Reads(ReadsFeaturiser::default()),
            Front::Series => Featuriser::Series(SeriesFeaturiser::default()),
            Front::Tokens => {
                let problem = format!("{} takes token ids: it can embed neither DNA nor series", info.name);
                return Err(Error::Rows(problem));
            }
        };
        let layer = options.layer.unwrap_or(info.config.layers);
        let by_row = matches!(options.pooling, Pooling::Token | Pooling::Window(_));
        let wanted = Options { layers: vec![layer], rows: by_row, pools: !by_row, ..Options::default() };
        // Refuses a layer that the model lacks.
        model.open(&wanted)?;
        let table = Table::new(info.config.d, layer, options.pooling, info.digest.to_string());
        let row_events = model.series_shape().map_or(1, |shape| shape.patch);
        let pack_events = options.pack_tokens.saturating_mul(row_events);
        Ok(Self {
            layer,
            pooling: options.pooling,
            row_events: row_events as u64,
            featuriser,
            scheduler: Scheduler::new(Limits { pack_pieces: TOGETHER, ..Limits::job(pack_events) }),
            worker: Worker::new(model, wanted, options.max_sequences),
            open: HashMap::new(),
            table,
            kept: KeptColumns::default(),
            rejects: vec![],
            closing: vec![].into_iter(),
            ended: false,
        })
    }

    /// With these columns of reads beside the embeddings.
    #[must_use]
    pub fn keeping(self, kept: KeptColumns) -> Self {
        Self { table: self.table.keeping(&kept), kept, ..self }
    }

    /// Records that come are numbered from here on.
    pub(crate) fn numbered_from(mut self, first: u64) -> Self {
        if let Featuriser::Reads(featuriser) = &mut self.featuriser {
            featuriser.number_from(first);
        }
        self
    }

    /// How many records have been read; `None` within one.
    pub(crate) fn records(&self) -> Option<u64> {
        match &self.featuriser {
            Featuriser::Reads(featuriser) => featuriser.between_records(),
            Featuriser::Series(_) => None,
        }
    }

    /// Encodes a pack whose rows go into windows where they are: no row is given out.
    fn encode_windows(&mut self, pack: &[Chunk], len: NonZeroU64) -> Result<()> {
        let windows = |chunk: &Chunk| {
            let open = self.open.get_mut(&chunk.sequence);
            open.map_or_else(Vec::new, |open| open.windows(chunk.events.len(), (len, self.table.width())))
        };
        let mut spans: Vec<Vec<PooledSpan>> = pack.iter().map(windows).collect();
        let encoded = self.worker.encode_pooled(pack, self.layer, &mut spans)?;
        for (encoded, spans) in encoded.into_iter().zip(spans) {
            if let Some(open) = self.open.get_mut(&encoded.sequence) {
                spans.into_iter().for_each(|span| open.take_window(span, len, &mut self.table));
            }
            self.take(encoded);
        }
        Ok(())
    }

    /// Takes in what the model gave for a chunk.
    fn take(&mut self, encoded: Encoded) {
        let Encoded { sequence, end, position, output, state } = encoded;
        let Some(open) = self.open.get_mut(&sequence) else { return };
        open.rows_of((&output, position), (self.pooling, self.row_events), &mut self.table);
        if end == End::Open {
            return;
        }
        if let (Some(open), Some(state), End::Complete) = (self.open.remove(&sequence), state, end) {
            self.close(open, &state);
        }
    }

    /// The last row of a sequence that is complete.
    fn close(&mut self, mut open: Open, state: &State) {
        let pool = match self.pooling {
            Pooling::Mean => Pool::Mean,
            Pooling::Last => Pool::Last,
            Pooling::Max => Pool::Max,
            Pooling::Token | Pooling::Window(_) => {
                open.flush_window(self.row_events, &mut self.table);
                return self.reject_if_short(&open);
            }
        };
        let Some(embedding) = state.pooled(self.layer, pool) else { return self.reject_if_short(&open) };
        let rows = state.position() / self.row_events;
        let span = Span { start: open.start, len: rows * self.row_events };
        self.table.push(open.name(), span, &embedding);
    }

    /// A sequence without a single hidden row has nothing to embed.
    fn reject_if_short(&mut self, open: &Open) {
        if open.rows == 0 {
            self.rejects.push(too_short(&open.place, self.row_events));
        }
    }

    /// What has come together since the last step.
    fn step_of(&mut self, events: u64) -> Result<Option<Step>> {
        Ok(Some(Step { rows: self.table.take()?, rejects: std::mem::take(&mut self.rejects), events }))
    }
}

impl Job for Embed {
    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    fn push(&mut self, rows: &RecordBatch) -> Result<Vec<Reject>> {
        let (chunks, rejects) = match &mut self.featuriser {
            Featuriser::Reads(featuriser) => {
                let found = featuriser.featurise(rows)?;
                let kept = self.kept.of(rows)?;
                let kept = |record: &Record| kept.as_ref().map(|kept| kept.slice(record.row, 1));
                let begun = found.begun.into_iter();
                self.open.extend(begun.map(|record| (record.sequence, Open::record(kept(&record), record))));
                (found.chunks, found.rejects)
            }
            Featuriser::Series(featuriser) => {
                let known = featuriser.series().len();
                let found = featuriser.featurise(rows)?;
                let begun = featuriser.series().iter().skip(known);
                self.open.extend(begun.map(|series| (series.sequence, Open::series(&series.id))));
                found
            }
        };
        self.scheduler.push_all(chunks)?;
        Ok(rejects)
    }

    fn end(&mut self) -> Result<Vec<Reject>> {
        self.ended = true;
        match &mut self.featuriser {
            Featuriser::Reads(featuriser) => {
                let Some((sequence, reject)) = featuriser.end() else { return Ok(vec![]) };
                self.open.remove(&sequence);
                Ok(vec![reject])
            }
            Featuriser::Series(featuriser) => {
                let chunks = featuriser.end();
                let all: Vec<Sequence> = featuriser.series().iter().map(|series| series.sequence).collect();
                self.closing = all.into_iter();
                self.scheduler.push_all(chunks)?;
                Ok(vec![])
            }
        }
    }

    fn closing(&self) -> Option<(u64, u64)> {
        let Featuriser::Series(featuriser) = &self.featuriser else { return None };
        let all = featuriser.series().len();
        self.ended.then(|| ((all - self.closing.len()) as u64, all as u64))
    }

    fn step(&mut self) -> Result<Option<Step>> {
        let pack = self.scheduler.pack();
        if !pack.is_empty() {
            let events: usize = pack.iter().map(|chunk| chunk.events.len()).sum();
            match (&self.featuriser, self.pooling) {
                (Featuriser::Reads(_), Pooling::Window(len)) => self.encode_windows(&pack, len)?,
                _ => self.worker.encode(&pack)?.into_iter().for_each(|encoded| self.take(encoded)),
            }
            return self.step_of(events as u64);
        }
        let Some(sequence) = self.closing.next() else { return Ok(None) };
        if let (Some(open), Some(state)) = (self.open.remove(&sequence), self.worker.take(sequence)) {
            self.close(open, &state);
        }
        self.step_of(0)
    }
}

impl Open {
    fn record(kept: Option<RecordBatch>, record: Record) -> Self {
        Self { place: record.place(), id: record.id, kept, start: record.start, rows: 0, window: None }
    }

    fn series(id: &str) -> Self {
        Self { place: format!("series '{id}'"), id: Some(id.to_owned()), kept: None, start: 0, rows: 0, window: None }
    }

    /// Its name, and what goes along.
    fn name(&self) -> table::Named<'_> {
        (self.id.as_deref(), self.kept.as_ref())
    }

    /// Takes in hidden rows `[l, d]`, the last of which ends at `position` events (or before, in a pending patch), and
    /// writes tokens and whole windows.
    fn rows_of(
        &mut self,
        (output, position): (&Output, u64),
        (pooling, row_events): (Pooling, u64),
        table: &mut Table,
    ) {
        let hidden = output.rows.first().map_or(&[][..], Vec::as_slice);
        let width = table.width();
        // A series' patches before its first value give no rows: so rows are placed by the last one.
        let first = (position / row_events).saturating_sub((hidden.len() / width) as u64);
        for (row, at) in hidden.chunks_exact(width).zip(first..) {
            self.rows += 1;
            let start = self.start + at * row_events;
            let Pooling::Window(len) = pooling else {
                table.push(self.name(), Span { start, len: row_events }, row);
                continue;
            };
            let window = self.window.get_or_insert_with(|| Window { mean: Pooled::new(width), rows: 0, start });
            window.mean.push(row);
            window.rows += 1;
            if window.rows == len.get() {
                self.flush_window(row_events, table);
            }
        }
    }

    /// The windows that the next `count` rows fall into, with what they hold so far.
    fn windows(&mut self, count: usize, (len, width): (NonZeroU64, usize)) -> Vec<PooledSpan> {
        let (mut spans, mut from) = (vec![], 0);
        while from < count {
            let pooled = self.window.take().map_or_else(|| Pooled::new(width), |window| window.mean);
            let missing = usize::try_from(len.get() - pooled.rows()).unwrap_or(usize::MAX);
            let to = count.min(from.saturating_add(missing));
            spans.push(PooledSpan { rows: from..to, pooled });
            from = to;
        }
        spans
    }

    /// Takes in a window that some rows more went into, and writes it if it is whole.
    fn take_window(&mut self, span: PooledSpan, len: NonZeroU64, table: &mut Table) {
        self.rows += span.rows.len() as u64;
        let (rows, mean) = (span.pooled.rows(), span.pooled);
        self.window = Some(Window { mean, rows, start: self.start + self.rows - rows });
        if rows == len.get() {
            self.flush_window(1, table);
        }
    }

    /// Writes the window at hand, if there is one.
    fn flush_window(&mut self, row_events: u64, table: &mut Table) {
        let Some(Window { mean, rows, start }) = self.window.take() else { return };
        if let Some(mean) = mean.get(Pool::Mean) {
            table.push(self.name(), Span { start, len: rows * row_events }, &mean);
        }
    }
}

/// There is nothing to embed.
pub(crate) fn too_short(place: &str, row_events: u64) -> Reject {
    let reason = format!("it is shorter than {row_events} events, the least that make an embedding");
    Reject { place: place.to_owned(), reason, payload: vec![] }
}

/// Rows of a window so far.
struct Window {
    mean: Pooled,
    rows: u64,
    /// Place of its first event.
    start: u64,
}
