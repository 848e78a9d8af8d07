//! Mean embeddings of parts of DNA records: of each record, of windows, or of features, of one strand or of both.
//!
//! A record is kept until its end, a byte a base, since its other strand begins there. Hidden rows are not kept: each span
//! has a sum of its own, so that memory grows with the spans and not with the width times the length.

mod features;
mod reader;
mod record;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use unspool_ingest::Reject;
use unspool_model::Pool;

pub use self::{
    features::{Feature, FeatureSpans},
    reader::Reader,
};
use self::{
    reader::Reading,
    record::{Part, Strands, Whole},
};
use super::{
    kept::KeptColumns,
    table::{Span, Table},
};
use crate::{
    End, Job, Result, Sequence, Step,
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
    /// Parts of the records of some ids, each on its own strand: one on `-` is a part of the record's other strand.
    /// Records without any give no rows.
    Features(Arc<FeatureSpans>),
}

/// What is asked of an [`EmbedSpans`] job.
#[derive(Clone, Debug)]
pub struct SpanOptions {
    /// The parts.
    pub spans: Spans,
    /// The mean of both strands' embeddings, base by base the same ones; else the strand as it is written, or a feature's.
    pub both_strands: bool,
    /// The layer, as in the published `hidden_states`; `None`: the last, after the final norm.
    pub layer: Option<usize>,
    /// Bases a call of the model, at most.
    pub pack_tokens: usize,
}

/// The job behind `unspool embed` for features and for both strands. Rows as [`super::Embed`]'s: records in their order,
/// spans of a record by their place. Rows of features also have `name`, `kind` and `strand`; of a feature that is not
/// wholly in its record there is the part that is.
pub struct EmbedSpans {
    reader: Reader,
    options: SpanOptions,
    layer: usize,
    featuriser: ReadsFeaturiser,
    open: HashMap<Sequence, Open>,
    /// Whole records that wait.
    waiting: VecDeque<Whole>,
    table: Table,
    kept: KeptColumns,
    /// Of each contig that came: which of its features had a base in it.
    met: BTreeMap<String, Vec<bool>>,
}

/// A record that is being read.
struct Open {
    record: Record,
    kept: Option<RecordBatch>,
    bases: Vec<u8>,
}

impl EmbedSpans {
    /// A job for reads and contigs.
    ///
    /// # Errors
    /// When the model is not for DNA, has no such layer, or cannot read windows of that length.
    pub fn new(model: impl Into<Reader>, options: SpanOptions) -> Result<Self> {
        let reader = model.into();
        let info = reader.info();
        let layer = options.layer.unwrap_or(info.config.layers);
        reader.check(&options, layer)?;
        let spans = match &options.spans {
            Spans::Record => "mean".to_owned(),
            Spans::Window(len) => format!("window:{len}"),
            Spans::Features(_) => "features".to_owned(),
        };
        let pooling = if options.both_strands { format!("{spans}, both strands") } else { spans };
        let mut table = Table::new(reader.width(), layer, pooling, info.digest.to_string());
        if let Spans::Features(_) = options.spans {
            table = table.of_features();
        }
        let (featuriser, open, waiting) = (ReadsFeaturiser::default(), HashMap::new(), VecDeque::new());
        let (kept, met) = (KeptColumns::default(), BTreeMap::new());
        Ok(Self { reader, options, layer, featuriser, open, waiting, table, kept, met })
    }

    /// With these columns of reads beside the embeddings.
    #[must_use]
    pub fn keeping(self, kept: KeptColumns) -> Self {
        Self { table: self.table.keeping(&kept), kept, ..self }
    }

    /// The parts of a record of so many bases, by their place; counted from the record's own start.
    fn parts(&mut self, record: &Record, len: u64) -> Vec<Part> {
        let plain = if self.options.both_strands { Strands::Both } else { Strands::Forward };
        let part = |from, to| Part { from, to, strands: plain, feature: None };
        let features = match &self.options.spans {
            Spans::Record => return vec![part(0, len)],
            Spans::Window(width) => {
                let starts = (0..len).step_by(usize::try_from(*width).unwrap_or(usize::MAX));
                return starts.map(|from| part(from, len.min(from + width))).collect();
            }
            Spans::Features(features) => features,
        };
        let id = record.id.as_deref().unwrap_or_default();
        let of = features.of(id);
        if of.is_empty() {
            return vec![];
        }
        let met = self.met.entry(id.to_owned()).or_insert_with(|| vec![false; of.len()]);
        let mut parts = vec![];
        for (i, feature) in of.iter().enumerate() {
            let (from, to) = (feature.start.max(record.start), feature.end.min(record.start + len));
            if from < to {
                met[i] = true;
                let own = if feature.strand == Some('-') { Strands::Backward } else { Strands::Forward };
                let strands = if self.options.both_strands { Strands::Both } else { own };
                parts.push(Part { from: from - record.start, to: to - record.start, strands, feature: Some(i) });
            }
        }
        parts
    }

