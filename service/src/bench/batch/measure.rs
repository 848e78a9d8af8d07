//! One measurement each.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use futures::executor::block_on;
use unspool_ingest::{
    Source,
    reads::{self, ReadOptions},
    tables::{self, SeriesOptions},
};
use unspool_model::{Model, Options, State};
use unspool_pipelines::{Chunk, End, Events, Limits, Owner, Scheduler, Sequence, Worker, featurise::ReadsFeaturiser};

use super::{What, data::Data};
use crate::{
    args::DeviceArgs,
    error::{Error, Result},
    model,
};

/// Values ahead of each series.
const HORIZON: usize = 24;
/// How often the memory of a job is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// A job to run.
pub(super) struct Job<'a> {
    pub(super) input: &'a Path,
    /// `None`: the built-in one.
    pub(super) model: Option<&'a Path>,
    pub(super) what: What,
    pub(super) device: DeviceArgs,
    pub(super) threads: Option<u16>,
    pub(super) workers: u16,
}

/// What a job took.
pub(super) struct Ran {
    pub(super) seconds: f64,
    pub(super) peak_gib: f64,
}

/// Seconds that reading a table takes.
pub(super) fn scan(table: &Path) -> Result<f64> {
    let start = Instant::now();
    let mut source = tables::open(&[table.to_owned()], &SeriesOptions::default())?;
    let mut rows = 0;
    while let Some(batch) = block_on(source.next())? {
        rows += batch.rows.num_rows();
    }
    if rows == 0 {
        return Err(Error::Fault);
    }
    Ok(start.elapsed().as_secs_f64())
}

/// The same with pyarrow, which yields the same columns in batches of as many rows.
pub(super) fn pyarrow(python: &Path, table: &Path) -> Result<f64> {
    let script = format!(
        "import sys, time, pyarrow.parquet as pq\n\
         start = time.perf_counter()\n\
         rows = sum(b.num_rows for b in pq.ParquetFile(sys.argv[1]).iter_batches({}, columns=['id', 'time', 'value']))\n\
         print(time.perf_counter() - start)",
        SeriesOptions::default().batch_rows
    );
    let output = Command::new(python).args(["-c", &script]).arg(table).stderr(Stdio::inherit()).output();
    let output = output.map_err(|source| Error::Io { path: python.into(), source })?;
    let seconds = String::from_utf8_lossy(&output.stdout).trim().parse();
    seconds.map_err(|_| Error::Usage(format!("--python: {} cannot read with pyarrow", python.display())))
}

/// Seconds that the encoder alone takes for the same series, in the same packs: values in memory, results thrown away.
pub(super) fn encoder(model: &Arc<Model>, data: &Data, what: What) -> Result<f64> {
    let options = match what {
        What::Forecasts => Options::default(),
        What::Scores => Options { anomaly: true, ..Options::default() },
        What::Embeddings => Options { layers: vec![model.info().config.layers], pools: true, ..Options::default() },
    };
    let patch = model.series_shape().map_or(1, |shape| shape.patch);
    let pack_events = model::suitable_tokens(model) * patch;
    let values: Vec<Vec<f64>> = (0..data.series).map(|series| data.values(series).collect()).collect();
    let start = Instant::now();
    let mut scheduler = Scheduler::new(Limits { waiting_events: usize::MAX, ..Limits::job(pack_events) });
    for (series, values) in values.into_iter().enumerate() {
        let (sequence, owner) = (Sequence(series as u64), Owner::default());
        scheduler.push_all(vec![Chunk {
            sequence,
            owner,
            events: Events::Values(values.into()),
            end: End::Complete,
        }])?;
    }
    let mut worker = Worker::new(Arc::clone(model), options, usize::MAX);
    while !scheduler.is_empty() {
        let done: Vec<State> = worker.encode(&scheduler.pack())?.into_iter().filter_map(|done| done.state).collect();
        if what == What::Forecasts {
            model.forecast(&done.iter().collect::<Vec<_>>(), HORIZON)?;
        }
    }
    Ok(start.elapsed().as_secs_f64())
}

/// Seconds that the encoder alone takes for the records of a file of reads, in packs as full as a job's, and their bases.
pub(super) fn encoder_of_reads(model: &Arc<Model>, input: &Path) -> Result<(f64, u64)> {
    let options = Options { layers: vec![model.info().config.layers], pools: true, ..Options::default() };
    let mut featuriser = ReadsFeaturiser::default();
    let mut source = reads::open(input, &ReadOptions::default())?;
    let mut chunks = vec![];
    while let Some(batch) = block_on(source.next())? {
        chunks.extend(featuriser.featurise(&batch.rows)?.chunks);
    }
    let bases = chunks.iter().map(|chunk| chunk.events.len() as u64).sum();
    let start = Instant::now();
    let limits = Limits { waiting_events: usize::MAX, ..Limits::job(model::suitable_tokens(model)) };
    let mut scheduler = Scheduler::new(limits);
    scheduler.push_all(chunks)?;
    let mut worker = Worker::new(Arc::clone(model), options, usize::MAX);
    while !scheduler.is_empty() {
        worker.encode(&scheduler.pack())?;
    }
    Ok((start.elapsed().as_secs_f64(), bases))
}

/// Runs a job in a process of its own.
pub(super) fn job(job: &Job<'_>, dir: &Path) -> Result<Ran> {
    let (output, what) = (dir.join("output"), job.what.name());
    let horizon = if job.what == What::Forecasts { format!("horizon = {HORIZON}\n") } else { String::new() };
    let absolute = |path: &Path| std::path::absolute(path).map(|path| path.display().to_string());
    let io = |source| Error::Io { path: "a job's file".into(), source };
    let model = job.model.map(absolute).transpose().map_err(io)?;
    let model = model.map_or(String::new(), |model| format!("model = {model:?}\n"));
    let text = format!(
        "{model}[input]\npaths = [{:?}]\n[give]\nwhat = \"{what}\"\n{horizon}[output]\ndir = {:?}\n",
        absolute(job.input).map_err(io)?,
        output.display().to_string(),
    );
    let file = dir.join("job.toml");
    let io = |source| Error::Io { path: file.clone(), source };
    fs::write(&file, text).map_err(io)?;
    let mut command = Command::new(std::env::current_exe().map_err(io)?);
    command.arg("run").arg(&file).args(["--quiet", "--workers", &job.workers.to_string()]);
    command.args(["--device", &job.device.device.to_string(), "--weights", &job.device.weights.to_string()]);
    if let Some(threads) = job.threads {
        command.args(["--threads", &threads.to_string()]);
    }
    let start = Instant::now();
    let mut child = command.spawn().map_err(io)?;
    let (status, mut peak_gib) = (format!("/proc/{}/status", child.id()), 0.0_f64);
    let ended = loop {
        if let Some(ended) = child.try_wait().map_err(io)? {
            break ended;
        }
        peak_gib = peak_gib.max(peak(&status));
        thread::sleep(LOOK);
    };
    let seconds = start.elapsed().as_secs_f64();
    if !ended.success() {
        return Err(Error::Usage(format!("a job failed: {ended}")));
    }
    fs::remove_dir_all(&output).map_err(|source| Error::Io { path: output, source })?;
    Ok(Ran { seconds, peak_gib })
}

/// The most memory that a process has had, in GiB; 0 where the system does not say.
fn peak(status: &str) -> f64 {
    let text = fs::read_to_string(status).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<f64>().ok());
    kib.unwrap_or(0.0) / (1 << 20) as f64
}
