//! Patches a second of the training data, by the length of windows, on one thread.
//!
//! ```text
//! cargo run --release -p unspool-pipelines --example bench_data [-- THREADS [FOLDER]]
//! ```
//!
//! The best of several runs, since a machine's other work only ever makes a run slower. With a folder of real series
//! all windows are of those.

use std::{env, error::Error, hint::black_box, path::PathBuf, time::Instant};

use unspool_pipelines::train::data::{DataOptions, SeriesData};

/// Values of a patch, and of the horizon.
const SIZES: (usize, usize) = (16, 64);
/// Patches of a batch.
const TOKENS: usize = 32_768;
/// Runs of which the best counts.
const RUNS: u64 = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let threads = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let real = arguments.next().map(PathBuf::from);
    println!("{:>8} {:>12} {:>10}", "patches", "patches/s", "ns/value");
    for patches in [8, 16, 32, 64, 128, 256, 1024, 1280] {
        let share = if real.is_some() { 1.0 } else { 0.0 };
        let options = DataOptions {
            real: real.clone(),
            real_share: share,
            lengths: vec![(patches, 1.0)],
            ..DataOptions::default()
        };
        let data = SeriesData::new(options, SIZES.0, SIZES.1, TOKENS)?;
        let run = |step| {
            let start = Instant::now();
            let windows = black_box(data.batch(step, threads));
            start.elapsed().as_secs_f64() / (windows.count * windows.patches) as f64
        };
        let best = (0..RUNS).map(run).fold(f64::INFINITY, f64::min);
        println!("{patches:>8} {:>12.0} {:>10.1}", 1.0 / best, best * 1e9 / SIZES.0 as f64);
    }
    Ok(())
}
