//! Reads and contigs: one embedding a record, or one for each window of it.
//!
//! A unit ends where no record is under way, so that nothing has to be kept between units but the reader's position.

#[cfg(feature = "cluster")]
mod ahead;
#[cfg(feature = "cluster")]
pub(crate) mod records;

use std::{num::NonZeroU64, sync::Arc};

use futures::executor::block_on;
use serde::{Deserialize, Serialize};
use unspool_ingest::{
    Batch, Source,
    reads::{self, ReadOptions},
    tables::{Layout, SeriesOptions},
};
use unspool_model::Model;

use super::{
    BatchJob,
    crew::Crew,
    error::{Error, Result},
    files::FileEntry,
    manifest::Manifest,
    run::Report,
    unit::{Place, Unit},
};
use crate::{
    Embed, EmbedOptions, Job, Pooling, Summary,
    embed::KeptColumns,
    stream::emit::{self, Give},
};

/// The columns of the reads schema that an embedding needs.
const COLUMNS: [&str; 4] = ["id", "start", "last", "sequence"];
/// Threads that decompress a BAM file's blocks.
const BGZF_WORKERS: usize = 2;

/// What is asked of reads.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ReadsOrder {
    layer: Option<usize>,
    pool: emit::Pooling,
    window: Option<NonZeroU64>,
    keep: Vec<String>,
    max_sequences: usize,
}

/// A run over reads.
pub(super) struct ReadsRun<'a, 'r> {
    unit: Unit<'a, 'r>,
    #[cfg(feature = "cluster")]
    crew: &'a Crew,
    embed: Embed,
    /// Records that were read.
    records: u64,
}

