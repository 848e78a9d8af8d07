//! Rows in, output rows out: what a batch job does between its files.
//!
//! Scores are given of each unit at its end; forecasts and embeddings at the end of the input. Until then rows are only
//! gathered: so series go through the model in full packs, however their rows are mixed, and few states are in memory.

mod attributes;
mod scores;
mod table;

use arrow::{
    array::{AsArray, BooleanArray, Int64Array, RecordBatch},
    compute::{cast, filter_record_batch},
    datatypes::{DataType, Int64Type, SchemaRef},
};
use unspool_ingest::{Reject, schema::TimeKind};
use unspool_model::{Model, Options};

use self::{attributes::Attributes, scores::Scores, table::Table};
use super::{
    BatchJob,
    book::Book,
    crew::Crew,
    encode::{Answer, Order, Ran, Work},
    error::{Error, Result},
    manifest::{Manifest, SegmentEntry},
    segment::Record,
};
use crate::{
    Frequency,
    featurise::{Series, SeriesFeaturiser},
    forecast, state_bytes,
    stream::emit::{Emit, Every, Give},
};

/// Packs of a bite: what is given of the series in one is written, or not, as a whole.
const PACKS: usize = 2;
/// Values of a series are run again, instead of a state saved, as long as they take less than this share of its bytes.
const VALUES_SHARE: usize = 4;
/// A state that is there anyway is saved above this share of that.
const KEEP_SHARE: u64 = 8;
/// A series that had one of the last so many rows of a unit is taken to go on.
const GOING_ON_ROWS: u64 = 1 << 16;
/// A unit that is stretched gets one row for each series in it for so many bytes of a state.
const STRETCH_BYTES: usize = 1024;

/// What rows, or a pack of series, came to.
#[derive(Debug)]
pub(super) struct Given {
    /// Output rows.
    pub rows: RecordBatch,
    /// What could not be used.
    pub rejects: Vec<Reject>,
    /// Events encoded.
    pub events: u64,
}

/// Series that were run together, and what came of them.
pub(super) struct Bite {
    ran: Vec<Ran>,
    events: u64,
}

/// How much is kept as values and how much as states.
#[derive(Clone, Copy)]
struct Sizes {
    /// Above so many values since the last state there is to be a new one.
    values: u64,
    /// Rows that a unit has for each series in it, where units are stretched.
    stretch: u64,
}

/// The series and what they gave so far.
pub(super) struct Core<'a> {
    crew: &'a Crew,
    give: Give,
    table: Table,
    attributes: Attributes,
    featuriser: SeriesFeaturiser,
    book: Book,
    scores: Scores,
    sizes: Sizes,
    /// The run at hand, and of each series the one that read its last row.
    run: u32,
    runs: Vec<u32>,
    /// Rows of the unit at hand, and where among them each series' last one is.
    rows: u64,
    last_rows: Vec<u64>,
    max_series: usize,
    pack_events: usize,
    /// The frequency that most series have, once the input has ended.
    common: Option<Frequency>,
}

impl<'a> Core<'a> {
    /// Goes on from what is saved.
    ///
    /// # Errors
    /// When the model does not give what the job asks for, there are too many series, or a file is damaged.
    pub(super) fn new(job: &BatchJob, crew: &'a Crew, manifest: &Manifest) -> Result<Self> {
        let model = crew.model();
        let options = options(job, model)?;
        let table = Table::new(job, model, (&options, manifest.time))?;
        let state_bytes = state_bytes(model, &options)?.max(1);
        let most_live = if crew.keeps_states() { job.states_bytes / state_bytes } else { 0 };
        let (book, records) = Book::open(&job.output, manifest, most_live)?;
        if records.len() > job.max_series {
            return Err(too_many(job.max_series));
        }
        let mut attributes = Attributes::new(&job.columns.keep);
        let (mut series, mut runs) = (vec![], vec![]);
        for record in records {
            attributes.push(record.attributes);
            series.push(record.series);
            runs.push(record.run);
        }
        let patch = model.series_shape().map_or(1, |shape| shape.patch);
        let values = job.state_values.unwrap_or((state_bytes / VALUES_SHARE / size_of::<f64>()) as u64);
        Ok(Self {
            crew,
            give: job.give.clone(),
            table,
            attributes,
            featuriser: SeriesFeaturiser::resumed(series, job.give == Give::Scores),
            book,
            scores: Scores::default(),
            sizes: Sizes { values, stretch: if job.stretch { (state_bytes / STRETCH_BYTES) as u64 } else { 0 } },
            run: manifest.run,
            runs,
            rows: 0,
            last_rows: vec![],
            max_series: job.max_series,
            pack_events: job.pack_tokens.saturating_mul(patch),
            common: None,
        })
    }

    /// The schema of the output.
    pub(super) fn schema(&self) -> SchemaRef {
        self.attributes.schema(&self.table.schema())
    }

    /// How many series there are.
    pub(super) fn series(&self) -> usize {
        self.featuriser.series().len()
    }

