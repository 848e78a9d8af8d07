//! BAM: header, fields, tags.
#![no_main]

mod file;

use libfuzzer_sys::fuzz_target;
use unspool_ingest::reads::{self, ReadFormat, ReadOptions};

fuzz_target!(|bytes: &[u8]| {
    let small =
        ReadOptions { batch_rows: 3, batch_bases: 64, piece_bases: 16, bgzf_workers: 0, ..ReadOptions::default() };
    let options = ReadOptions { format: Some(ReadFormat::Bam), ..small };
    file::check(bytes, |path, start| reads::decoder(path, &ReadOptions { start, ..options.clone() }));
});
