//! The loop: batches from threads beside it, a step, a line of the log, a checkpoint.

mod source;

use std::{
    fs,
    num::NonZero,
    path::{Path, PathBuf},
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
    train::{self, Moments, Objective, PlacedTrainer},
    weights::Spec,
};

pub use self::source::{BatchSource, SeriesBatches, WindowSource};
use super::{
    TrainConfig, TrainError,
    checkpoint::Checkpoints,
    log::{self, Line, Log},
};
use crate::Cancel;

/// The model with the least held-out loss, in a run's folder.
const BEST: &str = "best";

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
pub struct Run<'a, W: Objective> {
    config: &'a TrainConfig,
    folder: PathBuf,
    source: Arc<dyn BatchSource<W::Batch>>,
    specs: Vec<Spec>,
    start: W,
    trainer: PlacedTrainer<W::Batch>,
    checkpoints: Checkpoints,
    log: Log,
    done: u64,
    /// The least held-out loss so far.
    best: f64,
}

impl<'a, W: Objective + 'static> Run<'a, W> {
    /// Opens a run: goes on from its newest checkpoint, or begins with `start`.
    ///
    /// # Errors
    /// When the checkpoint is damaged, or the device is not there.
    pub fn open(
        config: &'a TrainConfig,
        source: Arc<dyn BatchSource<W::Batch>>,
        start: W,
        (folder, limits): (&Path, &RunLimits),
    ) -> Result<Self, TrainError> {
        fs::create_dir_all(folder).map_err(|source| TrainError::Io { path: folder.to_owned(), source })?;
        let specs = start.tensors().into_iter().map(|(spec, _)| spec).collect::<Vec<_>>();
        let checkpoints = Checkpoints::of(folder, config.train.keep);
        let mut trainer = train::trainer(limits.device, config.train.products, &start)?;
        let newest = checkpoints.newest(&specs)?;
        let done = newest.as_ref().map_or(0, |(step, _)| *step);
        if let Some((_, moments)) = &newest {
            trainer.trainer.set_moments(moments)?;
        }
        let log = Log::open(folder, done)?;
        let lines = log::read(folder)?;
        let best = lines.iter().filter_map(|line| line.validation).fold(f64::INFINITY, f64::min);
        let folder = folder.to_owned();
        Ok(Self { config, folder, source, specs, start, trainer, checkpoints, log, done, best })
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
        let (begun, steps, train) = (Instant::now(), self.config.train.steps, &self.config.train);
        let threads = limits.threads.unwrap_or_else(|| machine_threads().max(2) - 1).max(1);
        let (stopped, source) = (AtomicBool::new(false), Arc::clone(&self.source));
        let maker: Maker<'_, W> = Maker { source: &*source, stopped: &stopped };
        let mut last = None;
        thread::scope(|scope| {
            let queues = maker.start(scope, self.done..steps, threads);
            let mut since = Since { step: self.done, patches: 0, begun: Instant::now() };
            let result = (|| -> Result<(), TrainError> {
                while self.done < steps && !cancel.is_cancelled() {
                    let queue = &queues[usize::try_from(self.done % threads as u64).unwrap_or(0)];
                    since.patches += self.step(queue)?;
                    let save = self.done.is_multiple_of(train.checkpoint_steps) || self.done == steps;
                    if self.done.is_multiple_of(train.log_steps) || save {
                        let line = self.log_line(&since, save)?;
                        tell(&line);
                        last = Some(line);
                    }
                    if save {
                        self.save()?;
                    }
                    if self.done.is_multiple_of(train.log_steps) || save {
                        since = Since { step: self.done, patches: 0, begun: Instant::now() };
                    }
                    if save && limits.stop_after_s.is_some_and(|limit| begun.elapsed().as_secs_f64() > limit) {
                        break;
                    }
                }
                Ok(())
            })();
            stopped.store(true, Ordering::Relaxed);
            drop(queues);
            result
        })?;
        Ok(Summary { step: self.done, steps, last })
    }

    /// Does one step; returns its patches.
    fn step(&mut self, queue: &Receiver<Made<W>>) -> Result<u64, TrainError> {
        let made = queue.recv().map_err(|_| TrainError::Data("the threads that make windows have ended".into()))?;
        let batches = made?;
        self.trainer.trainer.step(&batches, &self.config.step(self.done))?;
        self.done += 1;
        Ok(batches.iter().map(|batch| W::size(batch) as u64).sum())
    }

    /// Writes what the steps since the last line came to; with the held-out loss where asked for.
    fn log_line(&mut self, since: &Since, validate: bool) -> Result<Line, TrainError> {
        let (report, steps) = (self.trainer.trainer.report()?, self.done - since.step);
        let seconds = since.begun.elapsed().as_secs_f64();
        let validation = if validate { self.validate()? } else { None };
        let line = Line {
            step: self.done,
            loss: report.loss / steps as f64,
            norm: report.norms / (steps - report.skipped).max(1) as f64,
            largest_norm: report.largest,
            rate: f64::from(self.config.step(self.done - 1).rate),
            skipped: report.skipped,
            validation,
            patches: since.patches,
            seconds,
        };
        if !line.loss.is_finite() || line.skipped >= steps {
            return Err(TrainError::Diverged { step: self.done });
        }
        self.log.add(&line)?;
        Ok(line)
    }

    /// The held-out loss of the running average; the best one so far is kept as a model.
    fn validate(&mut self) -> Result<Option<f64>, TrainError> {
        let source = Arc::clone(&self.source);
        let held = source.validation();
        let all: f64 = held.iter().map(|(_, weight)| weight).sum();
        if held.is_empty() {
            return Ok(None);
        }
        let trainer = &mut self.trainer.trainer;
        let moments = trainer.moments()?;
        trainer.set_moments(&Moments { weights: moments.average.clone(), ..moments.clone() })?;
        let losses = held.iter().map(|(batch, weight)| Ok(trainer.loss(batch)? * weight / all));
        let loss = losses.sum::<Result<f64, TrainError>>();
        trainer.set_moments(&moments)?;
        let loss = loss?;
        if loss < self.best {
            self.best = loss;
            self.keep_best(moments.average)?;
        }
        Ok(Some(loss))
    }

    /// Puts a model in the place of the best one before it.
    fn keep_best(&self, average: Vec<Vec<f32>>) -> Result<(), TrainError> {
        let (best, hidden) = (self.folder.join(BEST), self.folder.join(format!(".{BEST}")));
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| TrainError::Io { path, source }
        };
        let remove = |path: &Path| if path.exists() { fs::remove_dir_all(path).map_err(io(path)) } else { Ok(()) };
        remove(&hidden)?;
        self.start.replaced(average)?.save(&hidden, &self.config.name, true)?;
        remove(&best)?;
        fs::rename(&hidden, &best).map_err(io(&best))
    }

    /// Writes a checkpoint, and goes on from what it holds.
    fn save(&mut self) -> Result<(), TrainError> {
        let mut moments = self.trainer.trainer.moments()?;
        moments.round();
        self.checkpoints.save(self.done, &moments, &self.specs)?;
        // After the last step the average stays as exact as it is.
        if self.done < self.config.train.steps {
            self.trainer.trainer.set_moments(&moments)?;
        }
        Ok(())
    }

    /// The model as it is now: the running average of the weights.
    ///
    /// # Errors
    /// When the device fails.
    pub fn model(&self) -> Result<W, TrainError> {
        let Moments { average, .. } = self.trainer.trainer.moments()?;
        Ok(self.start.replaced(average)?)
    }
}

/// Where the next line of the log begins.
struct Since {
    step: u64,
    patches: u64,
    begun: Instant,
}

/// Makes batches in threads: thread i those of the steps i, i + threads, ..; each has a short queue of its own.
struct Maker<'a, W: Objective> {
    source: &'a dyn BatchSource<W::Batch>,
    stopped: &'a AtomicBool,
}

/// A step's batches.
type Made<W> = Result<Vec<<W as Objective>::Batch>, TrainError>;

impl<'a, W: Objective + 'static> Maker<'a, W> {
    fn start<'s>(
        self,
        scope: &'s thread::Scope<'s, 'a>,
        steps: std::ops::Range<u64>,
        threads: usize,
    ) -> Vec<Receiver<Made<W>>>
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

    fn run(&self, steps: impl Iterator<Item = u64>, sender: &SyncSender<Made<W>>) {
        for step in steps {
            if self.stopped.load(Ordering::Relaxed) || sender.send(self.source.batches(step)).is_err() {
                return;
            }
        }
    }
}

/// Threads of this machine.
fn machine_threads() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

#[cfg(test)]
mod tests;
