//! Where what is given goes: to the broker with every commit, or into files that get their names now and then.

use std::time::Instant;

use unspool_ingest::kafka::client::Consumer;

use super::{
    super::{
        files::{Files, Named, Unnamed},
        producer::Producer,
    },
    session::Ended,
    work::Work,
};

/// Where it goes.
pub(super) enum Outlet {
    /// Topics, or standard output.
    Broker(Producer),
    /// Files.
    Files(Box<Files>),
}

impl Outlet {
    /// A partition went.
    pub(super) fn drop_partition(&mut self, partition: i32) {
        if let Self::Files(files) = self {
            files.drop_partition(partition);
        }
    }
}

impl Work<'_> {
    /// Gives files their names that are due, or all of them: that is their commit.
    pub(super) fn name_files(&mut self, consumer: &Consumer, all: bool) -> Result<(), Ended> {
        let Outlet::Files(files) = &mut self.outlet else { return Ok(()) };
        for partition in files.due(all) {
            let begun = Instant::now();
            let Some(Named { next, outputs, rejects }) = files.name(partition)? else { continue };
            if let Some(here) = self.here.get_mut(&partition) {
                here.committed = next;
            }
            let progress = &mut *self.progress;
            progress.commit_took = begun.elapsed();
            progress.stages.commit += progress.commit_took;
            progress.transactions += 1;
            progress.outputs += outputs;
            rejects.iter().for_each(|(kind, count)| *progress.rejects.entry(*kind).or_default() += count);
            // For those who look at the group's lag; where the job goes on stands in the files.
            consumer.commit_soon(&[(partition, next)])?;
        }
        Ok(())
    }
}

impl From<Unnamed> for Ended {
    fn from(unnamed: Unnamed) -> Self {
        match unnamed {
            Unnamed::Taken(problem) => Self::Again(problem),
            Unnamed::Bad(error) => Self::Bad(error),
        }
    }
}
