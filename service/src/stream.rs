//! `unspool stream`: a job between Kafka topics.
//!
//! ```text
//! what was typed, JOB.toml ─► file ─► config: StreamJob ─► pipelines::stream::run, watched by a View and Figures
//! ```

pub(crate) mod args;
mod clock;
mod config;
mod demo;
mod figures;
mod file;
mod view;

use std::{sync::Arc, time::Duration};

use tokio::runtime::{Builder, Runtime};
use unspool_ingest::kafka::Rejected;
use unspool_model::Model;
use unspool_pipelines::{
    Cancel,
    stream::{self, Member, Observer, Progress, StreamJob, emit::Output},
};

pub(crate) use self::args::StreamArgs;
use self::{config::describe, figures::Figures, file::File, view::View};
use crate::{
    error::{Error, Result},
    model, print,
    progress::say,
};

/// Runs a job until SIGTERM or Ctrl-C.
///
/// # Errors
/// When the job's file is not understood, the environment is bad, or trouble lasts too long.
pub(crate) fn run(args: StreamArgs) -> Result<()> {
    if args.demo {
        return demo::run(&args);
    }
    let Some(path) = &args.job else {
        return Err(Error::Usage("name a job's file, JOB.toml, or say --demo (see --help)".into()));
    };
    let file = File::read(path)?;
    let model = load(&file, &args)?;
    let member = if args.check { None } else { Some(claim(&file, &args)?) };
    let job = config::job(&file, &args, (&model, member.as_ref().map_or("checked", Member::name)))?;
    if args.check {
        let plan = stream::check(&job, &model)?;
        let sample = stream::sample(&job, plan.partitions)?;
        let written = stream::rehearse(&job)?;
        return print(describe(&job, &model, (&plan, &sample, &written)).trim_end());
    }
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|source| Error::Io { path: "the runtime".into(), source })?;
    let stop = Cancel::default();
    stop_at_signals(&runtime, &stop)?;
    clock::watch(&stop);
    let figures = file.run.metrics_listen.map(|address| figures::serve(&runtime, address)).transpose()?;
    let mut watcher = Watcher { view: View::new(args.quiet), figures };
    let progress = work(&job, &model, &stop, &mut watcher)?;
    runtime.shutdown_background();
    if !args.quiet {
        view::summarize(&progress);
    }
    Ok(())
}

/// Runs the job; the thread that computes is this one.
fn work(job: &StreamJob, model: &Arc<Model>, stop: &Cancel, observer: &mut dyn Observer) -> Result<Progress> {
    Ok(stream::run(job, model, stop, observer)?)
}

fn load(file: &File, args: &StreamArgs) -> Result<Arc<Model>> {
    let options = model::options(args.device, args.threads);
    let named = file.model.as_deref().and_then(|name| model::built_in(name, options));
    let loaded = match (named, &file.model) {
        (Some(built_in), _) => built_in?,
        (None, Some(dir)) => Model::load(&file.folder.join(dir), options)?,
        (None, None) => Model::series(options)?,
    };
    if let (Some(warning), false) = (model::fell_back(&loaded), args.quiet) {
        say(&format!("warning: {warning}"));
    }
    Ok(Arc::new(loaded))
}

fn claim(file: &File, args: &StreamArgs) -> Result<Member> {
    let name = args.member.as_deref().or(file.group.member.as_deref());
    Ok(Member::claim(&config::data_dir(file, args), name)?)
}

/// A stop that takes longer than this ends as if the process were killed: nothing is lost by that.
const STOP: Duration = Duration::from_secs(25);

/// Sets the flag at SIGTERM or Ctrl-C; a second one ends the process at once, as if it were killed.
fn stop_at_signals(runtime: &Runtime, stop: &Cancel) -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let fail = |source| Error::Io { path: "signals".into(), source };
    let signals = runtime.block_on(async { Ok((signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)) });
    let (mut interrupt, mut terminate) = signals.map_err(fail)?;
    let stop = stop.clone();
    runtime.spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => (),
            _ = terminate.recv() => (),
        }
        stop.cancel();
        tokio::select! {
            _ = interrupt.recv() => (),
            _ = terminate.recv() => (),
            () = tokio::time::sleep(STOP) => {
                say("the stop takes too long: whoever comes next goes on from what is committed");
            }
        }
        std::process::exit(130);
    });
    Ok(())
}

/// Shows progress and counts it.
struct Watcher {
    view: View,
    figures: Option<Figures>,
}

impl Observer for Watcher {
    fn progress(&mut self, progress: &Progress) {
        self.view.show(progress);
        self.figures.iter_mut().for_each(|figures| figures.count(progress));
    }

    fn committed(&mut self, outputs: &[Output], rejects: &[Rejected]) {
        self.view.committed(outputs, rejects);
    }

    fn trouble(&mut self, problem: &str) {
        self.view.trouble(problem);
    }
}
