//! A job from its start, or from where it was killed, to its end.

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    path::PathBuf,
    sync::Arc,
    time::{Instant, SystemTime},
};

use chrono::{DateTime, SecondsFormat, Utc};
use futures::executor::block_on;
use unspool_ingest::{Batch, Source, schema::TimeKind, tables::SeriesOptions};
use unspool_model::{Front, Model};

use super::{
    BatchJob, Plan,
    core::{self, Core},
    crew::Crew,
    error::{Error, Result},
    files::FileEntry,
    lake::{Lake, source},
    manifest::Manifest,
    output::Output,
    reads::{self, ReadsRun},
    runs::RunEntry,
    unit::{Place, Unit},
};
use crate::{Progress, Summary};

/// Rows of a unit that is stretched for its series' sake, at most: they are in memory.
const MOST_UNIT_ROWS: u64 = 1 << 24;

/// Told of every step; a break stops the job, which goes on from its last unit when it is run again.
pub type Report<'a> = dyn FnMut(&Progress) -> ControlFlow<()> + 'a;

/// Says what [`run`] would do; changes nothing.
///
/// # Errors
/// As [`run`], where it would not even begin.
pub fn plan(job: &BatchJob, model: &Arc<Model>) -> Result<Plan> {
    plan_with(job, &Crew::threads(std::slice::from_ref(model))?)
}

/// As [`plan`], for those who would run it.
///
/// # Errors
/// As [`plan`].
pub fn plan_with(job: &BatchJob, crew: &Crew) -> Result<Plan> {
    fits(job, crew.model())?;
    let manifest = Output::open(job)?.manifest()?;
    let (lake, files, time) = look(job, crew, manifest.as_ref())?;
    let files = files.iter().map(|entry| (lake.shown(entry), entry.bytes)).collect();
    Ok(Plan { files, time, manifest })
}

/// Does what is not finished yet: the rest of a run that was killed, then the files that are new.
///
/// # Errors
/// When the settings are not those of what the output folder holds; a file that was read before is missing or changed;
/// the input, the model or the disk fails; or `report` says stop ([`crate::Error::Cancelled`]).
pub fn run(job: &BatchJob, model: &Arc<Model>, report: &mut Report<'_>) -> Result<Summary> {
    run_with(job, &Crew::threads(std::slice::from_ref(model))?, report)
}

/// As [`run`], by many: who they are changes no bit.
///
/// # Errors
/// As [`run`]; and when a cluster does not answer.
pub fn run_with(job: &BatchJob, crew: &Crew, report: &mut Report<'_>) -> Result<Summary> {
    let began = Instant::now();
    let model = crew.model();
    fits(job, model)?;
    let mut output = Output::open(job)?;
    let mut manifest = output.manifest()?;
    // A refusal changes nothing: only then is there a folder, and a lock.
    let (mut lake, _, mut time) = look(job, crew, manifest.as_ref())?;
    output.lock()?;
    let now = output.manifest()?;
    if now != manifest {
        manifest = now;
        (lake, _, time) = look(job, crew, manifest.as_ref())?;
    }
    output.begin(manifest.as_ref())?;
    let mut manifest = match (manifest, time) {
        (Some(manifest), _) => manifest,
        (None, Some(time)) => Manifest::new(identity(job, crew), time),
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
            (manifest.run, manifest.given) = (manifest.run + 1, 0);
            (manifest.closing, manifest.complete) = (false, false);
            output.commit(&manifest)?;
        }
        let place = Place { job, lake: &lake, output: &mut output };
        manifest = match model.info().front {
            Front::Dna => ReadsRun::new(place, (crew, manifest), (&mut summary, report))?.run()?,
            _ => Running::new(place, (crew, manifest), (&mut summary, report))?.run()?,
        };
    }
    summary.elapsed = began.elapsed();
    if summary.progress.rows_read > 0 || summary.progress.rows_written > 0 {
        let entry = RunEntry {
            began: DateTime::<Utc>::from(SystemTime::now() - summary.elapsed)
                .to_rfc3339_opts(SecondsFormat::Secs, true),
            seconds: summary.elapsed.as_secs_f64(),
            rows_read: summary.progress.rows_read,
            events: summary.progress.events,
            rows_written: summary.progress.rows_written,
            place: crew.place(),
            folder: std::path::absolute(&job.folder).unwrap_or_else(|_| job.folder.clone()),
        };
        entry.log(&job.output);
    }
    Ok(summary)
}

/// Refuses what the model does not give.
fn fits(job: &BatchJob, model: &Arc<Model>) -> Result<()> {
    if model.info().front == Front::Dna {
        return reads::embed(job, model).map(drop);
    }
    if job.window.is_some() {
        return Err(Error::Settings("give.window: it is for reads, and so for a model of DNA".into()));
    }
    core::options(job, model).map(drop)
}

/// The lake, the files that are still to be read, and how they write time.
fn look(job: &BatchJob, crew: &Crew, manifest: Option<&Manifest>) -> Result<(Lake, Vec<FileEntry>, Option<TimeKind>)> {
    if let Some(manifest) = manifest {
        manifest.check(&identity(job, crew), &job.output)?;
    }
    let lake = Lake::find(job, crew.model().info().front, manifest)?;
    let mut files = manifest.map_or(vec![], |manifest| manifest.files[manifest.done..].to_vec());
    files.extend(lake.new_files(manifest));
    let known = manifest.map(|manifest| manifest.time);
    let time = lake.check(job, &files, known)?;
    Ok((lake, files, time.or(known)))
}

