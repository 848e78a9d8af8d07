//! Many series through the model at once, each up to its next output or end.

use std::sync::Arc;

use unspool_ingest::kafka::RejectKind;
use unspool_model::{Events, Item, State};

use super::{Core, Fate, Output, Processed, Row, reject};
use crate::stream::{
    emit::{Every, Give, Given},
    error::Result,
    states::Entry,
    time::Content,
};

/// A series' rows: their places among all, and what to do with what comes of them.
pub(super) type Group = ((i32, Arc<str>), Vec<(usize, Row, Fate)>);

/// One series of a pack.
struct Lane {
    key: (i32, Arc<str>),
    rows: std::iter::Peekable<std::vec::IntoIter<(usize, Row, Fate)>>,
    entry: Entry,
    /// Values of this round, NaN where missing.
    values: Vec<f64>,
    /// Bases of this round.
    bases: String,
    /// Rows of this round whose scores are given: place among the values, place among all rows, row.
    scored: Vec<(usize, usize, Row)>,
    /// After this round something is due for this row; whether it is given, or was already.
    due: Option<(usize, Row, bool)>,
    /// After this round the series ends.
    ends: bool,
    /// Its state is the core's again.
    ended: bool,
}

/// Series that go through the model together.
pub(super) struct Pack<'a> {
    pub core: &'a mut Core,
    pub processed: &'a mut Processed,
    /// Outputs, with their rows' places among all.
    pub outputs: &'a mut Vec<(usize, Output)>,
}

