//! `unspool sessions`: work on the sessions of a server that is stopped.

mod import;

use std::{path::PathBuf, sync::Arc};

use clap::{Args, Subcommand};
use unspool_model::Digest;
use unspool_pipelines::store::{Key, Spec, Store, StoreOptions};

use crate::{
    args::DeviceArgs,
    error::{Error, Result},
    model::fell_back,
    print,
    progress::say,
    serve::{ANYONE, BUILT_IN, Config, Registry, ServeArgs, now},
};

/// Sessions looked at together.
const PAGE: usize = 1000;

/// What to do with sessions.
#[derive(Debug, Subcommand)]
pub(crate) enum SessionsCommand {
    /// Move sessions to another model, by running their kept raw history through it
    #[command(after_help = "Example:\n  unspool sessions migrate --data-dir sessions --to series-3\n\nA server keeps \
                            raw history if limits.session_history_bytes says how much. A session of which not all events \
                            are kept stays with its model, and is named.")]
    Migrate(MigrateArgs),
    /// Begin a session for each series of a batch or stream job, where the job has left it
    #[command(after_help = import::HELP)]
    Import(import::ImportArgs),
}

/// `unspool sessions migrate`.
#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    /// The sessions to move [default: all of the tenant's]
    sessions: Vec<String>,
    /// The folder of a server that is stopped
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// The model to move to: a built-in one's name, or a directory
    #[arg(long, value_name = "NAME|DIR")]
    to: String,
    /// Whose sessions
    #[arg(long, value_name = "NAME", default_value = ANYONE)]
    tenant: String,
    #[command(flatten)]
    device: DeviceArgs,
}

/// Does it.
///
/// # Errors
/// When the folder is in use or damaged, the model cannot be loaded, or a session could not be moved: the others were.
pub(crate) fn run(command: SessionsCommand) -> Result<()> {
    match command {
        SessionsCommand::Migrate(args) => migrate(args),
        SessionsCommand::Import(args) => import::run(&args),
    }
}

/// The built-in models, and another one.
fn registry(other: Option<&str>, DeviceArgs { device, weights }: DeviceArgs) -> Result<Arc<Registry>> {
    let mut model = BUILT_IN.map(str::to_owned).to_vec();
    model.extend(other.filter(|other| !BUILT_IN.contains(other)).map(str::to_owned));
    let args = ServeArgs { model, device: Some(device), weights: Some(weights), ..ServeArgs::default() };
    let models = Arc::new(Registry::load(&Config::new(args)?)?);
    if let Some(warning) = models.all().first().and_then(|model| fell_back(model)) {
        say(&format!("warning: {warning}"));
    }
    Ok(models)
}

fn migrate(MigrateArgs { sessions, data_dir, to, tenant, device }: MigrateArgs) -> Result<()> {
    if !data_dir.is_dir() {
        return Err(Error::Usage(format!("{}: there is no such folder", data_dir.display())));
    }
    let models = registry(Some(&to), device)?;
    let built_in = BUILT_IN.contains(&to.as_str());
    let target: Digest = if built_in {
        let found = models.all().into_iter().find(|model| model.info().name == to);
        found.map(|model| model.info().digest).ok_or_else(|| Error::Usage(format!("--to {to}: no such model")))?
    } else {
        Digest::of_directory(to.as_ref())?
    };
    // All the history that is there is of use.
    let options = StoreOptions { history_bytes: u64::MAX, ..StoreOptions::default() };
    let store = Store::open(Some(&data_dir), options, models).map_err(unspool_pipelines::Error::from)?;
    let keys = match sessions.is_empty() {
        true => all(&store, &tenant),
        false => sessions.iter().map(|id| Key::new(tenant.as_bytes(), id)).collect(),
    };
    let stayed = keys.iter().filter(|key| !moved(&store, key, target)).count();
    store.drain().map_err(unspool_pipelines::Error::from)?;
    match stayed {
        0 => Ok(()),
        stayed => Err(Error::Usage(format!("{stayed} of {} sessions were not moved", keys.len()))),
    }
}

fn all(store: &Store, tenant: &str) -> Vec<Key> {
    let (mut keys, mut after) = (vec![], None::<Arc<str>>);
    loop {
        let page = store.list(tenant.as_bytes(), after.as_deref(), PAGE, now());
        keys.extend(page.sessions.into_iter().map(|info| info.key));
        match page.next {
            Some(next) => after = Some(next),
            None => return keys,
        }
    }
}

/// Moves a session, and says what came of it.
fn moved(store: &Store, key: &Key, model: Digest) -> bool {
    let result = store.info(key, now()).and_then(|info| {
        if info.spec.model == model {
            return Ok("has that model already");
        }
        store.migrate(key, &Spec { model, ..info.spec }, now())?.wait()?;
        Ok("moved")
    });
    match result {
        // Whoever reads the list may have gone: the work goes on.
        Ok(what) => {
            let _ = print(&format!("{}: {what}", key.id));
            true
        }
        Err(error) => {
            let _ = print(&format!("{}: {error}", key.id));
            false
        }
    }
}