    /// Takes rows of one file in, each series' in the order of time; `file` is named in rejects, which come back.
    ///
    /// # Errors
    /// When there are too many series.
    pub(super) fn push(&mut self, rows: &RecordBatch, file: &str) -> Result<Vec<Reject>> {
        let numbers = self.featuriser.number_rows(rows)?;
        if self.series() > self.max_series {
            return Err(too_many(self.max_series));
        }
        self.attributes.take(rows, &numbers)?;
        let (rows, numbers, mut rejects) = self.after_the_last(rows, numbers, file)?;
        rejects.extend(self.featuriser.push_rows(&rows, &numbers)?);
        self.runs.resize(self.series(), self.run);
        self.last_rows.resize(self.series(), 0);
        for number in numbers.iter().map(|number| *number as usize) {
            self.rows += 1;
            self.last_rows[number] = self.rows;
            self.runs[number] = self.run;
        }
        let mut before = None;
        for number in numbers.iter().filter(|number| before.replace(**number) != Some(**number)) {
            self.book.touched(*number as usize);
        }
        let book = &mut self.book;
        self.featuriser.drain(|number, values| book.push(number, values));
        if self.table.is_scores() {
            self.scores.push(rows, numbers);
        }
        Ok(rejects)
    }

    /// The rows that are later than what their series had before this batch (within one the reader has looked), with
    /// their series' numbers, and the others as rejects.
    fn after_the_last(
        &self,
        rows: &RecordBatch,
        mut numbers: Vec<u32>,
        file: &str,
    ) -> Result<(RecordBatch, Vec<u32>, Vec<Reject>)> {
        let times = cast(rows.column(1), &DataType::Int64)?;
        let times: &Int64Array = times.as_primitive::<Int64Type>();
        let (mut rejects, mut keep) = (vec![], vec![]);
        for (row, number) in numbers.iter().enumerate() {
            let series = &self.featuriser.series()[*number as usize];
            let Some(last) = series.last_time().filter(|last| times.value(row) <= *last) else { continue };
            keep.resize(rows.num_rows(), true);
            keep[row] = false;
            let (time, kind, id) = (times.value(row), series.time_kind(), &series.id);
            let what = if time == last { "a second row at" } else { "late:" };
            let (time, last) = (shown(time, kind), shown(last, kind));
            let reason = format!("{what} {time} (series '{id}' is already at {last}, by an earlier file)");
            rejects.push(Reject { place: file.to_owned(), reason, payload: vec![] });
        }
        if rejects.is_empty() {
            return Ok((rows.clone(), numbers, rejects));
        }
        let mut kept = keep.iter();
        numbers.retain(|_| kept.next().is_some_and(|keep| *keep));
        Ok((filter_record_batch(rows, &BooleanArray::from(keep))?, numbers, rejects))
    }

    /// So many rows a unit has at least, with as many series as are in it now.
    pub(super) fn stretched_rows(&self) -> u64 {
        self.sizes.stretch.saturating_mul(self.book.changed().1 as u64)
    }

    /// The series that are to be run at the unit's end; `last`: the input has ended, too.
    pub(super) fn due_now(&self, last: bool) -> Vec<usize> {
        let changed = self.book.changed().0;
        match self.table.is_scores() {
            true => changed.collect(),
            false if last => vec![],
            false => changed.filter(|number| self.book.tail(*number) > self.sizes.values).collect(),
        }
    }

    /// Runs the first of these series, and says how many, and how many events. `last` as before.
    ///
    /// # Errors
    /// When the model or the disk refuses.
    pub(super) fn run(&mut self, due: &[usize], last: bool) -> Result<(usize, u64)> {
        let mut works: Vec<Work> =
            self.bites(due, |work| work.values.len() as u64)?.into_iter().flat_map(|(works, _)| works).collect();
        let (series, events) = (works.len(), works.iter().map(|work| work.values.len() as u64).sum());
        for work in &mut works {
            work.keep = self.crew.keeps_states() || self.saves(work.number, last);
        }
        let order = Order { give: self.give.clone(), answers: false };
        for Ran { number, state, scores, .. } in self.crew.run(&order, works, self.pack_events)? {
            self.scores.answer(number, scores);
            if let Some(state) = state {
                let save = self.saves(number, last);
                self.book.keep(self.crew.model(), (number, state), save)?;
            }
        }
        Ok((series, events))
    }

    /// Whether a series' state is saved at the end of the unit at hand.
    fn saves(&self, number: usize, last: bool) -> bool {
        let going_on = !last && self.table.is_scores() && self.last_rows[number] + GOING_ON_ROWS > self.rows;
        going_on || self.book.tail(number) > self.sizes.values
    }

    /// The output rows of the unit, once all that is due was run.
    ///
    /// # Errors
    /// When Arrow refuses.
    pub(super) fn scored(&mut self) -> Result<Vec<RecordBatch>> {
        let mut all = vec![];
        for (rows, numbers, scores) in self.scores.take() {
            let scored = self.table.scored(&rows.project(&[0, 1, 2])?, &scores)?;
            let there = (0..rows.num_rows()).filter(|row| arrow::array::Array::is_valid(rows.column(2), *row));
            let numbers: Vec<u32> = there.map(|row| numbers[row]).collect();
            all.push(self.attributes.add(scored, &numbers)?);
        }
        Ok(all)
    }

