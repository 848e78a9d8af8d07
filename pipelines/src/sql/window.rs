//! The functions over windows: of each row, what a series gives as of then.

use std::{num::NonZeroUsize, ops::Range, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, Float64Array, new_empty_array},
    datatypes::{DataType, Field, FieldRef},
};
use datafusion::{
    error::Result,
    logical_expr::{
        PartitionEvaluator, Signature, Volatility, WindowUDFImpl,
        function::{PartitionEvaluatorArgs, WindowUDFFieldArgs},
    },
};

use super::{
    as_of,
    ask::{Form, What, time_kind},
    error::wrapped,
    scalar, scores,
    series::Rows,
    shared::Shared,
};

/// A function over a window.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct OverWindow {
    what: What,
    shared: Arc<Shared>,
    signature: Signature,
    aliases: Vec<String>,
}

impl OverWindow {
    pub(super) fn new(what: What, shared: &Arc<Shared>) -> Self {
        let signature = Signature::user_defined(Volatility::Immutable);
        Self { what, shared: Arc::clone(shared), signature, aliases: vec![what.over().to_owned()] }
    }

    /// Which function it is.
    pub(super) fn what(&self) -> What {
        self.what
    }

    /// What all functions share.
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl WindowUDFImpl for OverWindow {
    fn name(&self) -> &str {
        self.what.name()
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.what.coerce(Form::Window, types)
    }

    fn field(&self, args: WindowUDFFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<DataType> = args.input_fields().iter().map(|field| field.data_type().clone()).collect();
        let types = self.what.coerce(Form::Window, &types)?;
        let gives = self.what.gives((Form::Window, &self.shared), &types)?;
        Ok(Arc::new(Field::new(args.name(), gives, true)))
    }

    fn partition_evaluator(&self, args: PartitionEvaluatorArgs<'_>) -> Result<Box<dyn PartitionEvaluator>> {
        let types: Vec<DataType> = args.input_fields().iter().map(|field| field.data_type().clone()).collect();
        let gives = self.what.gives((Form::Window, &self.shared), &types)?;
        Ok(Box::new(Evaluator { what: self.what, shared: Arc::clone(&self.shared), gives }))
    }
}

/// Works on one series after another, where [`super::exec`] could not take the window over.
#[derive(Debug)]
struct Evaluator {
    what: What,
    shared: Arc<Shared>,
    gives: DataType,
}

impl PartitionEvaluator for Evaluator {
    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let whole = 0..rows;
        over((self.what, &self.shared), (values, std::slice::from_ref(&whole)), &self.gives)
    }
}

/// Numbers in an answer of a type: of an embedding, or of a forecast's steps.
pub(super) fn width(gives: &DataType, horizon: Option<NonZeroUsize>) -> usize {
    match (gives, horizon) {
        (DataType::FixedSizeList(_, width), _) => usize::try_from(*width).unwrap_or(0),
        (DataType::List(item), Some(horizon)) => match item.data_type() {
            DataType::Struct(fields) => fields.len().saturating_mul(horizon.get()),
            _ => 1,
        },
        _ => 1,
    }
}

/// What a call gives of each row of series that stand one after another.
///
/// # Errors
/// When the horizon is none, or the model refuses.
pub(super) fn over(
    (what, shared): (What, &Arc<Shared>),
    (columns, ranges): (&[ArrayRef], &[Range<usize>]),
    gives: &DataType,
) -> Result<ArrayRef> {
    if columns.first().is_none_or(|column| column.is_empty()) {
        return Ok(new_empty_array(gives));
    }
    let kind = time_kind(columns.first().map(|column| column.data_type()));
    let (series, horizon): (&[ArrayRef], Option<NonZeroUsize>) = if what == What::Forecast {
        let (series, last) = columns.split_at(columns.len() - 1);
        (series, Some(scalar::horizon(&last[0])?))
    } else {
        (columns, None)
    };
    what.fits(columns[0].len(), width(gives, horizon))?;
    let of = |values: &ArrayRef| {
        let rows = |range: &Range<usize>| {
            let slice = |column: &ArrayRef| column.slice(range.start, range.len());
            Rows::new(&slice(&series[0]), &slice(values), shared)
        };
        ranges.iter().map(rows).collect::<crate::Result<Vec<Rows>>>()
    };
    let all = series[1..].iter().map(of).collect::<crate::Result<Vec<_>>>().map_err(wrapped)?;
    let given = match (what, horizon) {
        (What::Forecast, Some(horizon)) => as_of::forecasts(&all[0], (kind, horizon), shared),
        (What::Embed, _) => as_of::embeddings(&all, kind, shared),
        _ => scores::scores(&all[0], kind, shared)
            .map(|scores| Arc::new(scores.into_iter().flatten().collect::<Float64Array>()) as ArrayRef),
    };
    given.map_err(wrapped)
}
