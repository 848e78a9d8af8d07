//! The loop: windows from threads beside it, a step, a line of the log, a checkpoint.

use std::{
    fs,
    num::NonZero,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Instant,
};

use unspool_model::{
    Device,
    series::SeriesShape,
    train::{self, Moments, PlacedTrainer, SeriesBatch, SeriesTrainer, SeriesWeights, WindowSlices},
    weights::Spec,
};

use super::{
    TrainConfig, TrainError,
    checkpoint::Checkpoints,
    data::Windows,
    log::{Line, Log},
};
use crate::Cancel;

/// Where training windows come from: a function of the number alone, so that a run can go on anywhere.
pub trait WindowSource: Send + Sync {
    /// The windows of one batch.
    fn windows(&self, number: u64) -> Windows;
}

/// How a run runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunLimits {
    /// Where to compute.
    pub device: Device,
    /// Threads that make windows (`None`: all of the machine but one).
    pub threads: Option<usize>,
    /// Seconds after which the run stops at the next checkpoint (`None`: it runs to the end).
    pub stop_after_s: Option<f64>,
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Steps done, those of earlier runs included.
    pub step: u64,
    /// Steps to do in all.
    pub steps: u64,
    /// Of the last line of the log.
    pub last: Option<Line>,
}

/// A run in a folder.
pub struct Run<'a> {
    config: &'a TrainConfig,
    source: Arc<dyn WindowSource>,
    shape: SeriesShape,
    specs: Vec<Spec>,
    start: SeriesWeights,
    trainer: PlacedTrainer,
    checkpoints: Checkpoints,
    log: Log,
    done: u64,
}

impl<'a> Run<'a> {
    /// Opens a run: goes on from its newest checkpoint, or begins with `start`.
    ///
    /// # Errors
    /// When the checkpoint is damaged, or the device is not there.
    pub fn open(
        config: &'a TrainConfig,
        source: Arc<dyn WindowSource>,
        start: SeriesWeights,
        (folder, limits): (&Path, &RunLimits),
    ) -> Result<Self, TrainError> {
        fs::create_dir_all(folder).map_err(|source| TrainError::Io { path: folder.to_owned(), source })?;
        let specs = SeriesWeights::<f32>::specs(&start.config, &start.shape);
        let checkpoints = Checkpoints::of(folder, config.train.keep);
        let mut trainer = train::trainer(limits.device, config.train.products, &start)?;
        let newest = checkpoints.newest(&specs)?;
        let done = newest.as_ref().map_or(0, |(step, _)| *step);
        if let Some((_, moments)) = &newest {
            trainer.trainer.set_moments(moments)?;
        }
        let log = Log::open(folder, done)?;
        Ok(Self { config, source, shape: start.shape.clone(), specs, start, trainer, checkpoints, log, done })
    }

    /// Where it runs, and why not on a GPU where one could have been used.
    #[must_use]
    pub fn device(&self) -> (Device, Option<&str>) {
        (self.trainer.device, self.trainer.fell_back.as_deref())
    }