    /// The series of which something is given now that the run's input has ended: those that had rows in it.
    pub(super) fn due(&mut self) -> Vec<usize> {
        self.common = forecast::most_frequent(self.featuriser.series().iter().filter_map(Series::frequency));
        let all = if self.table.is_scores() { 0..0 } else { 0..self.series() };
        all.filter(|number| self.runs[*number] == self.run).collect()
    }

    /// Computes forecasts or embeddings of the first of these series, as many bites as suit the crew.
    ///
    /// # Errors
    /// When the model or the disk refuses.
    pub(super) fn give(&mut self, due: &[usize]) -> Result<Vec<Bite>> {
        let least = forecast::LEAST_EVENTS.max(self.table.horizon() as u64);
        let (mut sizes, mut works) = (vec![], vec![]);
        for (bite, events) in self.bites(due, |work| (work.values.len() as u64).max(least))? {
            sizes.push((bite.len(), events));
            works.extend(bite);
        }
        for work in &mut works {
            work.held = self.featuriser.series()[work.number].held_back();
            work.keep = self.book.tail(work.number) > self.sizes.values / KEEP_SHARE;
        }
        let order = Order { give: self.give.clone(), answers: true };
        let mut ran = self.crew.run(&order, works, self.pack_events)?.into_iter();
        let bite = |(series, events)| Bite { ran: ran.by_ref().take(series).collect(), events };
        Ok(sizes.into_iter().map(bite).collect())
    }

    /// Takes what a bite gave: how many series it is of, and the rows.
    ///
    /// # Errors
    /// When the disk or Arrow refuses.
    pub(super) fn take(&mut self, bite: Bite) -> Result<(usize, Given)> {
        let (mut numbers, mut given): (Vec<usize>, Vec<Answer>) = (vec![], vec![]);
        for Ran { number, state, answer, .. } in bite.ran {
            if let Some(state) = state {
                self.book.keep(self.crew.model(), (number, state), true)?;
            }
            numbers.push(number);
            given.extend(answer);
        }
        let series: Vec<&Series> = numbers.iter().map(|number| &self.featuriser.series()[*number]).collect();
        let (rows, of, rejects) = self.table.rows(self.crew.model(), (&series, given), self.common)?;
        let of: Vec<u32> = of.into_iter().map(|at| u32::try_from(numbers[at]).unwrap_or(u32::MAX)).collect();
        let rows = self.attributes.add(rows, &of)?;
        Ok((numbers.len(), Given { rows, rejects, events: bite.events }))
    }

    /// The first of these series in bites by what they cost, each with its events, as many as suit the crew. Where a bite ends does
    /// not depend on who runs it: nor do, then, the ends of units and parts.
    fn bites(&mut self, due: &[usize], cost: impl Fn(&Work) -> u64) -> Result<Vec<(Vec<Work>, u64)>> {
        let room = self.pack_events.saturating_mul(PACKS);
        let (mut bites, mut due) = (vec![], due.iter().peekable());
        while bites.len() < self.crew.bites(room) && due.peek().is_some() {
            let (mut works, mut taken) = (vec![], 0);
            while taken < room as u64
                && let Some(number) = due.next()
            {
                let work = self.book.work(*number)?;
                taken += cost(&work);
                works.push(work);
            }
            let events = works.iter().map(|work| work.values.len() as u64).sum();
            bites.push((works, events));
        }
        Ok(bites)
    }

    /// Ends a unit: what changed goes to the disk. Gives the files that hold everything now, and the paths of those that are no
    /// longer needed.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn commit(
        &mut self,
        unit: u64,
        old: &[SegmentEntry],
    ) -> Result<(Vec<SegmentEntry>, Vec<std::path::PathBuf>)> {
        (self.rows, self.last_rows) = (0, vec![0; self.series()]);
        let (featuriser, runs, attributes) = (&self.featuriser, &self.runs, &self.attributes);
        self.book.commit((unit, old), &|number| Record {
            series: featuriser.series()[number].clone(),
            run: runs[number],
            attributes: attributes.of(number),
        })
    }
}

/// What series are opened for.
///
/// # Errors
/// When the model does not give it.
pub(super) fn options(job: &BatchJob, model: &Model) -> Result<Options> {
    give_options(&job.give, model)
}

/// As [`options`].
pub(super) fn give_options(give: &Give, model: &Model) -> Result<Options> {
    let emit = Emit { give: give.clone(), every: Every::Events(1) };
    emit.options(model).map_err(|error| Error::Settings(format!("give: {error}")))
}

fn too_many(limit: usize) -> Error {
    Error::Settings(format!("more than {limit} series: raise run.max_series, or split the input"))
}

/// A time as a person reads it.
fn shown(time: i64, kind: TimeKind) -> String {
    match kind {
        TimeKind::Step => format!("step {time}"),
        TimeKind::Timestamp => chrono::DateTime::from_timestamp_micros(time)
            .map_or_else(|| format!("{time} µs"), |time| time.naive_utc().to_string()),
    }
}
