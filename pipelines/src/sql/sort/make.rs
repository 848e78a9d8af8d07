//! Sorting files into one, within a limit of memory.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle, available_parallelism},
    time::Duration,
};

use arrow::datatypes::SchemaRef;
use datafusion::{
    catalog::streaming::StreamingTable,
    error::DataFusionError,
    execution::{
        SendableRecordBatchStream,
        disk_manager::{DiskManagerBuilder, DiskManagerMode},
        memory_pool::FairSpillPool,
        runtime_env::RuntimeEnvBuilder,
    },
    logical_expr::{SortExpr, col},
    physical_plan::{ExecutionPlan, execute_stream, streaming::PartitionStream},
    prelude::{SessionConfig, SessionContext},
};
use futures::StreamExt;
use parquet::{
    errors::ParquetError,
    file::reader::{FileReader, SerializedFileReader},
};
use tokio::{runtime, sync::mpsc, time};
use unspool_ingest::{Error, Result, tables::SeriesOptions};

use super::{FileSort, rows, stream::Files};
use crate::sink::{Writer, problem, sync_folder};

/// The key of the sorted file's metadata that says what was sorted.
const OF: &str = "unspool.sorted";
/// How often whoever waits is told of bytes read.
const TICK: Duration = Duration::from_millis(100);
/// What a thread's part of a sort needs to be of use, in bytes: merging the parts takes memory that cannot be spilled.
const THREAD_MEMORY: usize = 64 << 20;
/// So many bytes of a file's beginning and of its end tell whether it is the same.
const EDGE_BYTES: u64 = 64 << 10;

/// What is sorted.
pub(super) struct Request {
    pub(super) sort: FileSort,
    pub(super) columns: SeriesOptions,
    pub(super) files: Vec<PathBuf>,
    /// Of the files' rows.
    pub(super) schema: SchemaRef,
}

/// How far a sort is.
#[derive(Debug)]
pub(super) enum Event {
    /// So many bytes were read so far.
    Read(u64),
    /// The sorted file is there.
    Sorted(PathBuf),
}

/// Sorts on a thread of its own, until the receiver is closed or all is sorted.
pub(super) fn spawn(request: Request) -> (mpsc::Receiver<Result<Event>>, Option<JoinHandle<()>>) {
    let (sender, events) = mpsc::channel(1);
    let run = move || {
        let made = make(&request, &sender);
        // Whoever has gone does not want to know.
        let _ = sender.blocking_send(made.map(Event::Sorted));
    };
    // A thread that cannot be started drops the sender: the receiver then says that the sort has gone.
    let thread = thread::Builder::new().name("sort".into()).spawn(run);
    (events, thread.ok())
}

/// The sorted file of these files: the one that is there, or a new one.
fn make(request: &Request, events: &mpsc::Sender<Result<Event>>) -> Result<PathBuf> {
    let folder = &request.sort.folder;
    let path = folder.join("sorted.parquet");
    let print = print(request)?;
    if is_of(&path, &print) {
        return Ok(path);
    }
    request.sort.tidy().map_err(|error| refused(folder, error))?;
    let spill = folder.join("spill");
    fs::create_dir_all(&spill).map_err(|source| Error::Io { path: spill.clone(), source })?;
    let most = (request.sort.memory / THREAD_MEMORY).clamp(1, request.files.len().max(1));
    let threads = available_parallelism().map_or(1, usize::from).min(most);
    let runtime = runtime::Builder::new_multi_thread().worker_threads(threads).enable_time().build();
    let runtime = runtime.map_err(|source| Error::Io { path: "the runtime".into(), source })?;
    let draft = folder.join("sorted.partial");
    let sorted = runtime.block_on(sort(request, (threads, &spill, &draft, print), events));
    // What was spilled is gone when all tasks are.
    drop(runtime);
    sorted?;
    fs::rename(&draft, &path)
        .and_then(|()| sync_folder(&path))
        .map_err(|source| Error::Io { path: path.clone(), source })?;
    Ok(path)
}

