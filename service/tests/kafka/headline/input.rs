//! What goes in: real series and real DNA reads.

use std::{fs, io::Read as _, path::Path};

use crate::job::Numbers;

/// A series; NaN: missing.
pub(super) struct Series {
    pub id: String,
    pub values: Vec<f64>,
}

/// A read.
pub(super) struct Read {
    pub id: String,
    pub bases: String,
}

/// All of it.
pub(super) struct Input {
    pub series: Vec<Series>,
    pub reads: Vec<Read>,
}

/// Stream jobs give forecasts and embeddings after so many events: each series ends with one.
pub(super) const EVERY: usize = 48;
/// Half hours of a day.
const DAY: usize = 48;
const DAYS: [&str; 7] = ["tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "monday"];
/// Reads of the example file that take part.
const READS: usize = 40;
/// Where there is more data: series of the NN5 set (daily, with missing values) and long reads.
const MORE_SERIES: usize = 13;
const LONG_READS: usize = 3;

impl Input {
    /// The example data (New York's taxis, each day of the week a series; reads of the phage lambda), and more where
    /// `../shared/data`, or the folder that `UNSPOOL_DATA` names, has it.
    pub(super) fn read() -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let more = std::env::var_os("UNSPOOL_DATA").map_or_else(|| here.join("../../shared/data"), Into::into);
        let mut series = taxis(&fs::read_to_string(here.join("examples/data/nyc_taxi.csv")).unwrap());
        let mut reads = fastq(&here.join("examples/data/lambda_reads.fq.gz"), READS);
        let (nn5, long) =
            (more.join("timeseries/benchmark/nn5_daily.tsf"), more.join("genomics/reads/lambda_longreads.fq.gz"));
        if let Ok(text) = fs::read_to_string(nn5) {
            series.extend(tsf(&text).take(MORE_SERIES));
        }
        if long.exists() {
            reads.extend(fastq(&long, LONG_READS));
        }
        Self { series, reads }
    }
}

fn taxis(text: &str) -> Vec<Series> {
    let values: Vec<f64> = text.lines().skip(1).map(|line| line.split_once(',').unwrap().1.parse().unwrap()).collect();
    let mut series = DAYS.map(|day| Series { id: day.to_owned(), values: vec![] });
    for (day, values) in values.chunks_exact(DAY).enumerate() {
        series[day % DAYS.len()].values.extend(values);
    }
    series.into()
}

/// The series of a TSF file, cut to whole multiples of [`EVERY`].
fn tsf(text: &str) -> impl Iterator<Item = Series> {
    text.lines().skip_while(|line| !line.starts_with("@data")).skip(1).map(|line| {
        let (id, rest) = line.split_once(':').unwrap();
        let values = rest.rsplit(':').next().unwrap().split(',').map(|value| value.parse().unwrap_or(f64::NAN));
        let mut values: Vec<f64> = values.collect();
        values.truncate(values.len() / EVERY * EVERY);
        Series { id: id.to_owned(), values }
    })
}

fn fastq(path: &Path, most: usize) -> Vec<Read> {
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let read = |record: &[&str]| Read {
        id: record[0].trim_start_matches('@').split_whitespace().next().unwrap().replace('/', "."),
        bases: record[1].to_owned(),
    };
    lines.chunks_exact(4).take(most).map(read).collect()
}

/// Cuts `len` events into `pieces` at random places: where each ends.
pub(super) fn cuts(numbers: &mut Numbers, (len, pieces): (usize, usize)) -> Vec<usize> {
    let mut ends: Vec<usize> = (1..pieces).map(|_| numbers.next(len as u64) as usize).collect();
    ends.push(len);
    ends.sort_unstable();
    ends
}
