//! What a stream job gives, how often, and as which text.

mod json;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use unspool_model::{Front, Model, Options, Pool, series::Forecast};

use super::error::{Error, Result};

pub use self::json::Renderer;
pub(crate) use self::json::{quantile, score};

/// What is given of each series.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Give {
    /// The anomaly score of each value.
    Scores,
    /// Quantiles of the next values.
    Forecast {
        /// How many.
        horizon: usize,
    },
    /// An embedding of the series so far.
    Embedding {
        /// The layer; `None`: the last one, after the final norm.
        layer: Option<usize>,
        /// How its rows become one.
        pool: Pooling,
        /// Each output begins the pool again.
        restart: bool,
    },
}

/// How rows become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// Their mean.
    #[default]
    Mean,
    /// The last one.
    Last,
    /// The greatest value of each column.
    Max,
}

/// After which events something is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Every {
    /// Every n-th of a series.
    Events(u64),
    /// The first one in each interval of event time, in units of the rows' times.
    Interval(u64),
}

/// What a job gives, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Emit {
    /// What.
    pub give: Give,
    /// How often.
    pub every: Every,
}

/// One output.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// The partition that the event came from.
    pub partition: i32,
    /// The offset of the event's message.
    pub offset: i64,
    /// The series.
    pub series: Arc<str>,
    /// The event's time: µs since 1970, or a step number.
    pub time: i64,
    /// What is given.
    pub content: Given,
}

/// What is given of a series after an event.
#[derive(Clone, Debug)]
pub enum Given {
    /// The value and its p-value (NaN: nothing was forecast yet).
    Score {
        /// The value.
        value: f64,
        /// Two-sided, in (0, 1].
        p_value: f64,
    },
    /// Quantiles of the next values.
    Forecast(Forecast),
    /// The embedding, `[d]`.
    Embedding(Vec<f32>),
}

/// Equal to the bit.
impl PartialEq for Given {
    fn eq(&self, other: &Self) -> bool {
        let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        match (self, other) {
            (Self::Score { value: a, p_value: p }, Self::Score { value: b, p_value: q }) => {
                bits(&[*a, *p]) == bits(&[*b, *q])
            }
            (Self::Forecast(a), Self::Forecast(b)) => bits(&a.values) == bits(&b.values) && a.levels == b.levels,
            (Self::Embedding(a), Self::Embedding(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
            }
            _ => false,
        }
    }
}

impl Emit {
    /// What series are opened for.
    ///
    /// # Errors
    /// When the model does not give this.
    pub fn options(&self, model: &Model) -> Result<Options> {
        let info = model.info();
        let of_series = match self.give {
            Give::Scores => Some("anomaly scores"),
            Give::Forecast { .. } => Some("forecasts"),
            Give::Embedding { .. } => None,
        };
        if let (Some(given), true) = (of_series, info.front != Front::Series) {
            return Err(Error::Settings(format!(
                "give: {} is no series model: it gives no {given}; say give = \"embeddings\", or name a series model",
                info.name
            )));
        }
        let options = match self.give {
            Give::Scores => Options { anomaly: true, ..Options::default() },
            Give::Forecast { horizon } => {
                if horizon == 0 {
                    return Err(Error::Settings("horizon: at least 1".into()));
                }
                Options::default()
            }
            Give::Embedding { layer, .. } => {
                Options { layers: vec![layer.unwrap_or(info.config.layers)], pools: true, ..Options::default() }
            }
        };
        model.open(&options)?;
        Ok(options)
    }
}

impl From<Pooling> for Pool {
    fn from(pooling: Pooling) -> Self {
        match pooling {
            Pooling::Mean => Self::Mean,
            Pooling::Last => Self::Last,
            Pooling::Max => Self::Max,
        }
    }
}
