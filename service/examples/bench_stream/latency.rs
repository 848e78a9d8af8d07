//! From a message's writing to its score's reading, at a steady rate.

use std::{
    cmp::Reverse,
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rdkafka::{
    Offset,
    message::{Headers, Message},
};
use unspool_ingest::kafka::client::{Admin, Connection, Writer};
use unspool_model::Model;
use unspool_pipelines::{
    Cancel,
    stream::{self, Observer, Progress, Stages},
};

use super::{Done, PARTITIONS, SERIES, consumer, job, payload, scores, shares};

const RATE: usize = 2000;
const SECONDS: usize = 40;
/// The first seconds are those of connections, and of each series' first state: it comes with the first full patch, after 8 s.
const WARM: usize = 10;
/// Snapshots of all states come at least once.
const SNAPSHOTS: Duration = Duration::from_secs(30);

/// When each message was written, by partition and offset, as the scores' headers name them.
type Sent = Arc<Mutex<HashMap<String, Instant>>>;

pub(crate) fn run(connection: &Connection, (admin, model): (&Admin, &Arc<Model>)) -> Done {
    let name = format!("bench-{}", uuid::Uuid::new_v4().simple());
    let folder = tempfile::tempdir()?;
    let mut job = job(connection, &name, folder.path());
    job.pace.snapshot_interval = SNAPSHOTS;
    admin.create(&job.topic, PARTITIONS, &[])?;
    admin.create(&scores(&name), PARTITIONS, &[])?;
    let (stop, ready) = (Cancel::default(), Arc::new(AtomicBool::new(false)));
    let worker = {
        let (job, model, stop, ready) = (job.clone(), Arc::clone(model), stop.clone(), Arc::clone(&ready));
        thread::spawn(move || {
            let mut watch = Watch { ready, ..Watch::default() };
            let progress = stream::run(&job, &model, &stop, &mut watch).map_err(|e| e.to_string())?;
            Ok::<_, String>((progress, watch))
        })
    };
    while !ready.load(Ordering::Relaxed) && !worker.is_finished() {
        thread::sleep(Duration::from_millis(20));
    }
    let sent = Sent::default();
    let writing = write(connection, &job.topic, &sent);
    let took = read(connection, &scores(&name), (&sent, || worker.is_finished()));
    stop.cancel();
    let (progress, watch) = worker.join().map_err(|_| "the worker stopped")??;
    let took = took?;
    writing.join().map_err(|_| "the writer stopped")??;
    let (first, rest) = took.split_at(RATE * WARM);
    println!(
        "latency at {RATE} messages/s, commits every {} ms: {}",
        job.pace.commit_interval.as_millis(),
        figures(rest.to_vec())
    );
    println!("    in the first {WARM} s before that       {}", figures(first.to_vec()));
    println!("    a transaction                       {}", figures(watch.commits));
    println!(
        "    a batch, transaction and all        {}",
        figures(watch.batches.iter().map(|(took, _)| *took).collect())
    );
    let mut slowest = watch.batches;
    slowest.sort_by_key(|(took, _)| Reverse(*took));
    for (took, stages) in slowest.iter().take(3) {
        println!("    one of the slowest batches          {:.0} ms: {stages}", took.as_secs_f64() * 1e3);
    }
    println!("    the worker's time                   {}", shares(&progress.stages));
    println!(
        "    {} transactions, {} snapshots, {} states copied for them",
        progress.transactions, progress.snapshots, progress.states.copied
    );
    Ok(())
}

/// Writes messages at the rate.
fn write(connection: &Connection, topic: &str, sent: &Sent) -> JoinHandle<Result<(), String>> {
    let (connection, topic, sent) = (connection.clone(), topic.to_owned(), Arc::clone(sent));
    thread::spawn(move || {
        let writer = Writer::new(&connection).map_err(|e| e.to_string())?;
        let (began, mut next) = (Instant::now(), [0u64; PARTITIONS as usize]);
        for n in 0..RATE * SECONDS {
            let due = Duration::from_secs_f64(n as f64 / RATE as f64);
            thread::sleep(due.saturating_sub(began.elapsed()));
            let (partition, (key, payload)) = (n % SERIES % PARTITIONS as usize, payload(n));
            let source = format!("{topic}/{partition}/{}", next[partition]);
            next[partition] += 1;
            sent.lock().map_err(|e| e.to_string())?.insert(source, Instant::now());
            writer.write(&topic, partition as i32, (&key, &payload)).map_err(|e| e.to_string())?;
        }
        writer.flush().map_err(|e| e.to_string())
    })
}

/// Reads the scores of all of them, or until the worker has ended; how long each took.
fn read(connection: &Connection, topic: &str, (sent, ended): (&Sent, impl Fn() -> bool)) -> Done<Vec<Duration>> {
    let reader = consumer(connection, topic, Offset::Beginning)?;
    let mut took = vec![];
    while took.len() < RATE * SECONDS {
        let message = match reader.poll(Duration::from_secs(1)) {
            Some(Ok(message)) => message,
            _ if ended() => return Err("the job ended".into()),
            _ => continue,
        };
        let headers = message.headers().ok_or("a score has no headers")?;
        let source = headers.iter().find(|header| header.key == "unspool-source").and_then(|header| header.value);
        let source = std::str::from_utf8(source.ok_or("a score names no source")?)?;
        let at = sent.lock().map_err(|e| e.to_string())?.get(source).copied();
        took.push(at.ok_or("a score of a message that was not written")?.elapsed());
    }
    Ok(took)
}

fn figures(mut took: Vec<Duration>) -> String {
    took.sort_unstable();
    let at = |share: f64| {
        let at = (took.len().saturating_sub(1) as f64 * share) as usize;
        took.get(at).map_or(f64::NAN, |took| took.as_secs_f64() * 1e3)
    };
    let (half, most, worst, greatest) = (at(0.5), at(0.99), at(0.999), at(1.0));
    format!("p50 {half:.0} ms, p99 {most:.0} ms, p99.9 {worst:.0} ms, greatest {greatest:.0} ms")
}

/// Says when the job has its partitions, and takes its times.
#[derive(Default)]
struct Watch {
    ready: Arc<AtomicBool>,
    transactions: u64,
    before: Stages,
    began: Option<Instant>,
    events: u64,
    commits: Vec<Duration>,
    /// How long each took, and what for.
    batches: Vec<(Duration, String)>,
}

impl Observer for Watch {
    fn progress(&mut self, progress: &Progress) {
        if progress.partitions.len() == PARTITIONS as usize {
            self.ready.store(true, Ordering::Relaxed);
        }
        if progress.transactions > self.transactions {
            self.transactions = progress.transactions;
            self.commits.push(progress.commit_took);
            let stages = progress.stages.all().into_iter().zip(self.before.all());
            let stages =
                stages.map(|((name, now), (_, before))| format!("{name} {:.0}", (now - before).as_secs_f64() * 1e3));
            let (stages, began) = (stages.collect::<Vec<_>>().join(", "), *self.began.get_or_insert_with(Instant::now));
            let (at, events) = (began.elapsed().as_secs_f64(), progress.events - self.events);
            self.events = progress.events;
            self.batches.push((progress.batch_took, format!("{stages}; {events} events, at {at:.1} s")));
        }
        self.before = progress.stages;
    }
}
