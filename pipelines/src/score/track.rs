//! A track of information: how many bits each base of a contig told the model, in one pass and flat memory.

use std::{collections::VecDeque, sync::Arc};

use arrow::{
    array::{ArrayRef, Float32Array, RecordBatch, StringArray, UInt64Array},
    buffer::{Buffer, OffsetBuffer},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use unspool_ingest::Reject;
use unspool_model::{Events, Item, Model, Options, State};

use super::ScoreOptions;
use crate::{
    Chunk, End, Error, Job, Result, Sequence, Step,
    featurise::{ReadsFeaturiser, Record},
};

/// Rows of the reads schema in, rows of a track out: `contig`, `start`, `end` (0-based, half-open) and `bits`.
///
/// A base's bits are -log2 p(base | all bases before it in the input), on the forward strand: 2 where the model has no idea, 0
/// where it was sure. The state is carried from the record's first base to its last, whatever its length. N and the
/// ambiguity codes are read but have no bits: they leave a gap.
pub struct Track {
    model: Arc<Model>,
    pack_tokens: usize,
    featuriser: ReadsFeaturiser,
    waiting: VecDeque<Chunk>,
    begun: VecDeque<Record>,
    current: Option<Current>,
}

/// The record at hand.
struct Current {
    sequence: Sequence,
    name: String,
    /// The next base's place.
    position: u64,
    state: State,
}

impl Track {
    /// A job that has read nothing yet.
    ///
    /// # Errors
    /// When the model predicts no bases.
    pub fn new(model: Arc<Model>, options: ScoreOptions) -> Result<Self> {
        options.check(&model)?;
        let (featuriser, pack_tokens) = (ReadsFeaturiser::default(), options.pack_tokens.max(1));
        Ok(Self { model, pack_tokens, featuriser, waiting: VecDeque::new(), begun: VecDeque::new(), current: None })
    }

    /// Goes on with a sequence, or begins it.
    fn current(&mut self, sequence: Sequence) -> Result<Current> {
        if let Some(current) = self.current.take_if(|current| current.sequence == sequence) {
            return Ok(current);
        }
        let mut begun = std::iter::from_fn(|| self.begun.pop_front());
        let record = begun.find(|record| record.sequence == sequence);
        let record = record.ok_or_else(|| Error::Rows("bases of a record that never began".into()))?;
        let state = self.model.open(&Options { bits: true, ..Options::default() })?;
        let (name, position) = (record.id.unwrap_or_default(), record.start);
        Ok(Current { sequence, name, position, state })
    }

    /// The bits of some bases.
    fn run(&mut self, current: &mut Current, bases: &[u8]) -> Result<RecordBatch> {
        let item = Item { state: &mut current.state, events: Events::Bases(bases) };
        let outputs = self.model.append(&mut [item])?;
        let (mut starts, mut bits) = (Vec::with_capacity(bases.len()), Vec::with_capacity(bases.len()));
        for (place, told) in (current.position..).zip(&outputs[0].scores).filter(|(_, told)| !told.is_nan()) {
            starts.push(place);
            bits.push(*told as f32);
        }
        current.position += bases.len() as u64;
        let ends: Vec<u64> = starts.iter().map(|start| start + 1).collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(repeated(&current.name, starts.len())?),
            Arc::new(UInt64Array::from(starts)),
            Arc::new(UInt64Array::from(ends)),
            Arc::new(Float32Array::from(bits)),
        ];
        Ok(RecordBatch::try_new(schema(), columns)?)
    }
}

/// A text, so many times.
fn repeated(text: &str, times: usize) -> Result<StringArray> {
    let offsets = OffsetBuffer::from_repeated_length(text.len(), times);
    Ok(StringArray::try_new(offsets, Buffer::from(text.repeat(times).into_bytes()), None)?)
}

/// Bases of a contig whose name is so long that a batch can hold: all names of one are a column of at most 2^31 bytes.
fn most_rows(name: &str) -> usize {
    (1 << 30) / name.len().max(1)
}

/// The track's schema.
fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("contig", DataType::Utf8, false),
        Field::new("start", DataType::UInt64, false),
        Field::new("end", DataType::UInt64, false),
        Field::new("bits", DataType::Float32, false),
    ]))
}

impl Job for Track {
    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn push(&mut self, rows: &RecordBatch) -> Result<Vec<Reject>> {
        let found = self.featuriser.featurise(rows)?;
        self.begun.extend(found.begun);
        self.waiting.extend(found.chunks);
        Ok(found.rejects)
    }

    fn end(&mut self) -> Result<Vec<Reject>> {
        Ok(self.featuriser.end().map(|(_, reject)| reject).into_iter().collect())
    }

    fn step(&mut self) -> Result<Option<Step>> {
        let Some(chunk) = self.waiting.pop_front() else { return Ok(None) };
        let (sequence, end) = (chunk.sequence, chunk.end);
        let mut current = self.current(sequence)?;
        let (chunk, rest) = chunk.cut(self.pack_tokens.min(most_rows(&current.name)));
        let whole = rest.is_none();
        if let Some(rest) = rest {
            self.waiting.push_front(rest);
        }
        let crate::Events::Bases(bases) = &chunk.events else {
            return Err(Error::Rows("a track is of bases".into()));
        };
        let rows = self.run(&mut current, bases)?;
        if !(whole && end != End::Open) {
            self.current = Some(current);
        }
        Ok(Some(Step { rows, rejects: vec![], events: bases.len() as u64 }))
    }
}
