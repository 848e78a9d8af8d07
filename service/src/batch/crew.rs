//! Who runs a job's series: workers of this process, or a cluster, in builds that know of such.

use std::sync::Arc;

use unspool_model::Model;
use unspool_pipelines::{Cancel, batch::Crew};

use super::BatchArgs;
use crate::{
    error::{Error, Result},
    model,
    progress::say,
};

/// Who runs a job's series, and what is to be known of them.
pub(super) struct Crewed {
    pub crew: Crew,
    /// For what is done once.
    pub model: Arc<Model>,
    /// The route of the cluster's executors.
    pub route: Option<String>,
    /// Tokens of a pack that suit them.
    pub pack_tokens: usize,
}

/// Loads the model as often as it is needed, or finds the cluster.
///
/// # Errors
/// When the model cannot be loaded, or no cluster answers.
pub(super) fn crew(args: &BatchArgs, name: Option<&str>, cancel: &Cancel) -> Result<Crewed> {
    if let Some(url) = &args.cluster {
        return clustered((url, args), name, cancel);
    }
    let threads = threads_each(args.threads, args.workers);
    let load = || Ok::<_, Error>(Arc::new(model::by_name(name, model::options(args.device, threads))?));
    let models = (0..args.workers).map(|_| load()).collect::<Result<Vec<_>>>()?;
    let Some(model) = models.first() else { return Err(Error::Usage("--workers: at least 1".into())) };
    if let (Some(warning), false) = (model::fell_back(model), args.quiet) {
        say(&format!("warning: {warning}"));
    }
    let pack_tokens = model::suitable_tokens(model);
    Ok(Crewed { crew: Crew::threads(&models)?, model: Arc::clone(model), route: None, pack_tokens })
}

#[cfg(feature = "cluster")]
fn clustered((url, args): (&str, &BatchArgs), name: Option<&str>, cancel: &Cancel) -> Result<Crewed> {
    use std::{num::NonZeroUsize, time::Duration};

    use unspool_model::{RunOptions, cpu::CpuOptions};
    use unspool_pipelines::cluster::{Cluster, ClusterOptions};

    // Here it says what shapes and names there are, and computes nothing.
    let options = RunOptions { cpu: CpuOptions { threads: 1, ..CpuOptions::default() }, ..RunOptions::cpu() };
    let model = Arc::new(model::by_name(name, options)?);
    let options = ClusterOptions {
        groups: args.cluster_groups.into(),
        group_values: args.cluster_group_values.map(NonZeroUsize::get),
        patience: Duration::from_secs(args.cluster_patience_s.into()),
        cancel: cancel.clone(),
    };
    let cluster = Cluster::connect(url, Arc::clone(&model), options)?;
    let (route, pack_tokens) = (Some(cluster.about().route.clone()), cluster.about().pack_tokens);
    Ok(Crewed { crew: Crew::cluster(cluster), model, route, pack_tokens })
}

#[cfg(not(feature = "cluster"))]
fn clustered(_: (&str, &BatchArgs), _: Option<&str>, _: &Cancel) -> Result<Crewed> {
    Err(crate::cluster::lacking("--cluster"))
}

/// The threads of each worker: as many as were asked for, else its share of the cores.
fn threads_each(threads: Option<u16>, workers: u16) -> Option<u16> {
    if threads.is_some() || workers < 2 {
        return threads;
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Some(u16::try_from(cores / usize::from(workers)).unwrap_or(u16::MAX).max(1))
}
