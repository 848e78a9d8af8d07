//! `unspool sessions import`: what a batch or stream job has come to of each series, into the sessions of a server.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::{Args, value_parser};
use unspool_model::{Digest, Events, Item, Model, State};
use unspool_pipelines::{
    batch::{Manifest, SavedSeries, saved_states},
    store::{Key, Spec, Store, StoreOptions},
    stream::{self, Saved, SavedPartition},
};

use super::registry;
use crate::{
    args::DeviceArgs,
    error::{Error, Result},
    print,
    serve::{ANYONE, check_id, now},
};

/// Examples, for `unspool sessions import --help`.
pub(super) const HELP: &str = "Examples:\n  unspool run job.toml\n  unspool sessions import --data-dir sessions --from scores\n  unspool \
                               serve --data-dir sessions\n  unspool sessions import --data-dir sessions --from unspool-data\n\nEach series \
                               becomes a session of its name, whose next append goes on behind the job's last row: with the bits of one session \
                               over all. Of a stream job that is what its newest snapshots hold: stop its workers first (SIGTERM has them save \
                               all; the lines tell each partition's next offset). Sessions count no times: rows that are missing from a grid are \
                               appended as missing values (NaN). What cannot be taken over is named, and the rest is; started again it takes \
                               what is missing.";

/// `unspool sessions import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The folder of a server that is stopped; made if it is missing
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// The output folder of a batch job, or the data folder of a stream job (of several: its snapshots/GROUP/TOPIC)
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// The job's model, if it is no series model that is built in: its name (dna-1) or directory
    #[arg(long, value_name = "NAME|DIR")]
    model: Option<String>,
    /// Whose sessions they become
    #[arg(long, value_name = "NAME", default_value = ANYONE)]
    tenant: String,
    /// A session ends when it was not used for so many seconds
    #[arg(long, value_name = "N", default_value = "604800", value_parser = value_parser!(u64).range(1..))]
    ttl_s: u64,
    #[command(flatten)]
    device: DeviceArgs,
    /// No lines but of what could not be taken over
    #[arg(short, long)]
    quiet: bool,
}

/// Does it.
///
/// # Errors
/// When there is no job, the server's folder is in use, the model is not to be had, or a series could not be taken over: the
/// others were.
pub(super) fn run(args: &ImportArgs) -> Result<()> {
    let from = Origin::find(&args.from)?;
    let models = registry(args.model.as_deref(), args.device)?;
    let digest = from.model().and_then(|digest| digest.parse::<Digest>().ok());
    let model = digest.and_then(|digest| models.get(digest)).ok_or_else(|| {
        let (folder, of) = (args.from.display(), from.of());
        Error::Usage(format!("{folder} is the output of {of}: name it with --model"))
    })?;
    let store = Store::open(Some(&args.data_dir), StoreOptions::default(), models);
    let store = store.map_err(unspool_pipelines::Error::from)?;
    let (mut all, mut left) = (0u64, 0u64);
    let mut take = |id: &str, state: Result<State, String>| {
        all += 1;
        let (line, taken) = match state.and_then(|state| begin(&store, (id, &state), args)) {
            Ok(line) => (line.to_owned(), true),
            Err(problem) => (problem, false),
        };
        left += u64::from(!taken);
        if !args.quiet || !taken {
            // Whoever reads the list may have gone: the work goes on.
            let _ = print(&format!("{id}: {line}"));
        }
    };
    match &from {
        Origin::Batch(_) => saved_states(&args.from, &model, &mut |series| {
            take(&series.id, restored(&model, &series));
            Ok(())
        })?,
        Origin::Stream(saved) => {
            let ends = streamed(saved, &model, &mut take)?;
            ends.iter().filter(|_| !args.quiet).for_each(|SavedPartition { partition, next, series }| {
                let _ = print(&format!("partition {partition}: {series} series, as of offset {next}"));
            });
        }
    }
    store.drain().map_err(unspool_pipelines::Error::from)?;
    match left {
        0 => Ok(()),
        left => Err(Error::Usage(format!("{left} of {all} series were not taken over"))),
    }
}

/// Where series come from.
enum Origin {
    /// The output of a batch job, and the model that the manifest names.
    Batch(String),
    /// The snapshots of a stream job.
    Stream(Box<Saved>),
}

impl Origin {
    fn find(dir: &Path) -> Result<Self> {
        if let Some(manifest) = Manifest::read(dir)? {
            return Ok(Self::Batch(manifest.identity.get("model").cloned().unwrap_or_default()));
        }
        let none = "holds no batch job's output (there is no _manifest.json), and no stream job's snapshots";
        Saved::find(dir)?
            .map(|saved| Self::Stream(saved.into()))
            .ok_or_else(|| Error::Usage(format!("{} {none}", dir.display())))
    }

    /// Its model, for people.
    fn of(&self) -> &str {
        match self {
            Self::Batch(of) => of,
            Self::Stream(saved) => saved.model(),
        }
    }

    /// The digest of its model.
    fn model(&self) -> Option<&str> {
        match self {
            Self::Batch(of) => of.rsplit_once('(').map(|(_, digest)| digest.trim_end_matches(')')),
            Self::Stream(saved) => Some(saved.model()),
        }
    }
}

/// The state of a batch job's series, with what was held back.
fn restored(model: &Model, series: &SavedSeries) -> Result<State, String> {
    let text = |error: unspool_model::Error| error.to_string();
    let mut state = model.restore(&series.state).map_err(text)?;
    if !series.held_back.is_empty() {
        model.append(&mut [Item { state: &mut state, events: Events::Values(&series.held_back) }]).map_err(text)?;
    }
    Ok(state)
}

/// A stream job's series.
fn streamed(
    saved: &Saved,
    model: &Arc<Model>,
    take: &mut dyn FnMut(&str, Result<State, String>),
) -> stream::Result<Vec<SavedPartition>> {
    saved.states(model, &mut |series| {
        take(&series.id, Ok(series.state));
        Ok(())
    })
}

/// Begins a series' session; what to say of it.
fn begin(store: &Store, (id, state): (&str, &State), args: &ImportArgs) -> Result<&'static str, String> {
    check_id(id).map_err(|problem| format!("it is no session's id: {problem}"))?;
    let ttl = Some(Duration::from_secs(args.ttl_s));
    let spec = Spec { model: state.model(), options: state.options().clone(), ttl };
    let key = Key::new(args.tenant.as_bytes(), id);
    if let Ok(there) = store.info(&key, now()) {
        let same = (there.spec.model, &there.spec.options, there.number, there.position);
        if same == (spec.model, &spec.options, 0, state.position()) {
            return Ok("it is there already");
        }
    }
    // All of them are waited for at the end.
    drop(store.begin(&key, (&spec, state), now()).map_err(|error| error.to_string())?);
    Ok("taken over")
}
