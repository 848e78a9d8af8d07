//! CSV, TSF and Parquet, told by their first bytes; the byte before says whether a row is an observation or a series.
#![no_main]

mod file;

use std::panic;

use libfuzzer_sys::fuzz_target;
use unspool_ingest::tables::{self, Layout, SeriesOptions};

fuzz_target!(
    init: {
        // A panic of the Parquet library is caught, and no finding: the fuzzer's own hook would end the process.
        panic::set_hook(Box::new(|_| ()));
    },
    |bytes: &[u8]| {
        let Some((first, bytes)) = bytes.split_first() else { return };
        let layout = if first % 2 == 0 { Layout::Long } else { Layout::List };
        file::check(bytes, |path, start| {
            let options = SeriesOptions { layout, batch_rows: 3, max_series: 100, start, ..SeriesOptions::default() };
            tables::decoder(&[path.to_owned()], &options)
        });
    }
);
