//! A job from its start, or from where it was killed, to its end.

use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    ops::ControlFlow,
    path::Path,
    sync::Arc,
    time::Instant,
};

use futures::executor::block_on;
use unspool_ingest::{Batch, Position, Reject, Source, schema::TimeKind, tables::SeriesOptions};
use unspool_model::Model;

use super::{
    BatchJob, OnCorrupt, Plan,
    core::{self, Core, Given},
    error::{Error, Result},
    files::FileEntry,
    lake::{Lake, is_corrupt, source},
    manifest::{Manifest, SegmentEntry},
    part::{self, Part},
    states,
};
use crate::{Progress, Summary};

/// How many rejects a [`Summary`] shows.
const SHOWN_REJECTS: usize = 3;

/// Told of every step; a break stops the job, which goes on from its last unit when it is run again.
pub type Report<'a> = dyn FnMut(&Progress) -> ControlFlow<()> + 'a;

/// Says what [`run`] would do; changes nothing.
///
/// # Errors
/// As [`run`], where it would not even begin.
pub fn plan(job: &BatchJob, model: &Arc<Model>) -> Result<Plan> {
    core::options(job, model)?;
    let manifest = Manifest::read(&job.output)?;
    if manifest.is_none() {
        part::refuse_foreign(&job.output)?;
    }
    let (lake, files, time) = look(job, model, manifest.as_ref())?;
    let files = files.iter().map(|entry| (lake.path(entry).display().to_string(), entry.bytes)).collect();
    Ok(Plan { files, time, manifest })
}

/// Does what is not finished yet: the rest of a run that was killed, then the files that are new.
///
/// # Errors
/// When the settings are not those of what the output folder holds; a file that was read before is missing or changed;
/// the input, the model or the disk fails; or `report` says stop ([`crate::Error::Cancelled`]).
pub fn run(job: &BatchJob, model: &Arc<Model>, report: &mut Report<'_>) -> Result<Summary> {
    let began = Instant::now();
    plan(job, model)?;
    let dir = &job.output;
    fs::create_dir_all(dir).map_err(|source| Error::io(dir, &source))?;
    let _lock = lock(dir)?;
    let manifest = Manifest::read(dir)?;
    let (lake, _, time) = look(job, model, manifest.as_ref())?;
    part::tidy(dir, manifest.as_ref())?;
    let mut manifest = match (manifest, time) {
        (Some(manifest), _) => manifest,
        (None, Some(time)) => Manifest::new(identity(job, model), time),
        (None, None) => return Err(Error::Settings("input.paths: all files are damaged".into())),
    };
    let mut summary = Summary { progress: Progress::default(), first_rejects: vec![], elapsed: began.elapsed() };
    loop {
        if manifest.complete {
            let new = lake.new_files(Some(&manifest));
            if new.is_empty() {
                break;
            }
            manifest.files.extend(new);
            (manifest.run, manifest.complete) = (manifest.run + 1, false);
            manifest.write(dir)?;
        }
        manifest = Running::new((job, model), &lake, manifest, (&mut summary, report))?.run()?;
    }
    summary.elapsed = began.elapsed();
    Ok(summary)
}

/// The lake, the files that are still to be read, and how they write time.
fn look(
    job: &BatchJob,
    model: &Model,
    manifest: Option<&Manifest>,
) -> Result<(Lake, Vec<FileEntry>, Option<TimeKind>)> {
    if let Some(manifest) = manifest {
        manifest.check(&identity(job, model), &job.output)?;
    }
    let lake = Lake::find(job, manifest)?;
    let mut files = manifest.map_or(vec![], |manifest| manifest.files[manifest.done..].to_vec());
    files.extend(lake.new_files(manifest));
    let known = manifest.map(|manifest| manifest.time);
    let time = lake.check(job, &files, known)?;
    Ok((lake, files, time.or(known)))
}

