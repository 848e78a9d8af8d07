//! Stream jobs: for each kind of result three workers in one consumer group, which come, go and are killed.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use unspool_model::Model;
use unspool_pipelines::stream::Saved;

use super::{
    given::{Given, Kind, bits},
    input::{EVERY, cuts},
    stage::{HORIZON, Stage},
};
use crate::{
    broker::{Broker, Sent},
    job::{Job, Numbers},
    scenarios::SOON,
    worker::Worker,
};

const PARTITIONS: i32 = 4;
/// Portions in which events come; something happens to the workers in each.
pub(super) const PORTIONS: usize = 4;

/// A job for one kind of result, with its workers.
pub(super) struct Streamed<'a> {
    pub job: Job<'a>,
    pub kind: Kind,
    state: Kind,
    file: String,
    workers: BTreeMap<usize, Worker>,
}

/// What goes into a topic, portion by portion.
pub(super) struct Topic {
    pub name: &'static str,
    pub portions: Vec<Vec<Sent>>,
}

fn partition(number: usize) -> i32 {
    (number % PARTITIONS.unsigned_abs() as usize) as i32
}

/// The rows of series from a share of each on, in the order of time.
pub(super) fn series_topic(broker: &Broker, stage: &Stage, (from, to): (&dyn Fn(usize) -> usize, usize)) -> Topic {
    let mut portions: Vec<Vec<(usize, Sent)>> = vec![vec![]; PORTIONS];
    for (number, series) in stage.input.series.iter().enumerate() {
        let begin = from(series.values.len());
        let end = if to == 0 { series.values.len() } else { series.values.len() * to / 3 };
        for time in begin..end {
            let value = series.values[time];
            let value = if value.is_nan() { "null".to_owned() } else { format!("{value:?}") };
            let payload = Some(format!("{{\"t\":{time},\"v\":{value}}}"));
            let sent = Sent { partition: partition(number), key: Some(series.id.clone()), payload, ..Sent::default() };
            portions[(time - begin) * PORTIONS / (end - begin)].push((time, sent));
        }
    }
    let in_order = |mut portion: Vec<(usize, Sent)>| {
        portion.sort_by_key(|(time, _)| *time);
        portion.into_iter().map(|(_, sent)| sent).collect()
    };
    let name = broker.unique("headline-series");
    broker.create(name, PARTITIONS, &[]);
    Topic { name, portions: portions.into_iter().map(in_order).collect() }
}

/// Reads in pieces, `events` of each one; one piece a portion.
pub(super) fn reads_topic(broker: &Broker, stage: &Stage, events: &dyn Fn(usize) -> usize) -> Topic {
    let (mut portions, mut numbers) = (vec![vec![]; PORTIONS], Numbers(11));
    for (number, read) in stage.input.reads.iter().enumerate() {
        let mut from = 0;
        for (piece, to) in cuts(&mut numbers, (events(read.bases.len()), PORTIONS)).into_iter().enumerate() {
            let payload = Some(format!("{{\"t\":{piece},\"v\":\"{}\"}}", &read.bases[from..to]));
            let sent = Sent { partition: partition(number), key: Some(read.id.clone()), payload, ..Sent::default() };
            if from < to {
                portions[piece].push(sent);
            }
            from = to;
        }
    }
    let name = broker.unique("headline-reads");
    broker.create(name, PARTITIONS, &[]);
    Topic { name, portions }
}

