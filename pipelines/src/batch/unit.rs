//! The unit at hand of a run: what it gave, and its commit.

use std::{ops::ControlFlow, path::PathBuf};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use unspool_ingest::{Position, Reject};

use super::{
    BatchJob, OnCorrupt, book,
    error::{Error, Result},
    files::FileEntry,
    lake::{Lake, is_corrupt},
    manifest::{Manifest, SegmentEntry},
    output::Output,
    part::Part,
    run::Report,
    segment,
};
use crate::Summary;

/// How many rejects a [`Summary`] shows.
const SHOWN_REJECTS: usize = 3;

/// What a run is made of, whatever it reads.
pub(super) struct Place<'a> {
    pub job: &'a BatchJob,
    pub lake: &'a Lake,
    pub output: &'a mut Output,
}

/// The unit at hand.
pub(super) struct Unit<'a, 'r> {
    pub place: Place<'a>,
    pub manifest: Manifest,
    pub summary: &'a mut Summary,
    report: &'a mut Report<'r>,
    schema: SchemaRef,
    part: Part,
    /// Rows and rejects read in it.
    pub rows: u64,
    /// Events encoded in it.
    pub events: u64,
}

impl<'a, 'r> Unit<'a, 'r> {
    /// Nothing yet, after what the manifest says.
    ///
    /// # Errors
    /// When the output lacks a column that the job names.
    pub(super) fn new(
        place: Place<'a>,
        (manifest, schema): (Manifest, SchemaRef),
        (summary, report): (&'a mut Summary, &'a mut Report<'r>),
    ) -> Result<Self> {
        let part = Part::new(place.job, manifest.units, &schema)?;
        Ok(Self { place, manifest, summary, report, schema, part, rows: 0, events: 0 })
    }

    /// Reads what is left of the files with `read`: one after the other, or where they are sorted all together.
    ///
    /// # Errors
    /// As `read`; a damaged file is left out from the damage on, if that is asked for.
    pub(super) fn each_file(&mut self, mut read: impl FnMut(&mut Self, &[FileEntry]) -> Result<()>) -> Result<()> {
        while let Some(left) = self.manifest.files.get(self.manifest.done..)
            && let Some(first) = left.first().cloned()
        {
            let together = if self.place.job.sort.is_some() { left.to_vec() } else { vec![first.clone()] };
            let before = self.summary.progress.bytes_read;
            match read(self, &together) {
                Err(error) if self.place.job.on_corrupt == OnCorrupt::Skip && is_corrupt(&error) => {
                    self.leave_out(&error)?;
                }
                read => read.map_err(|error| self.place.lake.named(&first, error))?,
            }
            self.summary.progress.bytes_read = before + together.iter().map(|entry| entry.bytes).sum::<u64>();
            (self.manifest.done, self.manifest.position) = (self.manifest.done + together.len(), None);
            self.step()?;
        }
        Ok(())
    }

    /// Takes what was read with some rows: how many, and those rejected, which may name the local file `here`.
    pub(super) fn read(
        &mut self,
        (rows, here): (u64, &str),
        entry: &FileEntry,
        mut rejects: Vec<Reject>,
    ) -> Result<()> {
        let shown = self.place.lake.shown(entry);
        for reject in &mut rejects {
            reject.place = reject.place.replacen(here, &shown, 1);
        }
        self.summary.progress.rows_read += rows;
        self.rows += rows;
        self.keep_rejects(&rejects)
    }

    /// The rest of a damaged file is one reject.
    fn leave_out(&mut self, error: &Error) -> Result<()> {
        let from = match self.manifest.position {
            Some(Position::Parquet { row_group, row, .. }) => format!("row group {row_group}, row {row} on"),
            Some(Position::Text { record, .. } | Position::Bgzf { record, .. }) => format!("record {record} on"),
            _ => "its start on".to_owned(),
        };
        let reason = format!("{error}; the file is left out from {from}");
        let place = self.manifest.files[self.manifest.done].name.clone();
        self.keep_rejects(&[Reject { place, reason, payload: vec![] }])
    }

    /// Counts events that were encoded.
    pub(super) fn encoded(&mut self, events: u64) {
        self.events += events;
        self.summary.progress.events += events;
    }

    /// Takes output rows.
    pub(super) fn keep(&mut self, rows: RecordBatch) -> Result<()> {
        self.summary.progress.rows_written += rows.num_rows() as u64;
        self.part.write(rows)
    }

    /// Takes rejects.
    pub(super) fn keep_rejects(&mut self, rejects: &[Reject]) -> Result<()> {
        self.summary.progress.rejects += rejects.len() as u64;
        let unshown = SHOWN_REJECTS.saturating_sub(self.summary.first_rejects.len());
        self.summary.first_rejects.extend(rejects.iter().take(unshown).cloned());
        self.part.write_rejects(rejects)
    }

    /// Ends the unit: its files get their names, then the manifest names it. `save` makes what is kept of the series
    /// durable, and gives the files that hold it, and the paths of those that are no longer needed.
    ///
    /// # Errors
    /// When the disk or the store refuses, or the job was told to stop.
    pub(super) fn commit(
        &mut self,
        save: impl FnOnce(&Manifest) -> Result<(Vec<SegmentEntry>, Vec<PathBuf>)>,
    ) -> Result<()> {
        let next = Part::new(self.place.job, self.manifest.units + 1, &self.schema)?;
        let part = std::mem::replace(&mut self.part, next);
        self.step()?;
        let (parts, rejects) = part.publish()?;
        self.step()?;
        let (segments, gone) = save(&self.manifest)?;
        self.step()?;
        let names: Vec<String> = parts.iter().chain(&rejects).map(|part| part.name.clone()).collect();
        let new = segments.iter().filter(|entry| entry.unit == self.manifest.units);
        let new: Vec<String> = new.map(|entry| format!("{}/{}", segment::FOLDER, book::name(entry.unit))).collect();
        self.place.output.put(&names)?;
        self.place.output.put(&new)?;
        self.step()?;
        self.manifest.parts.extend(parts);
        self.manifest.rejects.extend(rejects);
        self.manifest.segments = segments;
        self.manifest.units += 1;
        self.place.output.commit(&self.manifest)?;
        (self.rows, self.events) = (0, 0);
        self.place.output.clean(&names, &gone)?;
        self.step()
    }

    /// Tells how far it is; stops if it is told to.
    pub(super) fn step(&mut self) -> Result<()> {
        tracing::debug!(rows = self.summary.progress.rows_read, units = self.manifest.units, "step");
        match (self.report)(&self.summary.progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(crate::Error::Cancelled.into()),
        }
    }
}