/// What decides the output beside the input.
fn identity(job: &BatchJob, model: &Model) -> BTreeMap<String, String> {
    let info = model.info();
    let SeriesOptions { id, time, values, layout, .. } = &job.columns;
    let text = |name: &Option<String>| name.clone().unwrap_or_else(|| "by convention".into());
    let values = if values.is_empty() { "by convention".into() } else { values.join(", ") };
    let give = serde_json::to_string(&job.give).unwrap_or_default();
    let pairs = [
        ("model", format!("{} ({})", info.name, info.digest)),
        ("route", info.route.to_string()),
        ("give", give),
        ("id column", text(id)),
        ("time column", text(time)),
        ("value columns", values),
        ("layout", format!("{layout:?}").to_lowercase()),
    ];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Keeps other processes out of the folder as long as it lives.
fn lock(dir: &Path) -> Result<File> {
    let path = dir.join("_lock");
    let file = File::create(&path).map_err(|source| Error::io(&path, &source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Error::Settings(format!("another process runs a job into {}: wait for it", dir.display())))
        }
        Err(TryLockError::Error(source)) => Err(Error::io(&path, &source)),
    }
}

/// A run under way.
struct Running<'a, 'r> {
    job: &'a BatchJob,
    lake: &'a Lake,
    core: Core,
    manifest: Manifest,
    part: Part,
    /// Rows and rejects of the unit at hand.
    unit_rows: u64,
    summary: &'a mut Summary,
    report: &'a mut Report<'r>,
}