/// What decides the output beside the input.
fn identity(job: &BatchJob, crew: &Crew) -> BTreeMap<String, String> {
    let info = crew.model().info();
    let SeriesOptions { id, time, values, layout, keep, .. } = &job.columns;
    let text = |name: &Option<String>| name.clone().unwrap_or_else(|| "by convention".into());
    let values = if values.is_empty() { "by convention".into() } else { values.join(", ") };
    let give = serde_json::to_string(&job.give).unwrap_or_default();
    let pairs = [
        ("model", format!("{} ({})", info.name, info.digest)),
        ("route", crew.route()),
        ("give", give),
        ("id column", text(id)),
        ("time column", text(time)),
        ("value columns", values),
        ("order", if job.sort.is_some() { "sorted" } else { "as it is" }.to_owned()),
        ("layout", format!("{layout:?}").to_lowercase()),
        ("kept columns", keep.join(", ")),
        ("partitions", job.partition_by.join(", ")),
        ("window", job.window.map_or_else(|| "none".to_owned(), |bases| format!("{bases} bases"))),
    ];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// A run over series.
struct Running<'a, 'r> {
    unit: Unit<'a, 'r>,
    core: Core<'a>,
}

impl<'a, 'r> Running<'a, 'r> {
    fn new(
        place: Place<'a>,
        (crew, manifest): (&'a Crew, Manifest),
        report: (&'a mut Summary, &'a mut Report<'r>),
    ) -> Result<Self> {
        let core = Core::new(place.job, crew, &manifest)?;
        let schema = core.schema();
        Ok(Self { unit: Unit::new(place, (manifest, schema), report)?, core })
    }

    fn run(mut self) -> Result<Manifest> {
        let Self { unit, core } = &mut self;
        unit.each_file(|unit, files| read(unit, core, files))?;
        if !self.unit.manifest.closing {
            work_off(&mut self.unit, &mut self.core, true)?;
        }
        let due = self.core.due();
        if !self.unit.manifest.closing && !due.is_empty() {
            // What was read is safe before what takes long begins.
            self.unit.manifest.closing = true;
            commit(&mut self.unit, &mut self.core)?;
        }
        self.end(&due)?;
        self.unit.manifest.complete = true;
        commit(&mut self.unit, &mut self.core)?;
        Ok(self.unit.manifest)
    }

    /// The input has ended: gives what is due and was not given yet, unit by unit.
    fn end(&mut self, due: &[usize]) -> Result<()> {
        let all = due.len() as u64;
        while let Some(left) = due.get(usize::try_from(self.unit.manifest.given).unwrap_or(usize::MAX)..)
            && !left.is_empty()
        {
            for bite in self.core.give(left)? {
                let (series, given) = self.core.take(bite)?;
                self.unit.encoded(given.events);
                self.unit.keep(given.rows)?;
                self.unit.keep_rejects(&given.rejects)?;
                self.unit.manifest.given += series as u64;
                self.unit.summary.progress.closing = Some((self.unit.manifest.given, all));
                if self.unit.events >= self.unit.place.job.unit_rows && self.unit.manifest.given < all {
                    commit(&mut self.unit, &mut self.core)?;
                }
                self.unit.step()?;
            }
        }
        Ok(())
    }
}

/// Reads a file, or several that are sorted, from where the last unit ended in them.
fn read(unit: &mut Unit<'_, '_>, core: &mut Core<'_>, files: &[FileEntry]) -> Result<()> {
    let (before, job, lake) = (unit.summary.progress.bytes_read, unit.place.job, unit.place.lake);
    let brought = files.iter().map(|entry| lake.bring(entry, &job.columns));
    let brought = brought.collect::<Result<Vec<_>>>()?;
    let [entry, ..] = files else { return Ok(()) };
    let columns = SeriesOptions {
        start: unit.manifest.position,
        // The core looks: the reader would say of one series too many that the file is not valid.
        max_series: usize::MAX,
        ..job.columns.clone()
    };
    let paths: Vec<PathBuf> = brought.iter().map(|file| file.path().to_owned()).collect();
    let mut source: Box<dyn Source> = match &job.sort {
        Some(sort) => sort.open(&paths, &columns)?,
        None => Box::new(source(&paths[0], &columns)?),
    };
    let name = if files.len() > 1 { "the sorted input" } else { entry.name.as_str() };
    let here = paths[0].display().to_string();
    while let Some(batch) = block_on(source.next())? {
        let Batch { rows, rejects, next, .. } = batch;
        unit.read((rows.num_rows() as u64 + rejects.len() as u64, &here), entry, rejects)?;
        unit.summary.progress.bytes_read = before + source.progress().map_or(0, |(read, _)| read);
        let refused = core.push(&rows, name)?;
        unit.keep_rejects(&refused)?;
        unit.manifest.position = Some(next);
        let stretched = core.stretched_rows().min(MOST_UNIT_ROWS);
        if unit.rows >= job.unit_rows.max(stretched) {
            work_off(unit, core, false)?;
            commit(unit, core)?;
        }
        unit.step()?;
    }
    Ok(())
}

/// Runs what is due at a unit's end; `last`: at that of the input.
fn work_off(unit: &mut Unit<'_, '_>, core: &mut Core<'_>, last: bool) -> Result<()> {
    let (due, mut done) = (core.due_now(last), 0);
    while done < due.len() {
        let (series, events) = core.run(&due[done..], last)?;
        done += series;
        unit.encoded(events);
        unit.summary.progress.closing = Some((done as u64, due.len() as u64));
        unit.step()?;
    }
    unit.summary.progress.closing = None;
    core.scored()?.into_iter().try_for_each(|rows| unit.keep(rows))
}

fn commit(unit: &mut Unit<'_, '_>, core: &mut Core<'_>) -> Result<()> {
    unit.manifest.series = core.series() as u64;
    unit.commit(|manifest| core.commit(manifest.units, &manifest.segments))
}
