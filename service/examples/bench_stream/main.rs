//! How fast stream jobs are, beside a raw consumer and the encoder alone, on one machine with the broker:
//! `.ci/kafka.sh start DIR; cargo run --release -p unspool --example bench_stream -- 127.0.0.1:19092`
//! With a second argument, `recovery`, that part alone. Without a broker, states on the disk: `... -- series 1000000 DIR` (needs 80 GB there).

mod recovery;
mod series;

use std::{
    collections::HashMap,
    error::Error,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::{Headers, Message},
};
use unspool_ingest::kafka::{
    Content, Decoder, Fields, Format, Location, Record, Rejected, TimeFrom, TimeUnit,
    client::{Admin, Connection, Group, Writer},
};
use unspool_model::{Events, Item, Model, Options, RunOptions, State};
use unspool_pipelines::{
    Cancel,
    stream::{
        self, Observer, Progress, StreamJob,
        core::CoreOptions,
        emit::{self, Emit, Every, Give},
        job::{Begin, Guarantee, NewPartitions, Output, Pace, To},
        time::TimeOptions,
    },
};

type Done<T = ()> = Result<T, Box<dyn Error>>;

const PARTITIONS: i32 = 8;
const SERIES: usize = 1000;
const MESSAGES: usize = 400_000;
const RATE: usize = 2000;
const SECONDS: usize = 20;

fn main() -> Done {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let bootstrap = arguments.first().cloned().ok_or("give a broker's address, HOST:PORT")?;
    if let [mode, count, dir] = &arguments[..]
        && mode == "series"
    {
        return series::run(count.parse()?, dir.as_ref(), 4 << 30);
    }
    let connection = Connection { bootstrap, ..Connection::default() };
    let model = Arc::new(Model::series(RunOptions::cpu())?);
    if let [_, name, dir] = &arguments[..] {
        return recovery::victim(&job(&connection, name, dir.as_ref()), &model);
    }
    println!(
        "{} messages of {SERIES} series, {PARTITIONS} partitions; {} ({})",
        MESSAGES,
        model.info().name,
        model.info().route
    );
    let name = format!("bench-{}", uuid::Uuid::new_v4().simple());
    let folder = tempfile::tempdir()?;
    let admin = Admin::new(&connection)?;
    if arguments.get(1).is_some_and(|part| part == "recovery") {
        return recovery::run(&connection, (&admin, &model));
    }
    let decode = decode();
    println!("decode JSON to Arrow, one thread    {decode:>9.0} messages/s");
    let encoder = encoder(&model)?;
    println!("encoder, {SERIES} series side by side     {encoder:>9.0} events/s");
    let job = job(&connection, &name, folder.path());
    admin.create(&job.topic, PARTITIONS, &[])?;
    admin.create(&scores(&name), PARTITIONS, &[])?;
    fill(&connection, &job.topic, MESSAGES)?;
    let raw = raw(&connection, &job.topic)?;
    println!("raw consumer                        {raw:>9.0} messages/s");
    let whole = whole(&job, &model)?;
    println!(
        "the whole job, exactly once         {whole:>9.0} messages/s: {:.0} % of the slower of the two",
        100.0 * whole / raw.min(encoder)
    );
    latency(&connection, (&admin, &model), folder.path())?;
    recovery::run(&connection, (&admin, &model))
}

fn fields() -> Fields {
    Fields {
        id: Location::Key,
        time: TimeFrom::Field("t".into()),
        time_unit: TimeUnit::Step,
        content: Content::Values(vec!["v".into()]),
    }
}

fn payload(n: usize) -> (String, String) {
    let (series, t) = (n % SERIES, n / SERIES);
    let value = ((t as f64) / 9.0 + series as f64).sin() * 40.0 + 100.0;
    (format!("series-{series}"), format!(r#"{{"sensor":"{series}","unit":"kWh","t":{t},"v":{value},"ok":true}}"#))
}

/// Messages decoded a second, 1,000 at a time.
fn decode() -> f64 {
    let payloads: Vec<(String, String)> = (0..100_000).map(payload).collect();
    let records: Vec<Record<'_>> = payloads
        .iter()
        .enumerate()
        .map(|(n, (key, payload))| Record {
            offset: n as i64,
            key: Some(key.as_bytes()),
            payload: Some(payload.as_bytes()),
            ..Record::default()
        })
        .collect();
    let mut decoder = Decoder::new(&Format::Json, fields()).expect("the fields go together");
    let (began, mut rows) = (Instant::now(), 0);
    for _ in 0..5 {
        rows += records.chunks(1000).map(|records| decoder.decode(records).rows.num_rows()).sum::<usize>();
    }
    rows as f64 / began.elapsed().as_secs_f64()
}

/// Events encoded a second: ten of each series at a time, as a job with a backlog has them.
fn encoder(model: &Model) -> Done<f64> {
    let options = Options { anomaly: true, ..Options::default() };
    let mut states = (0..SERIES).map(|_| model.open(&options)).collect::<Result<Vec<State>, _>>()?;
    let values: Vec<f64> = (0..10).map(|n| f64::from(n).sin()).collect();
    let (began, mut events) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(5) {
        for some in states.chunks_mut(512) {
            let mut items: Vec<Item<'_>> =
                some.iter_mut().map(|state| Item { state, events: Events::Values(&values) }).collect();
            model.append(&mut items)?;
            events += items.len() * values.len();
        }
    }
    Ok(events as f64 / began.elapsed().as_secs_f64())
}

fn fill(connection: &Connection, topic: &str, messages: usize) -> Done {
    let writer = Writer::new(connection)?;
    for n in 0..messages {
        let (key, payload) = payload(n);
        writer.write(topic, (n % SERIES % PARTITIONS as usize) as i32, (&key, &payload))?;
    }
    Ok(writer.flush()?)
}

fn consumer(connection: &Connection, topic: &str, from: Offset) -> Done<BaseConsumer> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &connection.bootstrap).set("group.id", "bench-raw");
    let consumer: BaseConsumer =
        config.set("isolation.level", "read_committed").set("fetch.wait.max.ms", "5").create()?;
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset(topic, partition, from)?;
    }
    consumer.assign(&list)?;
    Ok(consumer)
}

