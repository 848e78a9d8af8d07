//! `unspool sessions import`: what a batch job has come to of each series, into the sessions of a server.

use std::{path::PathBuf, sync::Arc, time::Duration};

use clap::{Args, value_parser};
use unspool_model::{Digest, Events, Item, Model};
use unspool_pipelines::{
    batch::{Manifest, SavedSeries, saved_states},
    store::{Key, Spec, Store, StoreOptions},
};

use super::registry;
use crate::{
    args::DeviceArgs,
    error::{Error, Result},
    print,
    serve::{ANYONE, check_id, now},
};

/// Examples, for `unspool sessions import --help`.
pub(super) const HELP: &str = "Example:\n  unspool run job.toml\n  unspool sessions import --data-dir sessions --from scores\n  unspool \
                               serve --data-dir sessions\n\nEach series becomes a session of its name, whose next append goes on behind \
                               the job's last row: with the bits of one session over all. Sessions count no times: rows that are \
                               missing from a grid are appended as missing values (NaN). What cannot be taken over is named, and \
                               the rest is; started again it takes what is missing.";

/// `unspool sessions import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The folder of a server that is stopped; made if it is missing
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// The output folder of the batch job
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// The job's model, if it is not built in: its directory
    #[arg(long, value_name = "DIR")]
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
    let models = registry(args.model.as_deref(), args.device)?;
    let from = args.from.display();
    let manifest = Manifest::read(&args.from)?;
    let none = || Error::Usage(format!("{from} holds no batch job's output: there is no _manifest.json"));
    let of = manifest.ok_or_else(none)?.identity.get("model").cloned().unwrap_or_default();
    let digest = of.rsplit_once('(').and_then(|(_, digest)| digest.trim_end_matches(')').parse::<Digest>().ok());
    let model = digest.and_then(|digest| models.get(digest));
    let model = model.ok_or_else(|| Error::Usage(format!("{from} is the output of {of}: name it with --model")))?;
    let store = Store::open(Some(&args.data_dir), StoreOptions::default(), models);
    let store = store.map_err(unspool_pipelines::Error::from)?;
    let (mut all, mut left) = (0u64, 0u64);
    saved_states(&args.from, &model, &mut |series| {
        all += 1;
        let (line, taken) = match begin(&store, &model, (&series, args)) {
            Ok(line) => (line.to_owned(), true),
            Err(problem) => (problem, false),
        };
        left += u64::from(!taken);
        if !args.quiet || !taken {
            // Whoever reads the list may have gone: the work goes on.
            let _ = print(&format!("{}: {line}", series.id));
        }
        Ok(())
    })?;
    store.drain().map_err(unspool_pipelines::Error::from)?;
    match left {
        0 => Ok(()),
        left => Err(Error::Usage(format!("{left} of {all} series were not taken over"))),
    }
}

/// Begins a series' session; what to say of it.
fn begin(
    store: &Store,
    model: &Arc<Model>,
    (series, args): (&SavedSeries, &ImportArgs),
) -> Result<&'static str, String> {
    check_id(&series.id).map_err(|problem| format!("it is no session's id: {problem}"))?;
    let text = |error: unspool_model::Error| error.to_string();
    let mut state = model.restore(&series.state).map_err(text)?;
    if !series.held_back.is_empty() {
        model.append(&mut [Item { state: &mut state, events: Events::Values(&series.held_back) }]).map_err(text)?;
    }
    let ttl = Some(Duration::from_secs(args.ttl_s));
    let spec = Spec { model: model.info().digest, options: state.options().clone(), ttl };
    let key = Key::new(args.tenant.as_bytes(), &series.id);
    if let Ok(there) = store.info(&key, now()) {
        let same = (there.spec.model, &there.spec.options, there.number, there.position);
        if same == (spec.model, &spec.options, 0, state.position()) {
            return Ok("it is there already");
        }
    }
    // All of them are waited for at the end.
    drop(store.begin(&key, (&spec, &state), now()).map_err(|error| error.to_string())?);
    Ok("taken over")
}
