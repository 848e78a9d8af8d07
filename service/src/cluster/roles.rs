//! A scheduler and an executor, from what was typed to the end.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, runtime::Builder};
use unspool_pipelines::cluster::{self, About, ExecutorOptions, SchedulerOptions};

use super::{ExecutorArgs, SchedulerArgs};
use crate::{
    error::{Error, Result},
    model, print,
    progress::say,
    run,
};

/// Threads of a scheduler.
const THREADS: usize = 2;

/// Schedules until a signal comes.
///
/// # Errors
/// When the address is taken, or is not of this machine alone.
pub(super) fn scheduler(args: &SchedulerArgs) -> Result<()> {
    refuse_open(args.listen, args.allow_insecure)?;
    let (runtime, cancel) = run::stopped_by_signals_with(THREADS)?;
    let options = SchedulerOptions { executor_timeout: Duration::from_secs(args.executor_timeout_s.into()) };
    let done = runtime.block_on(async {
        let failed = |source| Error::Io { path: args.listen.to_string().into(), source };
        let listener = TcpListener::bind(args.listen).await.map_err(failed)?;
        print(&format!("unspool scheduler is ready on {}", listener.local_addr().map_err(failed)?))?;
        Ok(cluster::schedule(listener, options, cancel).await?)
    });
    runtime.shutdown_background();
    done
}

/// Runs groups until a signal comes.
///
/// # Errors
/// When the model cannot be loaded, the address is taken or not of this machine alone, or no scheduler answers.
pub(super) fn executor(args: ExecutorArgs) -> Result<()> {
    refuse_open(args.listen, args.allow_insecure)?;
    let options = ExecutorOptions {
        scheduler: cluster::address(&args.scheduler)?,
        patience: Duration::from_secs(args.patience_s.into()),
        listen: args.listen,
        host: args.host,
        pack_tokens: 0,
        work_dir: args.work_dir,
    };
    let model = Arc::new(model::by_name(args.model.as_deref(), model::options(args.device, args.threads))?);
    if let Some(warning) = model::fell_back(&model) {
        say(&format!("warning: {warning}"));
    }
    let options = ExecutorOptions { pack_tokens: model::suitable_tokens(&model), ..options };
    let runtime = Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|source| Error::Io { path: "the runtime".into(), source })?;
    let done = runtime.block_on(cluster::execute(&options, model, ready));
    runtime.shutdown_background();
    Ok(done?)
}

fn ready(address: SocketAddr, about: &About) {
    let About { model, digest, route, device, .. } = about;
    let text = format!("unspool executor is ready on {address}: {model} ({}) on {device}, {route}", &digest[..12]);
    // Who started it may not listen: it works all the same.
    let _ = print(&text);
}

/// Whoever reaches a scheduler or an executor may use it: only this machine's programs do, unless it is said otherwise.
fn refuse_open(address: SocketAddr, allowed: bool) -> Result<()> {
    if address.ip().is_loopback() || allowed {
        return Ok(());
    }
    let problem = format!("--listen {address}: whoever reaches it could use it and read what it sends");
    Err(Error::Usage(format!("{problem}: give a loopback address, or --allow-insecure in a network of your own")))
}
