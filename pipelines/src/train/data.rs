//! The training data of the series model: windows, synthetic and real, with what the model sees of them.
//!
//! A step's windows are a function of the seed and the step alone. Of synthetic windows, by length in values (patches
//! and horizon):
//!
//! | family | up to 1,100 | longer | |
//! |---|---|---|---|
//! | business | .46 | .12 | level and damped slope as random walks, seasonal indices that drift; additive, multiplicative or counts |
//! | composed | .41 | .75 | below |
//! | regimes | .035 | .035 | two or three ways of behaving, each for spells |
//! | intermittent | .03 | .03 | mostly zeros, sizes of several distributions, spells, seasons |
//! | chaotic | .02 | .02 | logistic map, Mackey-Glass, Lorenz, half of them with noise |
//! | price | .03 | .03 | random walks of moving volatility, with a drift or a pull, some multiplicative |
//! | held | .015 | .015 | levels that stay, switches, constants |
//!
//! Composed series have a trend (.75, of which .3 are none), noise with a memory (.55: 1/f noise, AR(1), stochastic
//! cycles, ARMA), a smooth random function (.22: a Gaussian process), level shifts (.15), a random walk (.17), nested
//! (.3 where they fit) or up to three free seasons (.1 have none; some go over to another shape), and noise (.92: normal, Student's t, contaminated, lognormal; .3 of
//! moving volatility). They are added up (.52, events in .14 of them), multiplied (.25), counted (.16: negative binomial,
//! some with more zeros) or accumulated (.07). .15 of all are mixed with a second series; then some are reversed,
//! negated, clipped, rounded, held for a while, and given outliers. Half have a scale of their own, a quarter an offset.
//!
//! Trends and seasons scale with the window: short windows have short periods. In the masks (see `masks`) some windows
//! start late, have gaps, cut and missing patches; of .6 the last patch with values is partly filled.
//!
//! Real windows are pieces of the series of a folder, less those [held out](crate::train::split::held_out), also in means
//! of up to 24 values where there are 60 of them, mixed (.4), with noise (.3), a moving level (.3), negated (.1).

mod business;
mod chaos;
pub mod classes;
mod compose;
mod counts;
pub mod dna;
mod draws;
pub(crate) mod labelled;
mod masks;
mod noise;
mod read;
mod real;
mod regimes;
mod season;
mod synthetic;
mod trend;
mod vector;

use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
    thread,
};

use serde::{Deserialize, Serialize};

use self::{draws::Draws, masks::Masks, real::Real};

/// The most patches of a window.
const LONGEST: usize = 65_536;
/// The index of a step's own draws, which no window has.
const OF_STEP: u64 = u64::MAX;
/// About so many values are a thread's work at a time.
const TAKEN: usize = 8192;
/// The probability that a synthetic and a real window is started late.
const LATE: [f32; 2] = [0.3, 0.15];

/// What series a trainer sees: the `[data]` table of a training file.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataOptions {
    /// All windows follow from it; windows for validation have another.
    pub seed: u64,
    /// The share of windows that are of real series, from 0 to 1; without a folder there are none. Much hurts where
    /// there are few series.
    pub real_share: f64,
    /// A folder of real series: TSF files, and folders of CSV files.
    pub real: Option<PathBuf>,
    /// Lengths of windows in patches, and the share of steps that have it; shares need not add up to 1.
    pub lengths: Vec<(usize, f64)>,
}

impl Default for DataOptions {
    fn default() -> Self {
        let lengths = [(128, 0.5), (64, 0.12), (32, 0.1), (16, 0.08), (8, 0.06), (256, 0.08), (1024, 0.06)];
        Self { seed: 1, real_share: 0.03, real: None, lengths: lengths.into() }
    }
}

