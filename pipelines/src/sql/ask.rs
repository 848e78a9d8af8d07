//! What a function is asked for: its name, what it takes and what it gives.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use datafusion::error::{DataFusionError, Result};
use unspool_ingest::schema::TimeKind;
use unspool_model::Front;

use super::{error::wrapped, shared::Shared};
use crate::forecast;

/// Numbers that are given at once, at most: 2 GiB.
const MOST_NUMBERS: usize = 1 << 28;

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum What {
    /// `anomaly(time, value)`: the score of each value.
    Anomaly,
    /// `embed(time, value ...)`, `embed(sequence)`.
    Embed,
    /// `forecast(time, value, horizon)`.
    Forecast,
}

/// How a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Form {
    /// Over lists, each with the rows of one series.
    Lists,
    /// Over a window: the series' rows so far.
    Window,
}

impl What {
    pub(super) const ALL: [Self; 3] = [Self::Anomaly, Self::Embed, Self::Forecast];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Anomaly => "anomaly",
            Self::Embed => "embed",
            Self::Forecast => "forecast",
        }
    }

    /// The name by which the planner finds the window function: it takes every other call for that of the scalar one.
    pub(super) fn over(self) -> &'static str {
        match self {
            Self::Anomaly => "anomaly_over",
            Self::Embed => "embed_over",
            Self::Forecast => "forecast_over",
        }
    }

    /// How it is written.
    pub(super) fn usage(self) -> String {
        let name = self.name();
        let (rows, lists, more) = match self {
            Self::Anomaly => ("time, value", "", ""),
            Self::Embed => ("time, value", "", " (or, with a DNA model, embed(sequence))"),
            Self::Forecast => ("time, value, 24", ", 24", ""),
        };
        format!(
            "write {name}({rows}) over (partition by SERIES order by time), or for each group {name}(array_agg(time order by \
             time), array_agg(value order by time){lists}){more}; as an aggregate it would have to merge parts of a series, which \
             a recurrent model cannot"
        )
    }

    fn refuse<T>(self, problem: &str) -> Result<T> {
        Err(DataFusionError::Plan(format!("{}: {problem}: {}", self.name(), self.usage())))
    }

    /// Refuses so many answers, of so many numbers each, that they would not lie in memory together.
    ///
    /// # Errors
    /// With what to do.
    pub(super) fn fits(self, answers: usize, numbers: usize) -> Result<()> {
        if answers.saturating_mul(numbers) <= MOST_NUMBERS {
            return Ok(());
        }
        let problem = format!("{}: {answers} answers of {numbers} numbers at once are too many", self.name());
        let remedy = "ask for a shorter horizon, or of fewer rows of a series";
        Err(DataFusionError::Plan(format!("{problem} (at most {MOST_NUMBERS} numbers): {remedy}")))
    }

    /// The types that it takes, for arguments of these types.
    ///
    /// # Errors
    /// When they are none that it could take.
    pub(super) fn coerce(self, form: Form, types: &[DataType]) -> Result<Vec<DataType>> {
        if (self, form) == (Self::Embed, Form::Lists)
            && let [DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View] = types
        {
            return Ok(vec![DataType::Utf8]);
        }
        let horizon = usize::from(self == Self::Forecast);
        let least = 2 + horizon;
        if types.len() < least || (self != Self::Embed && types.len() > least) {
            return self.refuse(&format!("{} arguments do not fit", types.len()));
        }
        let (series, last) = types.split_at(types.len() - horizon);
        let mut wanted = vec![];
        for (number, found) in series.iter().enumerate() {
            let found = match (form, item(found)) {
                (Form::Lists, Some(item)) => item,
                (Form::Lists, None) => return self.refuse("it takes lists where it has no window"),
                (Form::Window, None) => found,
                (Form::Window, Some(_)) => return self.refuse("over a window it takes no lists"),
            };
            let of = if number == 0 { time_type(found) } else { value_type(found) };
            let Some(of) = of else {
                let wanted = if number == 0 { "a timestamp, a date or a whole number" } else { "a number" };
                return self.refuse(&format!("argument {} is {found}, not {wanted}", number + 1));
            };
            wanted.push(if form == Form::Lists { list(of) } else { of });
        }
        if let [found] = last {
            if !found.is_integer() {
                return self.refuse(&format!("the horizon is {found}, not a whole number"));
            }
            wanted.push(DataType::Int64);
        }
        Ok(wanted)
    }

    /// What it gives for arguments of the types that it takes.
    ///
    /// # Errors
    /// When the model cannot be loaded, or does not give it.
    pub(super) fn gives(self, (form, shared): (Form, &Shared), types: &[DataType]) -> Result<DataType> {
        let model = shared.model().map_err(wrapped)?;
        let (info, first) = (model.info(), types.first());
        let dna = matches!(first, Some(DataType::Utf8));
        match (dna, info.front) {
            (true, Front::Dna) | (false, Front::Series) => (),
            (true, _) => return self.refuse(&format!("{} is no DNA model: name one with --model", info.name)),
            (false, _) => return self.refuse(&format!("{} is no series model: leave --model out", info.name)),
        }
        Ok(match self {
            Self::Anomaly if form == Form::Lists => list(DataType::Float64),
            Self::Anomaly => DataType::Float64,
            Self::Embed => embedding_type(info.config.d * types.len().saturating_sub(1).max(1)),
            Self::Forecast => {
                let levels = model.series_shape().map(|shape| shape.levels.clone()).unwrap_or_default();
                let table = forecast::table::Table::new(time_kind(first), &levels, None).map_err(wrapped)?;
                let fields: Fields = table.schema().fields().iter().skip(1).cloned().collect();
                list(DataType::Struct(fields))
            }
        })
    }
}

/// How times of a type are written; of lists: their items.
pub(super) fn time_kind(of: Option<&DataType>) -> TimeKind {
    match of.map(|of| item(of).unwrap_or(of)) {
        Some(DataType::Timestamp(..)) => TimeKind::Timestamp,
        _ => TimeKind::Step,
    }
}

/// A list of something that may be null.
pub(super) fn list(of: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(of, true)))
}

/// An embedding of so many numbers.
pub(super) fn embedding_type(width: usize) -> DataType {
    let item = Arc::new(Field::new_list_field(DataType::Float32, false));
    DataType::FixedSizeList(item, i32::try_from(width).unwrap_or(i32::MAX))
}

fn item(of: &DataType) -> Option<&DataType> {
    match of {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => Some(item.data_type()),
        _ => None,
    }
}

fn time_type(of: &DataType) -> Option<DataType> {
    match of {
        of if of.is_integer() => Some(DataType::Int64),
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => {
            Some(DataType::Timestamp(TimeUnit::Microsecond, None))
        }
        _ => None,
    }
}

fn value_type(of: &DataType) -> Option<DataType> {
    (of.is_numeric() || of.is_null()).then_some(DataType::Float64)
}