impl Pack<'_> {
    pub(super) fn run(mut self, groups: Vec<Group>) -> Result<()> {
        let keys: Vec<(i32, Arc<str>)> = groups.iter().map(|(key, _)| key.clone()).collect();
        let entries = self.core.states.take_all(&keys)?;
        let lanes = groups.into_iter().zip(entries).map(|((key, rows), entry)| Lane::new(key, rows, entry));
        let mut lanes: Vec<Lane> = lanes.collect();
        while lanes.iter_mut().any(|lane| lane.rows.peek().is_some()) {
            for lane in &mut lanes {
                self.gather(lane)?;
            }
            self.append(&mut lanes)?;
            self.forecast(&mut lanes)?;
            for lane in &mut lanes {
                if std::mem::take(&mut lane.ends) {
                    lane.entry = Entry::new(self.core.model.open(&self.core.options)?);
                    if !self.core.states.remembers(&lane.key.1) {
                        self.core.states.end(lane.key.0, &lane.key.1);
                        lane.ended = true;
                    }
                }
            }
        }
        for lane in lanes.into_iter().filter(|lane| !lane.ended) {
            self.core.states.put(lane.key.0, &lane.key.1, lane.entry)?;
        }
        Ok(())
    }

    /// Takes a series' rows up to the next output or end.
    fn gather(&mut self, lane: &mut Lane) -> Result<()> {
        while lane.due.is_none()
            && !lane.ends
            && let Some((order, row, fate)) = lane.rows.next()
        {
            if row.content == Content::End {
                lane.ends = true;
                continue;
            }
            lane.ended = false;
            let emit = fate.emit;
            if let Some(refusal) = self.refusal(lane, &row) {
                if emit {
                    self.processed.rejects.push(reject(lane.key.0, refusal, (&row, fate)));
                }
                continue;
            }
            let missing = match (&self.core.time.grid, lane.entry.beside.last) {
                (Some(grid), Some(last)) => grid.missing(last, row.time),
                _ => 0,
            };
            lane.values.extend(std::iter::repeat_n(f64::NAN, missing as usize));
            self.processed.events += 1 + u64::from(missing);
            let due = self.is_due(&mut lane.entry, row.time);
            lane.entry.beside.last = Some(row.time);
            match &row.content {
                Content::Value(value) => lane.values.push(value.unwrap_or(f64::NAN)),
                Content::Bases(bases) => lane.bases.push_str(bases),
                Content::End => (),
            }
            match self.core.emit.give {
                _ if !due => (),
                Give::Scores if emit && matches!(row.content, Content::Value(Some(_))) => {
                    lane.scored.push((lane.values.len() - 1, order, row));
                }
                // What restarts a pool happens in a replay too.
                Give::Embedding { restart: true, .. } => lane.due = Some((order, row, emit)),
                Give::Forecast { .. } | Give::Embedding { .. } if emit => lane.due = Some((order, row, emit)),
                Give::Scores | Give::Forecast { .. } | Give::Embedding { .. } => (),
            }
        }
        Ok(())
    }

    /// Why a row cannot be used.
    fn refusal(&self, lane: &Lane, row: &Row) -> Option<(RejectKind, String)> {
        let (time, last) = (row.time, lane.entry.beside.last);
        match last {
            Some(last) if time == last => {
                let reason = format!("a second row at time {time} (series '{}')", row.series);
                return Some((RejectKind::Duplicate, reason));
            }
            Some(last) if time < last => {
                let reason = format!("late: time {time}, series '{}' is already at {last}", row.series);
                return Some((RejectKind::Late, reason));
            }
            _ => (),
        }
        let checked = match &row.content {
            Content::Bases(bases) => self.core.model.check_events(Events::Bases(bases.as_bytes())),
            Content::Value(_) | Content::End => Ok(()),
        };
        checked.err().map(|error| (RejectKind::Model, error.to_string()))
    }

    /// Counts an event; whether something is given after it.
    fn is_due(&self, entry: &mut Entry, time: i64) -> bool {
        entry.beside.count += 1;
        match self.core.emit.every {
            Every::Events(n) => entry.beside.count.is_multiple_of(n.max(1)),
            Every::Interval(width) => {
                let interval = time.div_euclid(i64::try_from(width.max(1)).unwrap_or(i64::MAX));
                entry.beside.interval.replace(interval) != Some(interval)
            }
        }
    }

    /// Runs the round's events through the model.
    fn append(&mut self, lanes: &mut [Lane]) -> Result<()> {
        let mut moving: Vec<&mut Lane> =
            lanes.iter_mut().filter(|lane| !lane.values.is_empty() || !lane.bases.is_empty()).collect();
        let mut items: Vec<Item<'_>> = (moving.iter_mut())
            .map(|lane| {
                let Lane { entry, values, bases, .. } = &mut **lane;
                let events = if bases.is_empty() { Events::Values(values) } else { Events::Bases(bases.as_bytes()) };
                Item { state: &mut entry.state, events }
            })
            .collect();
        let outputs = self.core.model.append(&mut items)?;
        for (lane, output) in moving.into_iter().zip(outputs) {
            for (at, order, row) in lane.scored.drain(..) {
                let content = Given::Score { value: lane.values[at], p_value: output.scores[at] };
                self.outputs.push((order, lane.key.output(row, content)));
            }
            lane.values.clear();
            lane.bases.clear();
        }
        Ok(())
    }

    /// What is due of states.
    fn forecast(&mut self, lanes: &mut [Lane]) -> Result<()> {
        let mut due: Vec<&mut Lane> = lanes.iter_mut().filter(|lane| lane.due.is_some()).collect();
        match self.core.emit.give {
            Give::Scores => (),
            Give::Forecast { horizon } => {
                let states: Vec<&State> = due.iter().map(|lane| &lane.entry.state).collect();
                let forecasts = self.core.model.forecast(&states, horizon)?;
                for (lane, forecast) in due.into_iter().zip(forecasts) {
                    let Some((order, row, _)) = lane.due.take() else { continue };
                    self.outputs.push((order, lane.key.output(row, Given::Forecast(forecast))));
                }
            }
            Give::Embedding { pool, restart, .. } => {
                let layer = self.core.options.layers.first().copied().unwrap_or_default();
                for lane in &mut due {
                    let Some((order, row, emit)) = lane.due.take() else { continue };
                    // Before its first whole patch a series has no row, and so no embedding.
                    let Some(embedding) = lane.entry.state.pooled(layer, pool.into()) else { continue };
                    if emit {
                        self.outputs.push((order, lane.key.output(row, Given::Embedding(embedding))));
                    }
                    if restart {
                        lane.entry.state.restart_pools();
                    }
                }
            }
        }
        Ok(())
    }
}

impl Lane {
    fn new(key: (i32, Arc<str>), rows: Vec<(usize, Row, Fate)>, entry: Entry) -> Self {
        let rows = rows.into_iter().peekable();
        let (values, bases, scored) = (vec![], String::new(), vec![]);
        Self { key, rows, entry, values, bases, scored, due: None, ends: false, ended: false }
    }
}

/// Makes an output of a series.
trait Outputs {
    fn output(&self, row: Row, content: Given) -> Output;
}

impl Outputs for (i32, Arc<str>) {
    fn output(&self, row: Row, content: Given) -> Output {
        Output { partition: self.0, offset: row.offset, series: Arc::clone(&self.1), time: row.time, content }
    }
}
