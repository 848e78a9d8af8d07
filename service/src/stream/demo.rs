//! `unspool stream --demo`: a real series through a real topic, with a broker inside this process or one by address.

mod play;
mod show;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use unspool_ingest::kafka::{
    Content, Fields, Location, Rejected, TimeFrom, TimeUnit,
    client::{Admin, Connection},
};
use unspool_model::Model;
use unspool_pipelines::{
    Cancel,
    stream::{self, Observer, Progress, StreamJob, emit},
};

use self::{play::play, show::Screen};
use super::{StreamArgs, stop_at_signals};
use crate::{
    error::{Error, Result},
    model, progress,
};

/// Partitions of the demonstration's topics.
const PARTITIONS: i32 = 4;
/// Series played side by side, each from a place of its own in the same history.
const SERIES: usize = 8;
/// Events a second, where no number of them is asked for.
const RATE: u64 = 2000;
/// Event time of the embedded broker's topics lies years back: nothing may be deleted for that.
const FOR_EVER: [(&str, &str); 1] = [("retention.ms", "-1")];

/// Runs the demonstration: until Ctrl-C, or until all events asked for are scored.
///
/// # Errors
/// When no broker can be started or reached.
pub(crate) fn run(args: &StreamArgs) -> Result<()> {
    let (address, whose) = match &args.bootstrap {
        Some(address) => (address.clone(), "the broker there"),
        None => {
            let address = noida::kafka::spawn("127.0.0.1:0");
            let address = address.map_err(|source| Error::Io { path: "the embedded broker".into(), source })?;
            (address.to_string(), "a broker inside this process")
        }
    };
    let folder = tempfile::tempdir().map_err(|source| Error::Io { path: "a temporary folder".into(), source })?;
    let options = model::options(args.device, args.threads);
    let model = Arc::new(Model::series(options)?);
    let name = format!("unspool-demo-{}", uuid::Uuid::new_v4().simple());
    let job = job(&Connection { bootstrap: address.clone(), ..Connection::default() }, &name, folder.path());
    let admin = Admin::new(&job.connection).map_err(stream::Error::from)?;
    for topic in [&job.topic, &scores(&name)] {
        admin.create(topic, PARTITIONS, &FOR_EVER).map_err(stream::Error::from)?;
    }
    progress::say(&format!(
        "{SERIES} series of taxi passengers in New York, into topic {} at {address}, {whose}",
        job.topic
    ));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|source| Error::Io { path: "the runtime".into(), source })?;
    let stop = Cancel::default();
    stop_at_signals(&runtime, &stop)?;
    let sent = Arc::new(AtomicU64::new(0));
    let player = {
        let (connection, topic, stop) = (job.connection.clone(), job.topic.clone(), stop.clone());
        let (sent, events) = (Arc::clone(&sent), args.events);
        thread::spawn(move || play((&connection, &topic), (events, RATE), &stop, &sent))
    };
    let mut demo = Demo::new(args, &stop, sent);
    let ran = stream::run(&job, &model, &stop, &mut demo);
    stop.cancel();
    let played = player.join().unwrap_or_else(|_| Err("the player stopped unexpectedly".into()));
    runtime.shutdown_background();
    ran?;
    played.map_err(Error::Usage)?;
    progress::say(&demo.summary());
    Ok(())
}

/// The topic of scores.
fn scores(name: &str) -> String {
    format!("{name}-scores")
}

/// The demonstration's job: an anomaly score for each value, exactly once.
fn job(connection: &Connection, name: &str, data_dir: &std::path::Path) -> StreamJob {
    let fields = Fields {
        id: Location::Key,
        time: TimeFrom::Field("time".into()),
        time_unit: TimeUnit::S,
        content: Content::Values(vec!["passengers".into()]),
    };
    let topics = (&format!("{name}-passengers")[..], &scores(name)[..]);
    StreamJob::scores(connection, (name, data_dir), topics, fields)
}

/// Watches the worker, and stops it when all is done.
struct Demo<'a> {
    stop: &'a Cancel,
    events: Option<u64>,
    /// Events written to the topic.
    sent: Arc<AtomicU64>,
    screen: Screen,
    /// Joining the group is part of what it takes.
    began: Instant,
    took: Duration,
    scored: u64,
}

impl<'a> Demo<'a> {
    fn new(args: &StreamArgs, stop: &'a Cancel, sent: Arc<AtomicU64>) -> Self {
        let screen = Screen::new(args.quiet);
        Self { stop, events: args.events, sent, screen, began: Instant::now(), took: Duration::ZERO, scored: 0 }
    }

    fn summary(&self) -> String {
        let seconds = self.took.as_secs_f64().max(1e-9);
        let rate = self.scored as f64 / seconds;
        let worst = self.screen.worst().map_or(String::new(), |worst| format!("; the least likely: {worst}"));
        format!("{} events scored exactly once in {seconds:.1} s ({rate:.0}/s){worst}", self.scored)
    }
}

impl Observer for Demo<'_> {
    fn progress(&mut self, progress: &Progress) {
        self.screen.show(progress, self.sent.load(Ordering::Relaxed));
    }

    fn committed(&mut self, outputs: &[emit::Output], _: &[Rejected]) {
        self.took = self.began.elapsed();
        self.scored += outputs.len() as u64;
        self.screen.take(outputs);
        if self.events.is_some_and(|events| self.scored >= events) {
            self.stop.cancel();
        }
    }

    fn trouble(&mut self, problem: &str) {
        tracing::warn!("{problem}");
    }
}