/// Why there is no training data.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// An option that makes no sense.
    #[error("{option} of the training data is {value}: {remedy}")]
    Option {
        /// Its name.
        option: &'static str,
        /// What it is.
        value: String,
        /// What it must be.
        remedy: &'static str,
    },
    /// A folder that cannot be listed.
    #[error("{}: {source}; `real` of the training data names a folder of series, or is left out", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The refusal.
        source: std::io::Error,
    },
    /// A file that cannot be read.
    #[error(transparent)]
    Read(#[from] unspool_ingest::Error),
    /// A file that is not there, or does not hold what it should.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A value or a line that cannot be read. Nothing may be left out: series are held out by their number.
    #[error("{place}: {reason}; correct it, or take the file out of the folder")]
    Rejected {
        /// The file and where in it.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// Series that are too short, or all the same.
    #[error("there is no series to learn from: at least one needs 24 values that are not all the same")]
    NothingToLearn,
    /// A folder without series to train on.
    #[error("{}: holds no series to train on (at least 24 values that are not all the same, in .tsf or .csv files)", path.display())]
    NoSeries {
        /// The folder.
        path: PathBuf,
    },
}

/// Training windows of one length. Row-major `[count, len]`, `len = patches * patch + horizon`.
#[derive(Clone, Debug, PartialEq)]
pub struct Windows {
    /// Windows.
    pub count: usize,
    /// Patches of each.
    pub patches: usize,
    /// Values of each, those of the horizon after its last patch included.
    pub len: usize,
    /// The values, finite; 0 where not known.
    pub values: Vec<f32>,
    /// Whether the model sees it: only what is known, and nothing of the horizon.
    pub observed: Vec<bool>,
    /// Whether there is a true value.
    pub known: Vec<bool>,
}

/// Where training windows come from.
pub struct SeriesData {
    options: DataOptions,
    patch: usize,
    horizon: usize,
    tokens: usize,
    real: Option<Real>,
}

impl SeriesData {
    /// Windows of patches of `patch` values and `horizon` values after them; a batch has about `tokens` patches in all
    /// (`max(1, tokens / patches)` windows).
    ///
    /// # Errors
    /// When an option makes no sense, or the real series cannot be read.
    pub fn new(options: DataOptions, patch: usize, horizon: usize, tokens: usize) -> Result<Self, DataError> {
        check(&options, patch, tokens)?;
        let lengths: Vec<usize> = options.lengths.iter().map(|(patches, _)| patches * patch + horizon).collect();
        let folder = options.real.as_deref().filter(|_| options.real_share > 0.0);
        let real = folder.map(|folder| Real::read(folder, &lengths)).transpose()?;
        Ok(Self { options, patch, horizon, tokens, real })
    }

    /// As [`Self::new`], with series of the caller's in place of a folder's; none of them is held out.
    /// sizes: the patch, the horizon, the patches of a batch.
    ///
    /// # Errors
    /// When an option makes no sense, or there is nothing to learn from the series.
    pub fn of_series(
        series: Vec<Vec<f64>>,
        options: DataOptions,
        (patch, horizon, tokens): (usize, usize, usize),
    ) -> Result<Self, DataError> {
        check(&options, patch, tokens)?;
        let lengths: Vec<usize> = options.lengths.iter().map(|(patches, _)| patches * patch + horizon).collect();
        let real = Some(Real::of(vec![series], &lengths).ok_or(DataError::NothingToLearn)?);
        Ok(Self { options, patch, horizon, tokens, real })
    }

    /// The windows of one training step: a function of the seed and the step alone, whatever the threads.
    #[must_use]
    pub fn batch(&self, step: u64, threads: usize) -> Windows {
        let patches = self.patches(step);
        let count = (self.tokens / patches).max(1);
        let len = patches * self.patch + self.horizon;
        let mut windows = Windows {
            count,
            patches,
            len,
            values: vec![0.0; count * len],
            observed: vec![false; count * len],
            known: vec![true; count * len],
        };
        // Threads take several short windows at a time.
        let group = (TAKEN / len).max(1);
        let values = windows.values.chunks_mut(group * len);
        let (observed, known) = (windows.observed.chunks_mut(group * len), windows.known.chunks_mut(group * len));
        let groups = Mutex::new(values.zip(observed).zip(known).enumerate());
        let work = || {
            let mut draws = Draws::new(0);
            loop {
                // The lock is held for the taking alone.
                let taken = groups.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some((number, ((values, observed), known))) = taken else { return };
                let rows = values.chunks_mut(len).zip(observed.chunks_mut(len)).zip(known.chunks_mut(len));
                for (row, ((values, observed), known)) in rows.enumerate() {
                    let index = (number * group + row) as u64;
                    draws.restart(draws::seed([self.options.seed, step, index]));
                    let masks = Masks { patch: self.patch, patches, observed, known };
                    self.window(&mut draws, values, masks);
                }
            }
        };
        thread::scope(|scope| {
            for _ in 1..threads.min(count.div_ceil(group)) {
                scope.spawn(work);
            }
            work();
        });
        windows
    }

    /// The length of a step's windows in patches.
    fn patches(&self, step: u64) -> usize {
        let all: f64 = self.options.lengths.iter().map(|length| length.1).sum();
        let mut at = f64::from(Draws::new(draws::seed([self.options.seed, step, OF_STEP])).unit()) * all;
        let mut chosen = 1;
        for &(patches, share) in self.options.lengths.iter().filter(|length| length.1 > 0.0) {
            chosen = patches;
            at -= share;
            if at < 0.0 {
                break;
            }
        }
        chosen
    }

    /// Fills a window and its masks.
    fn window(&self, d: &mut Draws, values: &mut [f32], mut masks: Masks<'_>) {
        let real = self.real.as_ref().filter(|_| f64::from(d.unit()) < self.options.real_share);
        let seen = self.patch * masks.patches;
        match real {
            Some(real) => real.fill(d, real::Target { seen, values: &mut *values, known: &mut *masks.known }),
            None => synthetic::fill(d, values),
        }
        masks.draw(d, LATE[usize::from(real.is_some())]);
        values.iter_mut().zip(&*masks.known).filter(|(_, known)| !**known).for_each(|(value, _)| *value = 0.0);
    }
}

/// Refuses options that make no sense.
fn check(options: &DataOptions, patch: usize, tokens: usize) -> Result<(), DataError> {
    let refuse = |option, value: String, remedy| Err(DataError::Option { option, value, remedy });
    let (share, lengths) = (options.real_share, &options.lengths);
    if !(0.0..=1.0).contains(&share) {
        return refuse("real_share", share.to_string(), "a share of windows, from 0 to 1");
    }
    if lengths.iter().any(|&(patches, share)| !(1..=LONGEST).contains(&patches) || !share.is_finite() || share < 0.0) {
        return refuse(
            "lengths",
            format!("{lengths:?}"),
            "pairs of a number of patches, from 1 to 65536, and a share from 0 on",
        );
    }
    if !lengths.iter().any(|&(_, share)| share > 0.0) {
        return refuse("lengths", format!("{lengths:?}"), "at least one length needs a share above 0");
    }
    if patch == 0 {
        return refuse("the patch", "0".into(), "patches have at least one value");
    }
    if tokens == 0 {
        return refuse("the number of patches in a batch", "0".into(), "at least 1");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
