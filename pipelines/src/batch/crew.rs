//! Who runs a job's series: threads of this process, each with a model of its own, or executors elsewhere.
//!
//! Whoever it is, all of them run [`encode::run`], and by the chunk and the batch law neither who ran a series nor which others
//! ran beside it changes a bit. What a job reads, keeps and commits is the same.

use std::{sync::Arc, thread};

use unspool_model::Model;

use super::{
    encode::{self, Order, Ran, Work},
    error::{Error, Result},
};

/// Who runs a job's series.
pub struct Crew(Kind);

enum Kind {
    /// A thread for each of these, which are the same model loaded several times.
    Threads(Vec<Arc<Model>>),
    #[cfg(feature = "cluster")]
    Cluster(Box<crate::cluster::Cluster>),
}

impl Crew {
    /// A worker for each of these models, which are the same one loaded several times: the first one for what is done once.
    ///
    /// # Errors
    /// When there is none.
    pub fn threads(models: &[Arc<Model>]) -> Result<Self> {
        match models {
            [] => Err(Error::Settings("no model".into())),
            models => Ok(Self(Kind::Threads(models.to_vec()))),
        }
    }

    /// The executors of a cluster.
    #[cfg(feature = "cluster")]
    #[must_use]
    pub fn cluster(cluster: crate::cluster::Cluster) -> Self {
        Self(Kind::Cluster(Box::new(cluster)))
    }

    /// The cluster, if it is one.
    #[cfg(feature = "cluster")]
    pub(super) fn as_cluster(&self) -> Option<&crate::cluster::Cluster> {
        if let Kind::Cluster(cluster) = &self.0 { Some(cluster) } else { None }
    }

    /// The model, for what is done here: shapes and names.
    pub(super) fn model(&self) -> &Arc<Model> {
        match &self.0 {
            Kind::Threads(models) => &models[0],
            #[cfg(feature = "cluster")]
            Kind::Cluster(cluster) => cluster.model(),
        }
    }

    /// The route on which series are run.
    pub(super) fn route(&self) -> String {
        match &self.0 {
            Kind::Threads(models) => models[0].info().route.to_string(),
            #[cfg(feature = "cluster")]
            Kind::Cluster(cluster) => cluster.about().route.clone(),
        }
    }

    /// Where it is, for people.
    pub(super) fn place(&self) -> String {
        match &self.0 {
            Kind::Threads(models) => {
                let workers = if models.len() > 1 { format!(", {} workers", models.len()) } else { String::new() };
                format!("{}{workers}", models[0].info().device)
            }
            #[cfg(feature = "cluster")]
            Kind::Cluster(cluster) => cluster.place(),
        }
    }

    /// Whether states may stay in memory from one unit to the next.
    pub(super) fn keeps_states(&self) -> bool {
        matches!(self.0, Kind::Threads(_))
    }

    /// So many bites it takes at a time, of so many events each.
    pub(super) fn bites(&self, bite_events: usize) -> usize {
        match &self.0 {
            Kind::Threads(models) => {
                let _ = bite_events;
                models.len()
            }
            #[cfg(feature = "cluster")]
            Kind::Cluster(cluster) => cluster.bites(bite_events),
        }
    }

    /// Runs series; the answers come in the works' order.
    ///
    /// # Errors
    /// When the model refuses, or a cluster does not answer.
    pub(super) fn run(&self, order: &Order, works: Vec<Work>, pack_events: usize) -> Result<Vec<Ran>> {
        match &self.0 {
            Kind::Threads(models) => {
                shared(models, works, |model, works| encode::run(model, order, (works, pack_events)))
            }
            #[cfg(feature = "cluster")]
            Kind::Cluster(cluster) => cluster.run(order, works),
        }
    }
}

/// Shares work among models, a thread each; their answers in the work's order.
fn shared<T: Send>(
    models: &[Arc<Model>],
    mut works: Vec<Work>,
    run: impl Fn(&Model, Vec<Work>) -> Result<Vec<T>> + Sync,
) -> Result<Vec<T>> {
    let [first, others @ ..] = models else { return Ok(vec![]) };
    if others.is_empty() || works.len() < 2 {
        return run(first, works);
    }
    let total: usize = works.iter().map(|work| work.values.len() + 1).sum();
    let share = total.div_ceil(models.len());
    let (mut cuts, mut taken) = (vec![], 0);
    for (at, work) in works.iter().enumerate() {
        taken += work.values.len() + 1;
        if taken >= share * (cuts.len() + 1) && cuts.len() < others.len() {
            cuts.push(at + 1);
        }
    }
    let mut shares: Vec<Vec<Work>> = cuts.into_iter().rev().map(|cut| works.split_off(cut)).collect();
    shares.push(works);
    shares.reverse();
    let run = &run;
    thread::scope(|scope| {
        let threads: Vec<_> =
            models.iter().zip(shares).map(|(model, share)| scope.spawn(move || run(model, share))).collect();
        let mut all = vec![];
        for thread in threads {
            all.extend(thread.join().map_err(|_| Error::Job(crate::Error::WorkerGone))??);
        }
        Ok(all)
    })
}
