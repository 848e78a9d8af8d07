//! Answering a query.

use std::{path::Path, sync::Arc, thread::available_parallelism, time::Instant};

use arrow::{array::RecordBatch, util::pretty::pretty_format_batches};
use unspool_ingest::CommitToken;
use unspool_pipelines::{
    Destination, FileSink, Pooling, Sink,
    sql::{Answer, Functions, Limits, SqlSession, Unused},
};

use super::SqlArgs;
use crate::{
    error::{Error, Result},
    model, print,
    progress::say,
    run,
};

/// Answers a query.
///
/// # Errors
/// As [`super::run`].
pub(super) fn run(args: SqlArgs) -> Result<()> {
    if matches!(args.pool, Pooling::Token | Pooling::Window(_)) {
        return Err(Error::Usage("--pool: a query gives one embedding a series: mean, last or max".into()));
    }
    let threads = args.threads.map_or_else(|| available_parallelism().map_or(1, usize::from), usize::from);
    let (runtime, cancel) = run::stopped_by_signals_with(threads)?;
    let done = runtime.block_on(async {
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(Error::Interrupted),
            done = answer(&args, threads) => done,
        }
    });
    // What still computes ends with the process: nobody waits for it.
    runtime.shutdown_background();
    done
}

async fn answer(args: &SqlArgs, threads: usize) -> Result<()> {
    let began = Instant::now();
    let session = session(args, threads)?;
    let answer = session.query(&args.query).await?;
    match &args.output {
        Some(path) => {
            let rows = write(args, &session, (answer, path)).await?;
            if !args.quiet {
                say(&format!("{rows} rows in {:.1} s: {}", began.elapsed().as_secs_f64(), path.display()));
            }
        }
        None => show(args, answer).await?,
    }
    match session.unused() {
        Unused { count, first: Some(first) } if !args.quiet => {
            say(&format!("warning: {count} rows were not used; the first: {}: {}", first.place, first.reason));
        }
        _ => (),
    }
    Ok(())
}

fn session(args: &SqlArgs, threads: usize) -> Result<SqlSession> {
    let memory = usize::try_from(u64::from(args.memory_mib) << 20).unwrap_or(usize::MAX);
    let limits = Limits { memory, spill: args.spill.clone(), threads };
    let (dir, options, quiet) = (args.model.clone(), model::options(args.device, args.threads), args.quiet);
    let load = move || {
        let model = model::open(dir.as_deref(), options)?;
        if let (Some(warning), false) = (model::fell_back(&model), quiet) {
            say(&format!("warning: {warning}"));
        }
        Ok(Arc::new(model))
    };
    let functions = Functions { layer: args.layer, pooling: args.pool, ..Functions::default() };
    Ok(SqlSession::new(&limits, Box::new(load), functions)?)
}

/// Writes the rows into a file that appears whole or not at all, and counts them.
async fn write(args: &SqlArgs, session: &SqlSession, (mut answer, path): (Answer, &Path)) -> Result<u64> {
    let said = [("command", "sql".to_owned()), ("query", args.query.clone())];
    let metadata = session.model().map_or(vec![], |model| run::metadata(&model, &said));
    let destination = Destination { path: path.into(), overwrite: args.overwrite, metadata };
    let mut sink = FileSink::create(destination, answer.schema())?;
    tracing::debug!("running");
    let mut count = 0;
    while let Some(rows) = answer.next().await? {
        count += rows.num_rows() as u64;
        sink.commit(rows, vec![], None, CommitToken::default()).await?;
    }
    sink.finish().await?;
    Ok(count)
}

/// Prints a table of the first rows; the others are not computed.
async fn show(args: &SqlArgs, mut answer: Answer) -> Result<()> {
    let (mut all, mut room, mut more) = (vec![RecordBatch::new_empty(answer.schema())], args.rows.get(), false);
    while let Some(rows) = answer.next().await? {
        if rows.num_rows() > room {
            all.push(rows.slice(0, room));
            more = true;
            break;
        }
        room -= rows.num_rows();
        all.push(rows);
    }
    let table = pretty_format_batches(&all).map_err(unspool_pipelines::Error::from)?;
    print(&table.to_string())?;
    if more && !args.quiet {
        say(&format!(
            "only the first {} rows are shown: --output FILE.parquet writes all, --rows N shows more",
            args.rows
        ));
    }
    Ok(())
}