impl<'a, 'r> Running<'a, 'r> {
    fn new(
        (job, model): (&'a BatchJob, &Arc<Model>),
        lake: &'a Lake,
        manifest: Manifest,
        (summary, report): (&'a mut Summary, &'a mut Report<'r>),
    ) -> Result<Self> {
        let mut saved = vec![];
        states::newest(&job.output, &manifest, &mut |record, state| {
            saved.push((record, model.restore(&state)?));
            Ok(())
        })?;
        let core = Core::new(job, model, (manifest.time, manifest.run), saved)?;
        let part = Part::new(&job.output, manifest.units, (&core.schema(), &job.metadata));
        Ok(Self { job, lake, core, manifest, part, unit_rows: 0, summary, report })
    }

    fn run(mut self) -> Result<Manifest> {
        while let Some(entry) = self.manifest.files.get(self.manifest.done).cloned() {
            let before = self.summary.progress.bytes_read;
            match self.read(&entry, before) {
                Err(error) if self.job.on_corrupt == OnCorrupt::Skip && is_corrupt(&error) => self.leave_out(&error)?,
                read => read?,
            }
            self.summary.progress.bytes_read = before + entry.bytes;
            (self.manifest.done, self.manifest.position) = (self.manifest.done + 1, None);
            self.step()?;
        }
        self.end()?;
        self.manifest.complete = true;
        self.commit()?;
        Ok(self.manifest)
    }

    /// Reads a file, from where the last unit ended in it.
    fn read(&mut self, entry: &FileEntry, before: u64) -> Result<()> {
        let path = self.lake.path(entry);
        let columns = SeriesOptions {
            start: self.manifest.position,
            // The core looks: the reader would say of one series too many that the file is not valid.
            max_series: usize::MAX,
            ..self.job.columns.clone()
        };
        let mut source = source(path, &columns)?;
        while let Some(batch) = block_on(source.next())? {
            let Batch { rows, rejects, next, .. } = batch;
            let read = rows.num_rows() as u64 + rejects.len() as u64;
            self.summary.progress.rows_read += read;
            self.summary.progress.bytes_read = before + source.progress().map_or(0, |(read, _)| read);
            self.keep_rejects(&rejects)?;
            let given = self.core.push(&rows, &entry.name)?;
            self.keep(given)?;
            self.manifest.position = Some(next);
            self.unit_rows += read;
            if self.unit_rows >= self.job.unit_rows {
                self.commit()?;
            }
            self.step()?;
        }
        Ok(())
    }

    /// The rest of a damaged file is one reject.
    fn leave_out(&mut self, error: &Error) -> Result<()> {
        let from = match self.manifest.position {
            Some(Position::Parquet { row_group, row, .. }) => format!("row group {row_group}, row {row} on"),
            Some(Position::Text { record, .. }) => format!("record {record} on"),
            _ => "its start on".to_owned(),
        };
        let reason = format!("{error}; the file is left out from {from}");
        let place = self.manifest.files[self.manifest.done].name.clone();
        self.keep_rejects(&[Reject { place, reason, payload: vec![] }])
    }

    /// The input has ended: gives what is due.
    fn end(&mut self) -> Result<()> {
        let due = self.core.due();
        let mut done = 0;
        while done < due.len() {
            let (series, given) = self.core.give(&due[done..])?;
            done += series;
            self.keep(given)?;
            self.summary.progress.closing = Some((done as u64, due.len() as u64));
            self.step()?;
        }
        Ok(())
    }

    fn keep(&mut self, Given { rows, rejects, events }: Given) -> Result<()> {
        self.summary.progress.events += events;
        self.summary.progress.rows_written += rows.num_rows() as u64;
        self.part.write(rows)?;
        self.keep_rejects(&rejects)
    }

    fn keep_rejects(&mut self, rejects: &[Reject]) -> Result<()> {
        self.summary.progress.rejects += rejects.len() as u64;
        let unshown = SHOWN_REJECTS.saturating_sub(self.summary.first_rejects.len());
        self.summary.first_rejects.extend(rejects.iter().take(unshown).cloned());
        self.part.write_rejects(rejects)
    }

    /// Ends the unit: its files get their names, then the manifest names it.
    fn commit(&mut self) -> Result<()> {
        let next = Part::new(&self.job.output, self.manifest.units + 1, (&self.core.schema(), &self.job.metadata));
        let part = std::mem::replace(&mut self.part, next);
        self.step()?;
        let part = part.publish()?;
        self.step()?;
        let old = self.save()?;
        self.step()?;
        self.manifest.parts.extend(part);
        self.manifest.units += 1;
        self.manifest.series = self.core.series() as u64;
        self.manifest.write(&self.job.output)?;
        self.unit_rows = 0;
        for segment in old {
            let path = self.job.output.join(states::FOLDER).join(segment.name);
            fs::remove_file(&path).map_err(|source| Error::io(&path, &source))?;
        }
        self.step()
    }

    /// Saves the states that the unit changed; or all of them, where the files would else hold more than twice as many as
    /// there are series: those files are no longer needed then.
    fn save(&mut self) -> Result<Vec<SegmentEntry>> {
        let (changed, kept) =
            (self.core.changed() as u64, self.manifest.segments.iter().map(|s| s.series).sum::<u64>());
        if changed == 0 {
            return Ok(vec![]);
        }
        let all = kept + changed > 2 * self.core.series() as u64;
        let name = format!("{:08}.states", self.manifest.units);
        let folder = self.job.output.join(states::FOLDER);
        let (draft, path) = (folder.join(format!("{name}.partial")), folder.join(&name));
        let (mut writer, mut series) = (states::Writer::create(&draft)?, 0);
        self.core.save(all, &mut |record, state| {
            series += 1;
            writer.push(record, state, &draft)
        })?;
        writer.publish(&draft, &path)?;
        let old = if all { std::mem::take(&mut self.manifest.segments) } else { vec![] };
        self.manifest.segments.push(SegmentEntry { name, series });
        Ok(old)
    }

    fn step(&mut self) -> Result<()> {
        tracing::debug!(rows = self.summary.progress.rows_read, units = self.manifest.units, "step");
        match (self.report)(&self.summary.progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(crate::Error::Cancelled.into()),
        }
    }
}