/// Tells these files, read in this way, from others.
fn print(request: &Request) -> Result<String> {
    let SeriesOptions { id, time, values, layout, frequency, .. } = &request.columns;
    let mut hasher = blake3::Hasher::new();
    let asked =
        format!("{id:?} {time:?} {values:?} {layout:?} {frequency:?} {:?}", (&request.schema, request.sort.on_corrupt));
    hasher.update(asked.as_bytes());
    for path in &request.files {
        let mut edges = || -> io::Result<()> {
            let mut file = File::open(path)?;
            let bytes = file.metadata()?.len();
            hasher.update(&bytes.to_le_bytes());
            for start in [0, bytes.saturating_sub(EDGE_BYTES)] {
                file.seek(SeekFrom::Start(start))?;
                let mut edge = vec![];
                (&file).take(EDGE_BYTES).read_to_end(&mut edge)?;
                hasher.update(&edge);
            }
            Ok(())
        };
        edges().map_err(|source| Error::Io { path: path.clone(), source })?;
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// Whether a file is there and is of these inputs.
fn is_of(path: &Path, print: &str) -> bool {
    let Ok(Ok(reader)) = File::open(path).map(SerializedFileReader::new) else { return false };
    let metadata = reader.metadata().file_metadata().key_value_metadata();
    metadata.is_some_and(|all| all.iter().any(|pair| pair.key == OF && pair.value.as_deref() == Some(print)))
}

async fn sort(
    request: &Request,
    (threads, spill, draft, print): (usize, &Path, &Path, String),
    events: &mpsc::Sender<Result<Event>>,
) -> Result<()> {
    let bytes = Arc::new(AtomicU64::new(0));
    let io = |source| Error::Io { path: draft.into(), source };
    let failed = |error: ParquetError| refused(draft, problem(error));
    let (plan, mut stream) = start(request, (threads, spill), &bytes).await.map_err(|error| explain(error, request))?;
    let schema = rows::schema(&request.schema);
    let mut writer =
        Writer::new(File::create(draft).map_err(io)?, &schema, &[(OF.to_owned(), print)]).map_err(failed)?;
    let mut ticks = time::interval(TICK);
    loop {
        let next = tokio::select! {
            next = stream.next() => next,
            _ = ticks.tick() => {
                if events.is_closed() {
                    return Err(Error::ReaderGone { input: "the sort".into() });
                }
                // One who has not taken the last one yet gets the next.
                let _ = events.try_send(Ok(Event::Read(bytes.load(Relaxed))));
                continue;
            }
        };
        let Some(rows) = next else { break };
        let rows = rows.map_err(|error| explain(error, request))?;
        let rows = rows.with_schema(Arc::clone(&schema)).map_err(|error| refused(draft, error))?;
        writer.write(rows).map_err(failed)?;
    }
    writer.close().map_err(failed)?.sync_all().map_err(io)?;
    tracing::debug!(files = request.files.len(), spills = spills(&plan), "sorted");
    Ok(())
}

/// Begins to sort.
async fn start(
    request: &Request,
    (threads, spill): (usize, &Path),
    bytes: &Arc<AtomicU64>,
) -> Result<(Arc<dyn ExecutionPlan>, SendableRecordBatchStream), DataFusionError> {
    let FileSort { memory, disk, on_corrupt, .. } = &request.sort;
    let mode = DiskManagerMode::Directories(vec![spill.to_owned()]);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(FairSpillPool::new(*memory)))
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(mode).with_max_temp_directory_size(*disk))
        .build_arc()?;
    let mut config = SessionConfig::new().with_target_partitions(threads);
    let execution = &mut config.options_mut().execution;
    execution.sort_spill_reservation_bytes = execution.sort_spill_reservation_bytes.min(memory / (4 * threads));
    let context = SessionContext::new_with_config_rt(config, runtime);
    let schema = rows::schema(&request.schema);
    let mut groups = vec![vec![]; threads];
    for (file, number) in request.files.iter().zip(0_u32..) {
        groups[number as usize % threads].push((number, file.clone()));
    }
    let partition = |inputs| {
        let (schema, columns) = (Arc::clone(&schema), request.columns.clone());
        Arc::new(Files { schema, inputs, columns, on_corrupt: *on_corrupt, bytes: Arc::clone(bytes) })
            as Arc<dyn PartitionStream>
    };
    let table = StreamingTable::try_new(Arc::clone(&schema), groups.into_iter().map(partition).collect())?;
    let order: Vec<SortExpr> = rows::KEYS.iter().map(|key| col(*key).sort(true, true)).collect();
    let plan = context.read_table(Arc::new(table))?.sort(order)?.create_physical_plan().await?;
    let stream = execute_stream(Arc::clone(&plan), context.task_ctx())?;
    Ok((plan, stream))
}

/// How often rows were spilled.
fn spills(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let own = plan.metrics().and_then(|metrics| metrics.spill_count()).unwrap_or(0);
    own + plan.children().into_iter().map(spills).sum::<usize>()
}

/// Our own errors come back as they were; a limit says how to raise it.
fn explain(error: DataFusionError, request: &Request) -> Error {
    let FileSort { memory, disk, folder, .. } = &request.sort;
    // A limit on disk comes as the I/O error of whoever wrote: its text alone tells.
    let text = error.find_root().to_string();
    if matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)) || text.contains("allowable limit") {
        let text = text.lines().next().unwrap_or_default();
        let limits = format!("run.sort_memory = {memory} or run.sort_disk = {disk} is too little to sort in");
        return refused(folder, format!("{limits}: {text}"));
    }
    match error {
        DataFusionError::External(error) => match error.downcast::<Error>() {
            Ok(error) => *error,
            Err(error) => refused(folder, error),
        },
        DataFusionError::Context(_, error) | DataFusionError::Diagnostic(_, error) => explain(*error, request),
        DataFusionError::IoError(source) => Error::Io { path: folder.clone(), source },
        other => refused(folder, other.strip_backtrace()),
    }
}

fn refused(path: &Path, problem: impl ToString) -> Error {
    Error::Request { path: path.into(), problem: problem.to_string() }
}