impl<'a, 'r> ReadsRun<'a, 'r> {
    /// Goes on from a manifest.
    ///
    /// # Errors
    /// When the model does not give what the job asks for.
    pub(super) fn new(
        place: Place<'a>,
        (crew, manifest): (&'a Crew, Manifest),
        report: (&'a mut Summary, &'a mut Report<'r>),
    ) -> Result<Self> {
        let embed = embed(place.job, crew.model())?.numbered_from(manifest.series);
        let (records, schema) = (manifest.series, embed.schema());
        Ok(Self {
            unit: Unit::new(place, (manifest, schema), report)?,
            #[cfg(feature = "cluster")]
            crew,
            embed,
            records,
        })
    }

    pub(super) fn run(mut self) -> Result<Manifest> {
        #[cfg(feature = "cluster")]
        let crew = self.crew;
        let Self { unit, embed, records, .. } = &mut self;
        unit.each_file(|unit, files| {
            files.iter().try_for_each(|entry| {
                #[cfg(feature = "cluster")]
                if let Some(cluster) = crew.as_cluster() {
                    return ahead::read(unit, (cluster, &mut *records), entry);
                }
                read(unit, (&mut *embed, &mut *records), entry)
            })
        })?;
        self.unit.manifest.complete = true;
        commit(&mut self.unit, self.records)?;
        Ok(self.unit.manifest)
    }
}

/// The job over one file's rows.
///
/// # Errors
/// When the model has no such layer, or gives no embeddings of reads.
pub(super) fn embed(job: &BatchJob, model: &Arc<Model>) -> Result<Embed> {
    order(job, model)?.embed(model, job.pack_tokens)
}

/// What a job asks of reads.
fn order(job: &BatchJob, model: &Model) -> Result<ReadsOrder> {
    let Give::Embedding { layer, pool, .. } = &job.give else {
        let name = &model.info().name;
        return Err(Error::Settings(format!(
            "give: {name} is a model of reads, which gives embeddings alone; leave `model` out for series"
        )));
    };
    if job.sort.is_some() {
        return Err(Error::Settings("input.sort: reads have no times".into()));
    }
    let SeriesOptions { id, time, values, layout, .. } = &job.columns;
    let of_series = [
        ("id", id.is_some()),
        ("time", time.is_some()),
        ("values", !values.is_empty()),
        ("lists", *layout != Layout::Long),
    ];
    if let Some((name, _)) = of_series.iter().find(|(_, named)| *named) {
        return Err(Error::Settings(format!("input.{name}: it is of series; leave it out for reads")));
    }
    kept(&job.columns.keep)?;
    Ok(ReadsOrder {
        layer: *layer,
        pool: *pool,
        window: job.window.and_then(NonZeroU64::new),
        keep: job.columns.keep.clone(),
        max_sequences: job.max_series.max(job.columns.batch_rows),
    })
}

impl ReadsOrder {
    /// The job over rows.
    pub(crate) fn embed(&self, model: &Arc<Model>, pack_tokens: usize) -> Result<Embed> {
        let pooling = match (self.pool, self.window) {
            (_, Some(bases)) => Pooling::Window(bases),
            (emit::Pooling::Mean, None) => Pooling::Mean,
            (emit::Pooling::Last, None) => Pooling::Last,
            (emit::Pooling::Max, None) => Pooling::Max,
        };
        let options = EmbedOptions { pooling, layer: self.layer, pack_tokens, max_sequences: self.max_sequences };
        Ok(Embed::new(Arc::clone(model), options)?.keeping(kept(&self.keep)?))
    }
}

/// The columns of reads that go along.
fn kept(names: &[String]) -> Result<KeptColumns> {
    KeptColumns::parse(names).map_err(|problem| Error::Settings(format!("input.keep: {problem}")))
}

/// Reads a file, from where the last unit ended in it.
fn read(unit: &mut Unit<'_, '_>, (embed, records): (&mut Embed, &mut u64), entry: &FileEntry) -> Result<()> {
    let before = unit.summary.progress.bytes_read;
    let file = unit.place.lake.bring(entry, &unit.place.job.columns)?;
    let here = file.path().display().to_string();
    let mut source = reads::open(file.path(), &options(unit)?)?;
    let read = loop {
        let batch = match block_on(source.next()) {
            Ok(Some(batch)) => batch,
            Ok(None) => break Ok(()),
            Err(error) => break Err(Error::from(error)),
        };
        let Batch { rows, rejects, next, .. } = batch;
        unit.read((rows.num_rows() as u64 + rejects.len() as u64, &here), entry, rejects)?;
        unit.summary.progress.bytes_read = before + source.progress().map_or(0, |(read, _)| read);
        let refused = embed.push(&rows)?;
        unit.keep_rejects(&refused)?;
        work_off(unit, embed)?;
        unit.manifest.position = Some(next);
        if let Some(begun) = embed.records().filter(|_| unit.events >= unit.place.job.unit_rows) {
            *records = begun;
            commit(unit, begun)?;
        }
    };
    // What the file's end, or its damage, has cut off.
    let refused = embed.end()?;
    unit.keep_rejects(&refused)?;
    work_off(unit, embed)?;
    *records = embed.records().unwrap_or(*records);
    read
}

/// How a file is read, from where the last unit ended in it.
fn options(unit: &Unit<'_, '_>) -> Result<ReadOptions> {
    let whole = ReadOptions::default();
    let kept = kept(&unit.place.job.columns.keep)?;
    Ok(kept.read(ReadOptions {
        columns: Some(COLUMNS.map(String::from).to_vec()),
        reference: unit.place.job.reference.clone(),
        bgzf_workers: BGZF_WORKERS,
        start: unit.manifest.position,
        // A unit ends with a batch: no batch is longer than a unit.
        batch_bases: whole.batch_bases.min(usize::try_from(unit.place.job.unit_rows).unwrap_or(usize::MAX)).max(1),
        ..whole
    }))
}

/// Runs what waits.
fn work_off(unit: &mut Unit<'_, '_>, embed: &mut Embed) -> Result<()> {
    while let Some(step) = embed.step()? {
        unit.encoded(step.events);
        unit.keep(step.rows)?;
        unit.keep_rejects(&step.rejects)?;
        unit.step()?;
    }
    Ok(())
}

fn commit(unit: &mut Unit<'_, '_>, records: u64) -> Result<()> {
    unit.manifest.series = records;
    unit.commit(|_| Ok((vec![], vec![])))
}
