//! A session: queries with our functions, over files.

use std::{ops::ControlFlow, path::PathBuf, sync::Arc};

use arrow::{
    array::{ArrayRef, RecordBatch, StringArray},
    datatypes::SchemaRef,
};
use datafusion::{
    common::tree_node::TreeNodeRecursion,
    error::DataFusionError,
    execution::{
        SendableRecordBatchStream, SessionStateBuilder, disk_manager::DiskManagerBuilder, memory_pool::FairSpillPool,
        runtime_env::RuntimeEnvBuilder,
    },
    logical_expr::{LogicalPlan, ScalarUDF, WindowUDF},
    prelude::{SessionConfig, SessionContext},
    sql::{
        parser::Statement,
        sqlparser::ast::{Expr as Ast, Function, Ident, ObjectNamePart, visit_expressions_mut},
    },
};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    Functions, Load, Unused,
    ask::What,
    check,
    error::{Error, Result},
    exec::TakeOver,
    reads::ReadFiles,
    scalar::OverLists,
    shared::Shared,
    window::OverWindow,
};

/// Rows of a batch: that many series, where a row is one, are worked on together, and their answers lie in memory.
const BATCH_ROWS: usize = 2048;
/// Batches of an answer that wait to be read.
const BATCHES_AHEAD: usize = 2;

/// What a session may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Memory for sorting, grouping and joining, in bytes; what does not fit is spilled to disk. The model's own memory and
    /// rows on their way are not counted.
    pub memory: usize,
    /// Where to spill; `None`: the system's folder for temporary files.
    pub spill: Option<PathBuf>,
    /// Threads that read, sort and group.
    pub threads: usize,
}

/// Queries with `embed`, `forecast`, `anomaly` and `read_fasta` and its like, over files.
pub struct SqlSession {
    context: SessionContext,
    shared: Arc<Shared>,
}

/// A query's answer, under way.
pub struct Answer {
    schema: SchemaRef,
    rows: mpsc::Receiver<Result<RecordBatch, DataFusionError>>,
    /// It computes apart from who reads, who can so be interrupted meanwhile. Gone when it has ended.
    task: Option<JoinHandle<()>>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl SqlSession {
    /// A session; the model is loaded when a query first needs it.
    ///
    /// # Errors
    /// When the limits cannot be set.
    pub fn new(limits: &Limits, load: Box<Load>, functions: Functions) -> Result<Self> {
        let mut disk = DiskManagerBuilder::default();
        if let Some(spill) = &limits.spill {
            disk.set_mode(datafusion::execution::disk_manager::DiskManagerMode::Directories(vec![spill.clone()]));
        }
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(limits.memory)))
            .with_disk_manager_builder(disk)
            .build_arc()?;
        let mut config = SessionConfig::new().with_target_partitions(limits.threads.max(1)).with_batch_size(BATCH_ROWS);
        let execution = &mut config.options_mut().execution;
        execution.sort_spill_reservation_bytes =
            execution.sort_spill_reservation_bytes.min(limits.memory / (4 * limits.threads.max(1)));
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(runtime)
            .with_default_features()
            .with_physical_optimizer_rule(Arc::new(TakeOver))
            .build();
        // Files are tables: select ... from 'data.parquet'.
        let context = SessionContext::new_with_state(state).enable_url_table();
        // It drops what rows are to be ordered by where a group's key stands before it, after `unnest` too, where one key has
        // many rows.
        context.remove_optimizer_rule("eliminate_duplicated_expr");
        let shared = Arc::new(Shared::new(load, functions));
        for what in What::ALL {
            context.register_udf(ScalarUDF::new_from_impl(OverLists::new(what, &shared)));
            context.register_udwf(WindowUDF::new_from_impl(OverWindow::new(what, &shared)));
        }
        for function in ReadFiles::all(&shared) {
            context.register_udtf(function.name(), Arc::new(function));
        }
        Ok(Self { context, shared })
    }

    /// Answers a query, in a task of the runtime at hand. It runs as the answer is read; dropping the answer stops it.
    ///
    /// # Errors
    /// When it is not understood, or asks for what is not there.
    pub async fn query(&self, sql: &str) -> Result<Answer> {
        let state = self.context.state();
        let mut statement = state.sql_to_statement(sql, &state.config_options().sql_parser.dialect)?;
        let called = calls(&mut statement);
        let plan = state.statement_to_plan(statement).await;
        let plan = plan.map_err(|error| hinted(error.into(), &called))?;
        plan.apply_with_subqueries(|plan| check::windows(plan).map(|()| TreeNodeRecursion::Continue))?;
        let explained = matches!(plan, LogicalPlan::Explain(_) | LogicalPlan::Analyze(_));
        let rows = self.context.execute_logical_plan(plan).await?.execute_stream().await?;
        let schema = rows.schema();
        let mut rows = if explained { self.with_place(rows).await? } else { rows };
        let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
        let task = tokio::spawn(async move {
            while let Some(rows) = rows.next().await {
                if sender.send(rows).await.is_err() {
                    return;
                }
            }
        });
        Ok(Answer { schema, rows: receiver, task: Some(task) })
    }

    /// What could not be used so far, of all queries.
    #[must_use]
    pub fn unused(&self) -> Unused {
        self.shared.unused()
    }

    /// The model, if a query needed one.
    #[must_use]
    pub fn model(&self) -> Option<Arc<unspool_model::Model>> {
        self.shared.loaded()
    }

    /// A plan that was explained, with a line that says where the model runs, if it does.
    async fn with_place(&self, rows: SendableRecordBatchStream) -> Result<SendableRecordBatchStream> {
        let schema = rows.schema();
        let mut all: Vec<RecordBatch> = rows.try_collect().await?;
        if let Some(place) = self.shared.place().filter(|_| schema.fields().len() == 2) {
            let text = |text: &str| Arc::new(StringArray::from(vec![text])) as ArrayRef;
            all.push(
                RecordBatch::try_new(Arc::clone(&schema), vec![text("model"), text(&place)])
                    .map_err(crate::Error::from)?,
            );
        }
        let rows = stream::iter(all.into_iter().map(Ok));
        Ok(Box::pin(datafusion::physical_plan::stream::RecordBatchStreamAdapter::new(schema, rows)))
    }
}

