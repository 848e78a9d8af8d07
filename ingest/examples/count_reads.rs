//! Counts the records and bases of a file of reads or contigs, and says how fast it read them.
//!
//! `cargo run --release -p unspool-ingest --example count_reads -- FILE [--columns id,sequence] [--workers N]
//! [--region R]`

use std::{env, error::Error, path::PathBuf, time::Instant};

use arrow::array::AsArray;
use unspool_ingest::{
    Source,
    reads::{self, ReadOptions},
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut path = None;
    let mut options = ReadOptions::default();
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--columns" => options.columns = Some(value()?.split(',').map(str::to_owned).collect()),
            "--workers" => options.bgzf_workers = value()?.parse()?,
            "--region" => options.region = Some(value()?),
            _ => path = Some(PathBuf::from(argument)),
        }
    }
    let path = path.ok_or("which file?")?;
    let began = Instant::now();
    let mut source = reads::open(&path, &options)?;
    let (mut rows, mut records, mut bases, mut rejects) = (0, 0, 0, 0);
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    while let Some(batch) = runtime.block_on(source.next())? {
        rows += batch.rows.num_rows();
        rejects += batch.rejects.len();
        if let Some(last) = batch.rows.column_by_name("last") {
            records += last.as_boolean().true_count();
        }
        if let Some(sequence) = batch.rows.column_by_name("sequence") {
            let offsets = sequence.as_string::<i32>().value_offsets();
            bases += offsets.last().zip(offsets.first()).map_or(0, |(end, start)| i64::from(end - start));
        }
        for reject in &batch.rejects {
            eprintln!("{}: {}", reject.place, reject.reason);
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{rows} rows, {records} records, {bases} bases, {rejects} rejects in {seconds:.3} s");
    println!("{:.2} M rows/s, {:.1} M bases/s", rows as f64 / seconds / 1e6, bases as f64 / seconds / 1e6);
    Ok(())
}
