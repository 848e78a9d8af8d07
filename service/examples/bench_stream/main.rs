//! How fast stream jobs are, beside a raw consumer and the encoder alone, on one machine with the broker:
//! `.ci/kafka.sh start DIR; cargo run --release -p unspool --example bench_stream -- 127.0.0.1:19092`
//! With a second argument, `latency` or `recovery`, that part alone. Without a broker, states on the disk: `... -- series 1000000 DIR` (39 GB of states, and as much again at times).

mod latency;
mod recovery;
mod series;

use std::{
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};
use unspool_ingest::kafka::{
    Content, Decoder, Fields, Format, Location, Record, Rejected, TimeFrom, TimeUnit,
    client::{Admin, Connection, Writer},
};
use unspool_model::{Events, Item, Model, Options, RunOptions, State};
use unspool_pipelines::{
    Cancel,
    stream::{self, Observer, Progress, Stages, StreamJob, emit},
};

type Done<T = ()> = Result<T, Box<dyn Error>>;

const PARTITIONS: i32 = 8;
const SERIES: usize = 1000;
const MESSAGES: usize = 400_000;

fn main() -> Done {
    unspool_model::prepare_process(); // as the binary does: what is measured here is what it does
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
    match arguments.get(1).map(String::as_str) {
        Some("latency") => return latency::run(&connection, (&admin, &model)),
        Some("recovery") => return recovery::run(&connection, (&admin, &model)),
        _ => (),
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
    latency::run(&connection, (&admin, &model))?;
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
    StreamJob::scores(connection, (name, data_dir), (&format!("{name}-in"), &scores(name)), fields())
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
    let progress = stream::run(job, model, &stop, &mut until)?;
    println!("    its time                            {}", shares(&progress.stages));
    Ok(until.seen as f64 / until.took.as_secs_f64())
}

/// Where a worker's time went.
fn shares(stages: &Stages) -> String {
    let sum: f64 = stages.all().iter().map(|(_, took)| took.as_secs_f64()).sum();
    let share = |(name, took): (&str, Duration)| format!("{name} {:.1} %", 100.0 * took.as_secs_f64() / sum);
    stages.all().map(share).join(", ")
}