impl<'a> Streamed<'a> {
    /// The job for a kind; `begin_with` names a batch job's output.
    pub(super) fn new(
        broker: &'a Broker,
        (stage, topic, of_reads): (&Stage, &Topic, bool),
        (kind, state): (Kind, Kind),
        begin_with: Option<&str>,
    ) -> Self {
        let begin_with = begin_with.map_or(String::new(), |dir| format!("begin_with = '{dir}'\n"));
        let give = match kind {
            Kind::Forecast => format!("give = 'forecasts'\nhorizon = {HORIZON}\nevery_events = {EVERY}\n"),
            Kind::Scores => "give = 'scores'\n".to_owned(),
            _ if of_reads => "give = 'embeddings'\nbinary = true\n".to_owned(),
            _ => format!("give = 'embeddings'\nbinary = true\nevery_events = {EVERY}\n"),
        };
        let run = format!("[run]\nsnapshot_interval_ms = 500\ntransaction_timeout_ms = 6000\n{begin_with}");
        let name = format!("{}-{kind:?}{}", topic.name, if begin_with.is_empty() { "" } else { "-on" }).leak();
        let more = format!("[output]\n{give}{run}").leak();
        let job = Job { broker, input: topic.name, name, more };
        let path = job.write(&stage.folder, PARTITIONS);
        let text = std::fs::read_to_string(&path).unwrap();
        if of_reads {
            let text = text.replace("values = ['v']", "sequence = 'v'");
            std::fs::write(&path, format!("model = 'dna-1'\n{text}")).unwrap();
        }
        Self { job, kind, state, file: path.to_str().unwrap().to_owned(), workers: BTreeMap::new() }
    }

    pub(super) fn start(&mut self, folder: &Path, number: usize) {
        let (name, member) = (format!("{}-{number}", self.job.name), format!("worker-{number}"));
        let worker = Worker::start(folder, &name, &[&self.file, "--member", &member]);
        if self.job.broker.is_embedded() {
            worker.ready(SOON);
        }
        assert!(self.workers.insert(number, worker).is_none());
    }

    /// Kills a worker, and starts it again.
    pub(super) fn restart(&mut self, folder: &Path, number: usize) {
        self.kill(number);
        self.start(folder, number);
    }

    /// SIGKILL; on the broker inside this process SIGTERM.
    fn kill(&mut self, number: usize) {
        let worker = self.workers.remove(&number).unwrap();
        if self.job.broker.is_embedded() {
            worker.ready(SOON);
            worker.stop();
        } else {
            worker.kill();
        }
    }

    /// Waits until all that was sent is committed.
    pub(super) fn wait(&self) {
        self.job.broker.wait_for(self.job.name, self.job.input, self.job.broker.patience);
    }

    pub(super) fn stop(&mut self) {
        let workers = std::mem::take(&mut self.workers);
        workers.values().for_each(|worker| worker.ready(SOON));
        workers.into_values().for_each(Worker::stop);
    }

    /// Something happens to the workers while a portion is on its way.
    fn disturb(&mut self, folder: &Path, portion: usize) {
        if self.job.broker.is_embedded() {
            return self.restart(folder, 0);
        }
        match portion {
            // A third one comes: the partitions are shared anew.
            0 => self.start(folder, 2),
            // One is killed, and comes back.
            1 => self.restart(folder, 0),
            // Another one, while the third leaves for good.
            2 => {
                self.kill(1);
                let leaves = self.workers.remove(&2).unwrap();
                leaves.ready(SOON);
                leaves.stop();
                self.start(folder, 1);
            }
            // Both that are left, at once.
            _ => {
                self.kill(0);
                self.kill(1);
                self.start(folder, 0);
                self.start(folder, 1);
            }
        }
    }

    /// What was given last of each sequence, beside all scores.
    fn outputs(&self, given: &mut BTreeMap<String, Vec<u8>>, lens: &dyn Fn(&str) -> usize) {
        let (outputs, dead) = (self.job.broker.read_bytes(&self.job.out()), self.job.broker.read(&self.job.dead()));
        assert!(dead.is_empty(), "{dead:?}");
        if self.kind == Kind::Embedding {
            given.extend(outputs);
            return;
        }
        let mut by = BTreeMap::<String, Vec<serde_json::Value>>::new();
        for (id, payload) in outputs {
            by.entry(id).or_default().push(serde_json::from_slice(&payload).unwrap());
        }
        for (id, rows) in by {
            let values = match self.kind {
                Kind::Scores => scores(&rows, lens(&id)),
                _ => forecast(&rows),
            };
            given.insert(id, bits(&values));
        }
    }

