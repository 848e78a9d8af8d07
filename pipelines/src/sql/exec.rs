//! Windows of our functions, taken over from DataFusion's operator: that one keeps all rows in memory and works on one
//! series after another; this one keeps a bounded number of rows (but for one long series) and works on many together.

use std::{fmt, mem, ops::Range, sync::Arc};

use arrow::{
    array::{ArrayRef, RecordBatch},
    compute::{concat_batches, partition},
    datatypes::SchemaRef,
};
use datafusion::{
    common::tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    config::ConfigOptions,
    error::Result,
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{OrderingRequirements, PhysicalExpr},
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, InputDistributionRequirements,
        PlanProperties, ReplaceChildrenOptions,
        stream::RecordBatchStreamAdapter,
        windows::{StandardWindowExpr, WindowAggExec, WindowExpr, WindowUDFExpr},
    },
};
use futures::{StreamExt, stream::try_unfold};

use super::{
    ask::What,
    shared::{GROUP_ROWS, Shared},
    window::{OverWindow, over},
};

/// Rows are worked on when so many have come, or at their end.
const ROWS: usize = GROUP_ROWS / 8;
/// As [`ROWS`], where a row is answered by more than a number.
const WIDE_ROWS: usize = 4096;

/// A call in a window.
#[derive(Clone)]
struct Call {
    what: What,
    shared: Arc<Shared>,
    window: Arc<dyn WindowExpr>,
}

/// Runs the model over windows: its input comes sorted by series and time.
pub(super) struct SeriesExec {
    /// What it stands for: its properties and what it requires are the same.
    inner: Arc<WindowAggExec>,
    calls: Vec<Call>,
}

/// Puts [`SeriesExec`] in the place of windows that hold nothing but calls of ours.
#[derive(Debug)]
pub(super) struct TakeOver;

impl PhysicalOptimizerRule for TakeOver {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let taken = plan.transform_up(|plan| {
            let series = plan.downcast_ref::<WindowAggExec>().and_then(SeriesExec::new);
            Ok(series.map_or_else(|| Transformed::no(plan), |series| Transformed::yes(Arc::new(series) as _)))
        })?;
        Ok(taken.data)
    }

    fn name(&self) -> &str {
        "unspool_windows"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

impl SeriesExec {
    /// `None`: the window holds another function too.
    fn new(window: &WindowAggExec) -> Option<Self> {
        let call = |window: &Arc<dyn WindowExpr>| {
            let standard = window.as_any().downcast_ref::<StandardWindowExpr>()?;
            let function = standard.get_standard_func_expr().as_any().downcast_ref::<WindowUDFExpr>()?;
            let ours = function.fun().inner().downcast_ref::<OverWindow>()?;
            Some(Call { what: ours.what(), shared: Arc::clone(ours.shared()), window: Arc::clone(window) })
        };
        let calls = window.window_expr().iter().map(call).collect::<Option<_>>()?;
        Some(Self { inner: Arc::new(window.clone()), calls })
    }
}

impl fmt::Debug for SeriesExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl DisplayAs for SeriesExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls: Vec<&str> = self.calls.iter().map(|call| call.window.name()).collect();
        write!(f, "SeriesExec: [{}]", calls.join(", "))?;
        let place = self.calls.first().and_then(|call| call.shared.place());
        place.map_or(Ok(()), |place| write!(f, ", {place}"))
    }
}

impl ExecutionPlan for SeriesExec {
    fn name(&self) -> &'static str {
        "SeriesExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.inner.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.inner.children()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.inner.apply_expressions(f)
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        self.inner.maintains_input_order()
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        self.inner.input_distribution_requirements()
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        self.inner.required_input_ordering()
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = Arc::clone(&self.inner).replace_children(children, options)?;
        let series = plan.downcast_ref::<WindowAggExec>().and_then(Self::new);
        Ok(series.map_or(plan, |series| Arc::new(series) as _))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.inner.input().execute(partition, context)?;
        let schema = self.schema();
        let working = Working {
            input,
            calls: self.calls.clone(),
            schema: Arc::clone(&schema),
            waiting: vec![],
            rows: 0,
            ended: false,
        };
        let rows =
            try_unfold(working, |mut working| async move { Ok(working.next().await?.map(|rows| (rows, working))) });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}

/// A partition of the plan under way.
struct Working {
    input: SendableRecordBatchStream,
    calls: Vec<Call>,
    schema: SchemaRef,
    /// Rows that wait, the first series' from its first row on.
    waiting: Vec<RecordBatch>,
    rows: usize,
    ended: bool,
}

impl Working {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        // After a long series, twice as many rows: else each batch would be looked through from its start.
        let least = if self.calls.iter().all(|call| call.what == What::Anomaly) { ROWS } else { WIDE_ROWS };
        let mut enough = least;
        loop {
            while self.rows < enough && !self.ended {
                match self.input.next().await.transpose()? {
                    Some(rows) => {
                        self.rows += rows.num_rows();
                        self.waiting.push(rows);
                    }
                    None => self.ended = true,
                }
            }
            let rows = concat_batches(&self.input.schema(), &mem::take(&mut self.waiting))?;
            let series = self.series(&rows)?;
            let whole = if self.ended { series.len() } else { series.len().saturating_sub(1) };
            let end = series[..whole].last().map_or(0, |range| range.end);
            self.rows = rows.num_rows() - end;
            self.waiting.push(rows.slice(end, self.rows));
            if end > 0 {
                return self.work(&rows.slice(0, end), &series[..whole]).map(Some);
            }
            if self.ended {
                return Ok(None);
            }
            enough = 2 * self.rows.max(least);
        }
    }

    /// The rows of each series.
    fn series(&self, rows: &RecordBatch) -> Result<Vec<Range<usize>>> {
        let keys = self.calls.first().map_or(&[][..], |call| call.window.partition_by());
        let whole = 0..rows.num_rows();
        match (whole.is_empty(), keys.is_empty()) {
            (true, _) => return Ok(vec![]),
            (_, true) => return Ok(vec![whole]),
            _ => (),
        }
        let columns = keys.iter().map(|key| key.evaluate(rows)?.into_array(rows.num_rows()));
        Ok(partition(&columns.collect::<Result<Vec<_>>>()?)?.ranges())
    }

    /// The rows with what the calls give.
    fn work(&self, rows: &RecordBatch, series: &[Range<usize>]) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
        for Call { what, shared, window } in &self.calls {
            let field = window.field()?;
            let args = window.evaluate_args(rows)?;
            columns.push(over((*what, shared), (&args, series), field.data_type())?);
        }
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}
