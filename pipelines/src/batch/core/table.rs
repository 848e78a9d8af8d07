//! The rows of the output.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, BooleanArray, Float64Array, RecordBatch},
    compute::filter_record_batch,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use unspool_ingest::{
    Reject,
    schema::{self, TimeKind},
};
use unspool_model::{Model, Options};

use crate::{
    Frequency,
    batch::{
        BatchJob,
        encode::Answer,
        error::{Error, Result},
    },
    embed,
    featurise::Series,
    forecast,
    stream::emit::{Give, Pooling, score},
};

/// What is given.
pub(super) enum Table {
    /// `id`, `time`, `value`, `p_value`, `score`.
    Scores(SchemaRef),
    /// The rows of `unspool forecast`, and the horizon.
    Forecast(forecast::table::Table, usize),
    /// The rows of `unspool embed`.
    Embedding(embed::table::Table),
}

impl Table {
    /// An empty table for what a job gives; `options` are those that series are opened for.
    ///
    /// # Errors
    /// When the model is no series model.
    pub(super) fn new(job: &BatchJob, model: &Model, (options, time): (&Options, TimeKind)) -> Result<Self> {
        let info = model.info();
        let shape = model.series_shape();
        let shape = shape.ok_or_else(|| Error::Settings(format!("model: {} is no series model", info.name)))?;
        Ok(match &job.give {
            Give::Scores => Self::Scores(scores_schema(time)),
            Give::Forecast { horizon } => {
                Self::Forecast(forecast::table::Table::new(time, &shape.levels, None)?, *horizon)
            }
            Give::Embedding { pool, .. } => {
                let pooling = match pool {
                    Pooling::Mean => crate::Pooling::Mean,
                    Pooling::Last => crate::Pooling::Last,
                    Pooling::Max => crate::Pooling::Max,
                };
                let layer = options.layers.first().copied().unwrap_or_default();
                Self::Embedding(embed::table::Table::new(info.config.d, layer, pooling, info.digest.to_string()))
            }
        })
    }

    pub(super) fn schema(&self) -> SchemaRef {
        match self {
            Self::Scores(schema) => Arc::clone(schema),
            Self::Forecast(table, _) => table.schema(),
            Self::Embedding(table) => table.schema(),
        }
    }

    pub(super) fn is_scores(&self) -> bool {
        matches!(self, Self::Scores(_))
    }

    /// Values ahead of each series; 0 where none are forecast.
    pub(super) fn horizon(&self) -> usize {
        if let Self::Forecast(_, horizon) = self { *horizon } else { 0 }
    }

    /// Rows with their p-values (NaN: nothing was forecast yet), where scores are given; a missing value has no row.
    pub(super) fn scored(&self, rows: &RecordBatch, p_values: &[Option<f64>]) -> Result<RecordBatch> {
        let Self::Scores(schema) = self else { return Ok(RecordBatch::new_empty(self.schema())) };
        let there = BooleanArray::from_iter((0..rows.num_rows()).map(|row| Some(rows.column(2).is_valid(row))));
        let p_values: Float64Array = p_values.iter().map(|p_value| p_value.filter(|p| !p.is_nan())).collect();
        let scores: Float64Array = p_values.iter().map(|p_value| p_value.map(score)).collect();
        let added: [ArrayRef; 2] = [Arc::new(p_values), Arc::new(scores)];
        let columns = rows.columns().iter().cloned().chain(added).collect();
        let fields: Vec<Field> =
            schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
        let all = filter_record_batch(&RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?, &there)?;
        Ok(RecordBatch::try_new(Arc::clone(schema), all.columns().to_vec())?)
    }

    /// The rows of answers, with for each the place of its series among these. `common` is the frequency of series of a
    /// single row.
    ///
    /// # Errors
    /// When Arrow refuses.
    pub(super) fn rows(
        &mut self,
        model: &Model,
        (series, answers): (&[&Series], Vec<Answer>),
        common: Option<Frequency>,
    ) -> Result<(RecordBatch, Vec<usize>, Vec<Reject>)> {
        let shape = model.series_shape();
        let (context, patch) = shape.map_or((0, 1), |shape| (shape.context as u64, shape.patch as u64));
        let (mut of, mut rejects) = (vec![], vec![]);
        for (place, (series, answer)) in series.iter().zip(answers).enumerate() {
            match (&mut *self, answer) {
                (Self::Forecast(table, horizon), Answer::Forecast(forecast)) if forecast.reason.is_none() => {
                    table.push(series, series.frequency().or(common), &forecast);
                    of.extend(std::iter::repeat_n(place, *horizon));
                }
                (Self::Embedding(table), Answer::Embedding(Some(embedding), events)) => {
                    let span = embed::table::Span { start: 0, len: events / patch * patch };
                    table.push((Some(&series.id), None), span, &embedding);
                    of.push(place);
                }
                (_, Answer::Forecast(_)) => rejects.push(forecast::no_value(series, context)),
                (_, Answer::Embedding(..)) => {
                    rejects.push(embed::too_short(&format!("series '{}'", series.id), patch));
                }
            }
        }
        let rows = match self {
            Self::Scores(schema) => RecordBatch::new_empty(Arc::clone(schema)),
            Self::Forecast(table, _) => table.take()?,
            Self::Embedding(table) => table.take()?,
        };
        Ok((rows, of, rejects))
    }
}

fn scores_schema(time: TimeKind) -> SchemaRef {
    let series = schema::series(time);
    let double = |name: &str, nullable| Arc::new(Field::new(name, DataType::Float64, nullable));
    let fields = [
        Arc::clone(&series.fields()[0]),
        Arc::clone(&series.fields()[1]),
        double("value", false),
        double("p_value", true),
        double("score", true),
    ];
    Arc::new(Schema::new(fields.to_vec()))
}