    /// Records that go through the model in one call, or one that is too long for that.
    fn next_pack(&mut self) -> Vec<Whole> {
        let (mut pack, mut bases) = (vec![], 0);
        while let Some(next) = self.waiting.front() {
            let cost = next.bases.len() * if self.options.both_strands { 2 } else { 1 };
            if !pack.is_empty() && (bases + cost > self.options.pack_tokens || pack.len() == TOGETHER) {
                break;
            }
            bases += cost;
            pack.extend(self.waiting.pop_front());
        }
        pack
    }
}

impl Job for EmbedSpans {
    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    fn push(&mut self, rows: &RecordBatch) -> Result<Vec<Reject>> {
        let mut found = self.featuriser.featurise(rows)?;
        let kept = self.kept.of(rows)?;
        for record in found.begun {
            let kept = kept.as_ref().map(|kept| kept.slice(record.row, 1));
            self.open.insert(record.sequence, Open { record, kept, bases: vec![] });
        }
        for chunk in found.chunks {
            let Some(open) = self.open.get_mut(&chunk.sequence) else { continue };
            if let ChunkEvents::Bases(more) = &chunk.events {
                open.bases.extend_from_slice(more);
            }
            match chunk.end {
                End::Open => {}
                End::Complete => {
                    let Some(Open { record, kept, bases }) = self.open.remove(&chunk.sequence) else { continue };
                    let parts = self.parts(&record, bases.len() as u64);
                    match self.reader.refuses(&self.options.spans, (&record.place(), bases.len())) {
                        Some(reject) if !parts.is_empty() => found.rejects.push(reject),
                        _ => self.waiting.push_back(Whole { record, kept, bases, parts }),
                    }
                }
                End::Broken => drop(self.open.remove(&chunk.sequence)),
            }
        }
        Ok(found.rejects)
    }

    fn end(&mut self) -> Result<Vec<Reject>> {
        let cut = self.featuriser.end().map(|(sequence, reject)| {
            self.open.remove(&sequence);
            reject
        });
        let mut rejects = Vec::from_iter(cut);
        if let Spans::Features(features) = &self.options.spans {
            rejects.extend(features.rejects(&self.met));
        }
        Ok(rejects)
    }

    fn step(&mut self) -> Result<Option<Step>> {
        let pack = self.next_pack();
        if pack.is_empty() {
            return Ok(None);
        }
        let reading = Reading { layer: self.layer, pack_tokens: self.options.pack_tokens };
        let strands = self.reader.strands(&pack, &self.options.spans, reading)?;
        let mut events = 0;
        for (i, whole) in pack.iter().enumerate() {
            events += if whole.parts.is_empty() { 0 } else { whole.bases.len() as u64 };
            for (j, part) in whole.parts.iter().enumerate() {
                let [forward, backward] = strands.each_ref().map(|strand| strand[i][j].get(Pool::Mean));
                let Some(embedding) = mean(forward, backward) else { continue };
                let name = (whole.record.id.as_deref(), whole.kept.as_ref());
                let span = Span { start: whole.record.start + part.from, len: part.to - part.from };
                match (&self.options.spans, part.feature) {
                    (Spans::Features(features), Some(number)) => {
                        let label = features.of(name.0.unwrap_or_default())[number].label();
                        self.table.push_feature((name, label), span, &embedding);
                    }
                    _ => self.table.push(name, span, &embedding),
                }
            }
        }
        Ok(Some(Step { rows: self.table.take()?, rejects: vec![], events }))
    }
}

/// The mean of what there is of two strands.
fn mean(forward: Option<Vec<f32>>, backward: Option<Vec<f32>>) -> Option<Vec<f32>> {
    match (forward, backward) {
        (Some(a), Some(b)) => Some(a.iter().zip(b).map(|(a, b)| 0.5 * (a + b)).collect()),
        (one, other) => one.or(other),
    }
}