    /// Puts what the job gave, and the states that it left. Workers must have stopped.
    pub(super) fn put(&self, (stage, model): (&Stage, &Arc<Model>), given: &mut Given) {
        let mut outputs = BTreeMap::new();
        let len = |id: &str| stage.input.series.iter().find(|series| series.id == id).unwrap().values.len();
        self.outputs(&mut outputs, &len);
        outputs.into_iter().for_each(|(id, bytes)| given.put((self.kind, &id), bytes));
        let saved = Saved::find(&stage.folder.join(self.data_dir())).unwrap().unwrap();
        let take = &mut |series: unspool_pipelines::stream::SavedSeries| {
            given.put((self.state, &series.id), stage.bytes(&series.state));
            Ok(())
        };
        let ends = saved.states(model, take).unwrap();
        assert_eq!(ends.len(), PARTITIONS as usize);
    }

    /// The p-values that it gave of a series; NaN: none.
    pub(super) fn put_scores(&self, all: &mut BTreeMap<String, Vec<f64>>) {
        for (id, payload) in self.job.broker.read_bytes(&self.job.out()) {
            let row: serde_json::Value = serde_json::from_slice(&payload).unwrap();
            put_score(&row, all.get_mut(&id).unwrap());
        }
    }

    pub(super) fn data_dir(&self) -> String {
        format!("data-{}", self.job.name)
    }
}

fn put_score(row: &serde_json::Value, scores: &mut [f64]) {
    let slot = &mut scores[row["time"].as_u64().unwrap() as usize];
    assert!(slot.is_nan(), "it was scored twice: {row}");
    *slot = row["p_value"].as_f64().unwrap_or(f64::NAN);
}

fn scores(rows: &[serde_json::Value], len: usize) -> Vec<f64> {
    let mut scores = vec![f64::NAN; len];
    rows.iter().for_each(|row| put_score(row, &mut scores));
    scores
}

/// The forecast after the last event.
fn forecast(rows: &[serde_json::Value]) -> Vec<f64> {
    let last = &rows[rows.len() - HORIZON as usize..];
    let quantiles = |row: &serde_json::Value| {
        let row = row.as_object().unwrap();
        let mut levels: Vec<(f64, f64)> = (row.iter())
            .filter_map(|(name, value)| Some((name.strip_prefix('q')?.parse().ok()?, value.as_f64().unwrap())))
            .collect();
        levels.sort_by(|a, b| a.0.total_cmp(&b.0));
        levels.into_iter().map(|level| level.1)
    };
    assert_eq!(last.first().unwrap()["step"], 1);
    last.iter().flat_map(quantiles).collect()
}

pub(super) fn run(stage: &Stage, broker: &Broker) -> Given {
    let folder = &stage.folder;
    let series = series_topic(broker, stage, (&|_| 0, 0));
    let reads = reads_topic(broker, stage, &|len| len);
    let job = |kinds| Streamed::new(broker, (stage, &series, false), kinds, None);
    let mut jobs: Vec<Streamed<'_>> = Kind::OF_SERIES.into_iter().map(job).collect();
    jobs.push(Streamed::new(broker, (stage, &reads, true), Kind::OF_READS, None));
    // Groups of the broker inside this process do not always come to rest once a second worker has come, and its sessions do not
    // end: there one worker is stopped and started again, and the others' part is left to Apache Kafka.
    let workers = if broker.is_embedded() { 1 } else { 2 };
    jobs.iter_mut().for_each(|job| (0..workers).for_each(|number| job.start(folder, number)));
    for portion in 0..PORTIONS {
        for topic in [&series, &reads] {
            // In the middle of it: half of the portion is there when the workers are disturbed, the rest comes meanwhile.
            let (first, rest) = topic.portions[portion].split_at(topic.portions[portion].len() / 2);
            broker.send(topic.name, first);
            jobs.iter_mut().filter(|job| job.job.input == topic.name).for_each(|job| job.disturb(folder, portion));
            broker.send(topic.name, rest);
        }
        jobs.iter().for_each(Streamed::wait);
    }
    let mut given = Given::default();
    for job in &mut jobs {
        job.stop();
        let model = if job.job.input == reads.name { &stage.dna_model } else { &stage.series_model };
        job.put((stage, model), &mut given);
    }
    given
}
