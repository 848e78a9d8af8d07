//! Windows that a recurrent model cannot answer.

use datafusion::{
    error::{DataFusionError, Result},
    logical_expr::{Expr, LogicalPlan, WindowFrameBound, WindowFunctionDefinition, expr::WindowFunction},
};

use super::window::OverWindow;

/// Refuses windows of our functions that are not a series' rows so far in the order of time.
///
/// # Errors
/// With what to write.
pub(super) fn windows(plan: &LogicalPlan) -> Result<()> {
    let LogicalPlan::Window(window) = plan else { return Ok(()) };
    window.window_expr.iter().try_for_each(|expr| match expr.clone().unalias() {
        Expr::WindowFunction(function) => check(&function),
        _ => Ok(()),
    })
}

fn check(function: &WindowFunction) -> Result<()> {
    let WindowFunctionDefinition::WindowUDF(definition) = &function.fun else { return Ok(()) };
    let Some(ours) = definition.inner().downcast_ref::<OverWindow>() else { return Ok(()) };
    let params = &function.params;
    let frame = &params.window_frame;
    let so_far = matches!(&frame.start_bound, WindowFrameBound::Preceding(start) if start.is_null())
        && matches!(frame.end_bound, WindowFrameBound::CurrentRow);
    let problem = if params.filter.is_some() || params.distinct || params.null_treatment.is_some() {
        "filter, distinct and null treatment are not of it"
    } else if !params.order_by.first().is_some_and(|order| order.asc && Some(&order.expr) == params.args.first()) {
        "the window is to be ordered by its first argument, the time, ascending"
    } else if !so_far {
        "what it gives of a row follows from the rows up to it: leave the frame out"
    } else {
        return Ok(());
    };
    let (name, usage) = (ours.what().name(), ours.what().usage());
    Err(DataFusionError::Plan(format!("{name}: {problem}: {usage}")))
}
