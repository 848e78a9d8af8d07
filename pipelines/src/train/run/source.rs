//! Where a run's batches come from.

use std::sync::Arc;

use unspool_model::{
    series::SeriesShape,
    train::{DnaBatch, SeriesBatch, WindowSlices},
};

use super::{TrainConfig, TrainError};
use crate::train::data::{Windows, classes::ClassData, dna::DnaData};

/// Where batches come from: a function of the step alone, so that a run can go on anywhere.
pub trait BatchSource<B>: Send + Sync {
    /// The batches of a step. Their losses add up to the step's.
    ///
    /// # Errors
    /// When what they are made of makes no sense.
    fn batches(&self, step: u64) -> Result<Vec<B>, TrainError>;

    /// What the held-out loss is measured on, and what the loss of each weighs; nothing where it is not measured.
    fn validation(&self) -> &[(B, f64)] {
        &[]
    }
}

/// Where windows of series come from: a function of the number alone.
pub trait WindowSource: Send + Sync {
    /// The windows of one batch.
    fn windows(&self, number: u64) -> Windows;
}

/// The batches of a series model.
pub struct SeriesBatches {
    source: Arc<dyn WindowSource>,
    shape: SeriesShape,
    /// What a partly filled patch's predictions weigh.
    partial: f32,
    batches: usize,
}

impl SeriesBatches {
    /// Batches of windows, for a model of this shape and as a training file says.
    pub fn new(source: Arc<dyn WindowSource>, shape: SeriesShape, config: &TrainConfig) -> Self {
        Self { source, shape, partial: config.train.partial, batches: config.train.batches }
    }
}

impl BatchSource<SeriesBatch> for SeriesBatches {
    fn batches(&self, step: u64) -> Result<Vec<SeriesBatch>, TrainError> {
        let batch = |i: u64| {
            let Windows { len, values, known, observed, .. } = self.source.windows(step * self.batches as u64 + i);
            let windows = WindowSlices { len, values: &values, known: &known, observed: &observed };
            let mut batch = SeriesBatch::new(&self.shape, windows, self.partial, 1)?;
            batch.share(self.batches);
            Ok(batch)
        };
        (0..self.batches as u64).map(batch).collect()
    }
}

impl BatchSource<DnaBatch> for DnaData {
    fn batches(&self, step: u64) -> Result<Vec<DnaBatch>, TrainError> {
        Ok(self.batches(step))
    }

    fn validation(&self) -> &[(DnaBatch, f64)] {
        self.validation()
    }
}

impl BatchSource<DnaBatch> for ClassData {
    fn batches(&self, step: u64) -> Result<Vec<DnaBatch>, TrainError> {
        Ok(vec![self.batch(step)])
    }

    fn validation(&self) -> &[(DnaBatch, f64)] {
        self.validation()
    }
}