impl Answer {
    /// The schema of the rows.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The next rows; `None` at the end.
    ///
    /// # Errors
    /// When the data cannot be read, memory does not suffice, or the model refuses.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>> {
        let Some(rows) = self.rows.recv().await.transpose()? else {
            // A task that panicked has not said all.
            let ended = match self.task.take() {
                Some(task) => task.await,
                None => Ok(()),
            };
            return ended.map(|()| None).map_err(|_| crate::Error::WorkerGone.into());
        };
        // Operators are free to say less of their columns than the plan does.
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), rows.columns().to_vec());
        Ok(Some(rows.map_err(crate::Error::from)?))
    }
}

/// Which of our functions are called without a window; those with one get the name under which the planner knows them.
fn calls(statement: &mut Statement) -> Vec<What> {
    let mut called = vec![];
    let statement = match statement {
        Statement::Statement(statement) => statement.as_mut(),
        Statement::Explain(explain) => {
            return calls(&mut explain.statement);
        }
        _ => return called,
    };
    let _ = visit_expressions_mut(statement, |expr: &mut Ast| {
        if let Ast::Function(function) = expr
            && let Some(what) = ours(function)
        {
            if function.over.is_some() {
                function.name.0 = vec![ObjectNamePart::Identifier(Ident::new(what.over()))];
            } else {
                called.push(what);
            }
        }
        ControlFlow::<()>::Continue(())
    });
    called
}

/// Which of our functions a call is of.
fn ours(function: &Function) -> Option<What> {
    let [name] = &function.name.0[..] else { return None };
    let name = name.as_ident()?.value.to_ascii_lowercase();
    What::ALL.into_iter().find(|what| what.name() == name)
}

/// A query that takes a function for an aggregate fails at its columns: the error says how it is meant.
fn hinted(error: Error, called: &[What]) -> Error {
    match (error, called.first()) {
        (Error::Query(problem), Some(what)) if problem.contains("GROUP BY") && !problem.contains("write ") => {
            Error::Query(format!("{}: {problem}: {}", what.name(), what.usage()))
        }
        (error, _) => error,
    }
}
