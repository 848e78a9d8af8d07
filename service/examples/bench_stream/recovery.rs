//! What it takes to go on after a kill: a worker process is killed in the middle of a backlog, and this one takes over.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use unspool_ingest::kafka::{
    Decoder, Format, Record, Rejected,
    client::{Admin, Connection},
};
use unspool_model::Model;
use unspool_pipelines::{
    Cancel,
    stream::{self, Observer, Progress, StreamJob, core::Core, emit, snapshot::Snapshots},
};

use super::{Done, PARTITIONS, SERIES, fields, fill, job, payload, scores};

/// Messages of the backlog, and how many of them are committed when the worker is killed.
const BACKLOG: usize = 200_000;
const KILLED_AT: usize = 100_000;
/// Snapshots are made this often: so long a gap is replayed at most.
const SNAPSHOTS: Duration = Duration::from_secs(2);

/// The worker that is killed: tells what it has committed, line by line.
pub(crate) fn victim(job: &StreamJob, model: &Arc<Model>) -> Done {
    struct Tell(usize);
    impl Observer for Tell {
        fn progress(&mut self, _: &Progress) {}

        fn committed(&mut self, outputs: &[emit::Output], _: &[Rejected]) {
            self.0 += outputs.len();
            println!("{}", self.0);
            let _ = std::io::stdout().flush();
        }
    }
    stream::run(&slow(job), model, &Cancel::default(), &mut Tell(0))?;
    Ok(())
}

fn slow(job: &StreamJob) -> StreamJob {
    let mut job = job.clone();
    job.pace.snapshot_interval = SNAPSHOTS;
    job
}

pub(crate) fn run(connection: &Connection, (admin, model): (&Admin, &Arc<Model>)) -> Done {
    let name = format!("bench-{}", uuid::Uuid::new_v4().simple());
    let folder = tempfile::tempdir()?;
    let job = slow(&job(connection, &name, folder.path()));
    admin.create(&job.topic, PARTITIONS, &[])?;
    admin.create(&scores(&name), PARTITIONS, &[])?;
    fill(connection, &job.topic, BACKLOG)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args([&connection.bootstrap, &name]).arg(folder.path()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
    for line in lines {
        if line?.parse::<usize>()? >= KILLED_AT {
            break;
        }
    }
    child.kill()?;
    child.wait()?;
    restored(&job, model)?;
    let stop = Cancel::default();
    let mut watch = Watch { stop: &stop, began: Instant::now(), assigned: None, first: None, replayed: 0, seen: 0 };
    let progress = stream::run(&job, model, &stop, &mut watch)?;
    let seconds = |at: Option<Duration>| at.unwrap_or_default().as_secs_f64();
    println!(
        "after a kill: partitions in {:.1} s, the first new commit after {:.1} s; {} messages replayed, {} states of {SERIES} brought back",
        seconds(watch.assigned),
        seconds(watch.first),
        watch.replayed,
        progress.states.raised,
    );
    Ok(())
}

/// How fast states come back: all of them, with one event each, beside reading the files alone.
fn restored(job: &StreamJob, model: &Arc<Model>) -> Done {
    let dir = job.data_dir.join("snapshots").join(&job.group.name).join(&job.topic);
    let snapshots = Snapshots::new(dir, job.identity(model));
    let found: Vec<_> = (0..PARTITIONS).map(|p| snapshots.newest(p, i64::MAX)).collect::<Result<_, _>>()?;
    let mut named = vec![];
    for (partition, manifest) in (0..).zip(&found) {
        let segments = manifest.iter().flat_map(|manifest| &manifest.segments);
        named.extend(segments.map(|segment| snapshots.partition(partition).join(&segment.name)));
    }
    let cold = forget();
    let began = Instant::now();
    let bytes: usize = named.iter().map(|path| Ok(std::fs::read(path)?.len())).sum::<Result<_, std::io::Error>>()?;
    let disk = bytes as f64 / began.elapsed().as_secs_f64();
    forget();
    let began = Instant::now();
    let mut core = Core::new(Arc::clone(model), &job.core)?;
    let far = i64::MAX / 2;
    for (partition, manifest) in (0..).zip(found) {
        core.begin((partition, 0, far), &snapshots, manifest)?;
    }
    let events: Vec<(String, String)> = (0..SERIES).map(|n| payload(n + SERIES * 1_000_000)).collect();
    let records: Vec<Record<'_>> = (0i32..)
        .zip(&events)
        .map(|(n, (key, payload))| Record {
            partition: n % PARTITIONS,
            offset: far - 1,
            key: Some(key.as_bytes()),
            payload: Some(payload.as_bytes()),
            ..Record::default()
        })
        .collect();
    let mut decoder = Decoder::new(&Format::Json, fields())?;
    // Partitions that the killed worker had not come to have none.
    let states = core.states().series as usize;
    core.process(&decoder.decode(&records).rows, &[])?;
    let took = began.elapsed().as_secs_f64();
    let raised = core.states().raised as usize;
    if raised != states {
        return Err(format!("{raised} states came back, {states} expected").into());
    }
    let state = model.save(&model.open(&job.core.emit.options(model)?)?)?.len() * raised;
    let (packed, unpacked) = (bytes as f64 / took, state as f64 / took);
    println!(
        "restore, with one event each: {raised} states in {took:.2} s; of {:.0} MB on the disk {:.0} MB/s, {:.0} % of reading the \
         files alone ({:.0} MB/s{}); of {:.0} MB of states {:.0} MB/s, {:.0} %",
        bytes as f64 / 1e6,
        packed / 1e6,
        100.0 * packed / disk,
        disk / 1e6,
        if cold { "" } else { ", in the page cache" },
        state as f64 / 1e6,
        unpacked / 1e6,
        100.0 * unpacked / disk,
    );
    Ok(())
}

/// Has the system forget what it holds of files, where it lets us.
fn forget() -> bool {
    let synced = Command::new("sync").status().is_ok_and(|status| status.success());
    synced && std::fs::write("/proc/sys/vm/drop_caches", "1").is_ok()
}

struct Watch<'a> {
    stop: &'a Cancel,
    began: Instant,
    assigned: Option<Duration>,
    first: Option<Duration>,
    replayed: u64,
    seen: usize,
}

impl Observer for Watch<'_> {
    fn progress(&mut self, progress: &Progress) {
        if progress.partitions.len() == PARTITIONS as usize {
            self.assigned.get_or_insert_with(|| self.began.elapsed());
        }
        self.replayed = progress.replayed;
    }

    fn committed(&mut self, outputs: &[emit::Output], _: &[Rejected]) {
        self.first.get_or_insert_with(|| self.began.elapsed());
        self.seen += outputs.len();
        // The rest of the backlog is written already: it is no part of this.
        if self.seen > 20_000 {
            self.stop.cancel();
        }
    }
}