/// Messages a second of a consumer that does nothing with them.
fn raw(connection: &Connection, topic: &str) -> Done<f64> {
    let consumer = consumer(connection, topic, Offset::Beginning)?;
    let (began, mut count) = (Instant::now(), 0);
    while count < MESSAGES {
        count += usize::from(matches!(consumer.poll(Duration::from_secs(1)), Some(Ok(_))));
    }
    Ok(count as f64 / began.elapsed().as_secs_f64())
}

fn scores(name: &str) -> String {
    format!("{name}-scores")
}

fn job(connection: &Connection, name: &str, data_dir: &std::path::Path) -> StreamJob {
    StreamJob {
        connection: connection.clone(),
        topic: format!("{name}-in"),
        format: Format::Json,
        fields: fields(),
        registry: None,
        group: Group { name: name.to_owned(), member: "bench".into(), session_timeout_ms: 10_000, kip848: false },
        begin: Begin::Earliest,
        new_partitions: NewPartitions::Stop,
        core: CoreOptions {
            time: TimeOptions::default(),
            emit: Emit { give: Give::Scores, every: Every::Events(1) },
            states_bytes: 4 << 30,
        },
        output: Output { to: To::Topic(scores(name)), rejects: None, binary: false },
        guarantee: Guarantee::ExactlyOnce,
        pace: Pace::default(),
        data_dir: data_dir.to_owned(),
        store: None,
        allow_route_change: false,
    }
}

/// Stops a job after so many outputs.
struct Until<'a> {
    stop: &'a Cancel,
    most: usize,
    seen: usize,
    began: Option<Instant>,
    took: Duration,
}

impl Observer for Until<'_> {
    fn progress(&mut self, progress: &Progress) {
        if !progress.partitions.is_empty() {
            self.began.get_or_insert_with(Instant::now);
        }
    }

    fn committed(&mut self, outputs: &[emit::Output], _: &[Rejected]) {
        self.seen += outputs.len();
        self.took = self.began.map_or(Duration::ZERO, |began| began.elapsed());
        if self.seen >= self.most {
            self.stop.cancel();
        }
    }
}

/// Messages a second of the whole job, from its first partition to the last commit.
fn whole(job: &StreamJob, model: &Arc<Model>) -> Done<f64> {
    let stop = Cancel::default();
    let mut until = Until { stop: &stop, most: MESSAGES, seen: 0, began: None, took: Duration::ZERO };
    stream::run(job, model, &stop, &mut until)?;
    Ok(until.seen as f64 / until.took.as_secs_f64())
}

/// From a message's writing to its score's reading, at a steady rate.
fn latency(connection: &Connection, (admin, model): (&Admin, &Arc<Model>), data_dir: &std::path::Path) -> Done {
    let name = format!("bench-{}", uuid::Uuid::new_v4().simple());
    let job = job(connection, &name, data_dir);
    admin.create(&job.topic, PARTITIONS, &[])?;
    admin.create(&scores(&name), PARTITIONS, &[])?;
    let (stop, ready) = (Cancel::default(), Arc::new(AtomicBool::new(false)));
    let worker = {
        let (job, model, stop, ready) = (job.clone(), Arc::clone(model), stop.clone(), Arc::clone(&ready));
        thread::spawn(move || stream::run(&job, &model, &stop, &mut Ready(ready)).map_err(|e| e.to_string()))
    };
    while !ready.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(20));
    }
    let total = RATE * SECONDS;
    // by partition and offset, as the scores' headers name them
    let sent: Arc<Mutex<HashMap<String, Instant>>> = Arc::default();
    let writing = {
        let (connection, topic, sent) = (connection.clone(), job.topic.clone(), Arc::clone(&sent));
        thread::spawn(move || -> Result<(), String> {
            let writer = Writer::new(&connection).map_err(|e| e.to_string())?;
            let (began, mut next) = (Instant::now(), [0u64; PARTITIONS as usize]);
            for n in 0..total {
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
    };
    let reader = consumer(connection, &scores(&name), Offset::Beginning)?;
    let mut took = vec![];
    while took.len() < total {
        let Some(Ok(message)) = reader.poll(Duration::from_secs(1)) else { continue };
        let headers = message.headers().ok_or("a score has no headers")?;
        let source = headers.iter().find(|header| header.key == "unspool-source").and_then(|header| header.value);
        let source = std::str::from_utf8(source.ok_or("a score names no source")?)?;
        let at = sent.lock().map_err(|e| e.to_string())?.get(source).copied();
        took.push(at.ok_or("a score of a message that was not written")?.elapsed());
    }
    writing.join().map_err(|_| "the writer stopped")??;
    stop.cancel();
    worker.join().map_err(|_| "the worker stopped")??;
    // the first second is the connections' own
    let mut took = took.split_off(RATE);
    took.sort_unstable();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "latency at {RATE} messages/s, commits every {} ms: p50 {:.0} ms, p99 {:.0} ms, greatest {:.0} ms",
        job.pace.commit_interval.as_millis(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
    Ok(())
}

/// Says when the job has its partitions.
struct Ready(Arc<AtomicBool>);

impl Observer for Ready {
    fn progress(&mut self, progress: &Progress) {
        if progress.partitions.len() == PARTITIONS as usize {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}