    /// Steps done.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.done
    }

    /// Runs until the last step, a stop or the limit. `tell` hears of every line of the log.
    ///
    /// # Errors
    /// When the device or the system fails, or the loss is no number any more.
    pub fn run(
        &mut self,
        limits: &RunLimits,
        cancel: &Cancel,
        tell: &mut dyn FnMut(&Line),
    ) -> Result<Summary, TrainError> {
        let (begun, steps) = (Instant::now(), self.config.train.steps);
        let threads = limits.threads.unwrap_or_else(|| machine_threads().max(2) - 1).max(1);
        let stopped = AtomicBool::new(false);
        let mut last = None;
        let maker = Maker { source: &*self.source, config: self.config, shape: self.shape.clone(), stopped: &stopped };
        let (mut done, trainer, log) = (self.done, &mut *self.trainer.trainer, &mut self.log);
        let (checkpoints, specs, train) = (&self.checkpoints, &self.specs, &self.config.train);
        let result = thread::scope(|scope| {
            let queues = maker.start(scope, done..steps, threads);
            let (mut since, mut patches) = ((done, Instant::now()), 0);
            let mut go = || -> Result<(), TrainError> {
                while done < steps && !cancel.is_cancelled() {
                    let queue = &queues[usize::try_from(done % threads as u64).unwrap_or(0)];
                    let batches = queue.recv().map_err(|_| TrainError::Data("the threads that make windows have ended".into()))??;
                    let step = self.config.step(done);
                    trainer.step(&batches, &step)?;
                    patches += batches.iter().map(|batch| batch.patches() as u64).sum::<u64>();
                    done += 1;
                    let save = done % train.checkpoint_steps == 0 || done == steps;
                    if done % train.log_steps == 0 || save {
                        let line = line(trainer, (done, since.0), (patches, since.1), f64::from(step.rate))?;
                        log.add(&line)?;
                        tell(&line);
                        last = Some(line);
                        (since, patches) = ((done, Instant::now()), 0);
                        if !line.loss.is_finite() || line.skipped >= done.min(train.log_steps) {
                            return Err(TrainError::Diverged { step: done });
                        }
                    }
                    if save {
                        let mut moments = trainer.moments()?;
                        moments.round();
                        trainer.set_moments(&moments)?;
                        checkpoints.save(done, &moments, specs)?;
                        if limits.stop_after_s.is_some_and(|limit| begun.elapsed().as_secs_f64() > limit) {
                            return Ok(());
                        }
                    }
                }
                Ok(())
            };
            let result = go();
            stopped.store(true, Ordering::Relaxed);
            drop(queues);
            result
        });
        self.done = done;
        result?;
        Ok(Summary { step: done, steps, last })
    }

    /// The model as it is now: the running average of the weights.
    ///
    /// # Errors
    /// When the device fails.
    pub fn model(&self) -> Result<SeriesWeights, TrainError> {
        let Moments { average, .. } = self.trainer.trainer.moments()?;
        Ok(self.start.with(average)?)
    }
}

/// What the steps since the last line came to.
fn line(
    trainer: &mut dyn SeriesTrainer,
    (step, since): (u64, u64),
    (patches, begun): (u64, Instant),
    rate: f64,
) -> Result<Line, TrainError> {
    let report = trainer.report()?;
    let (count, seconds) = ((step - since).max(1) as f64, begun.elapsed().as_secs_f64());
    let moved = (count - report.skipped as f64).max(1.0);
    Ok(Line {
        step,
        loss: report.loss / count,
        norm: report.norms / moved,
        largest_norm: report.largest,
        rate,
        skipped: report.skipped,
        patches,
        seconds,
    })
}

/// Makes batches in threads: thread i those of the steps i, i + threads, ..; each has a short queue of its own.
struct Maker<'a> {
    source: &'a dyn WindowSource,
    config: &'a TrainConfig,
    shape: SeriesShape,
    stopped: &'a AtomicBool,
}

/// A step's batches.
type Made = Result<Vec<SeriesBatch>, TrainError>;

impl<'a> Maker<'a> {
    fn start<'s>(self, scope: &'s thread::Scope<'s, 'a>, steps: std::ops::Range<u64>, threads: usize) -> Vec<Receiver<Made>>
    where
        'a: 's,
    {
        let maker = Arc::new(self);
        let start = |thread: u64| {
            let (sender, receiver) = sync_channel(1);
            let (maker, steps) = (Arc::clone(&maker), steps.clone());
            scope.spawn(move || maker.run(steps.filter(|step| step % threads as u64 == thread), &sender));
            receiver
        };
        (0..threads as u64).map(start).collect()
    }

    fn run(&self, steps: impl Iterator<Item = u64>, sender: &SyncSender<Made>) {
        for step in steps {
            if self.stopped.load(Ordering::Relaxed) || sender.send(self.make(step)).is_err() {
                return;
            }
        }
    }

    fn make(&self, step: u64) -> Made {
        let train = &self.config.train;
        let batch = |i: u64| {
            let Windows { len, values, known, observed, .. } = self.source.windows(step * train.batches as u64 + i);
            let windows = WindowSlices { len, values: &values, known: &known, observed: &observed };
            let mut batch = SeriesBatch::new(&self.shape, windows, train.partial, 1)?;
            batch.share(train.batches);
            Ok(batch)
        };
        (0..train.batches as u64).map(batch).collect()
    }
}

/// Threads of this machine.
fn machine_threads() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}
