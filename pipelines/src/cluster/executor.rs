//! An executor: one model, loaded once, that runs the groups it is given.

use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use ballista_core::{config::TaskSchedulingPolicy, registry::BallistaFunctionRegistry};
use ballista_executor::{
    executor_process::{ExecutorProcessConfig, start_executor_process},
    health::ExecutorHealth,
};
use unspool_model::Model;

use super::{
    MESSAGE_BYTES,
    error::{Error, Result},
    function::{RunGroup, Runner},
    wire::About,
};

/// Groups that an executor holds at a time: one is run, the other on its way.
const GROUPS: usize = 2;
/// Memory of the engine's own operators, in bytes: they hold a row. The model's is not counted.
const POOL_BYTES: u64 = 64 << 20;
/// Results that nobody fetched are removed after so many seconds, looked for every so many.
const ORPHANS_SECONDS: (u64, u64) = (600, 60);
/// How often it is looked whether a scheduler has answered.
const LOOK: Duration = Duration::from_millis(50);

/// Where an executor works.
#[derive(Clone, Debug)]
pub struct ExecutorOptions {
    /// The scheduler's host and port.
    pub scheduler: (String, u16),
    /// How long to wait for the scheduler at the start.
    pub patience: Duration,
    /// Where drivers fetch results; port 0: any free one.
    pub listen: SocketAddr,
    /// The host by which drivers reach it; `None`: as the scheduler sees it.
    pub host: Option<String>,
    /// Tokens of a pack that suit the model's device.
    pub pack_tokens: usize,
    /// Where results lie until they are fetched; `None`: in the system's folder for temporary files.
    pub work_dir: Option<PathBuf>,
}

/// Runs groups until a signal (SIGINT or SIGTERM) comes: those under way are finished first. `ready` is told when a scheduler has
/// answered.
///
/// # Errors
/// When no scheduler answers in time, or the engine fails.
pub async fn execute(
    options: &ExecutorOptions,
    model: Arc<Model>,
    ready: impl FnOnce(SocketAddr, &About) + Send + 'static,
) -> Result<()> {
    let failed = |problem: String| Error::Engine(format!("the executor: {problem}"));
    let address = free(options.listen).map_err(|error| failed(format!("{}: {error}", options.listen)))?;
    let parent = options.work_dir.clone().unwrap_or_else(std::env::temp_dir);
    let folder = tempfile::Builder::new().prefix("unspool-executor-").tempdir_in(&parent);
    let folder = folder.map_err(|error| failed(format!("{}: {error}", parent.display())))?;
    let pack_tokens = options.pack_tokens;
    let about = About::of(&model, pack_tokens);
    let name =
        format!("the executor at {}:{}", options.host.clone().unwrap_or(address.ip().to_string()), address.port());
    let runner = Runner { model, pack_tokens, name, turn: Mutex::default() };
    let mut functions = BallistaFunctionRegistry::default();
    let function = Arc::new(RunGroup::function(Some(Arc::new(runner))));
    functions.scalar_functions.insert(function.name().to_owned(), function);
    let health = ExecutorHealth::new();
    let config = ExecutorProcessConfig {
        bind_host: address.ip().to_string(),
        external_host: options.host.clone(),
        port: address.port(),
        grpc_port: address.port(),
        scheduler_host: options.scheduler.0.clone(),
        scheduler_port: options.scheduler.1,
        scheduler_connect_timeout_seconds: u16::try_from(options.patience.as_secs().max(1)).unwrap_or(u16::MAX),
        vcores: GROUPS,
        task_scheduling_policy: TaskSchedulingPolicy::PullStaged,
        work_dir: Some(folder.path().display().to_string()),
        job_data_ttl_seconds: ORPHANS_SECONDS.0,
        job_data_clean_up_interval_seconds: ORPHANS_SECONDS.1,
        grpc_max_decoding_message_size: MESSAGE_BYTES,
        grpc_max_encoding_message_size: MESSAGE_BYTES,
        memory_pool_size: Some(POOL_BYTES),
        override_function_registry: Some(Arc::new(functions)),
        health: health.clone(),
        ..ExecutorProcessConfig::default()
    };
    let told = tokio::spawn(async move {
        while !health.is_ready() {
            tokio::time::sleep(LOOK).await;
        }
        ready(address, &about);
    });
    let done = start_executor_process(Arc::new(config)).await;
    told.abort();
    done.map_err(|error| failed(error.to_string()))
}

/// An address with a port: the engine tells the port to the scheduler before it listens.
fn free(address: SocketAddr) -> std::io::Result<SocketAddr> {
    TcpListener::bind(address)?.local_addr()
}
