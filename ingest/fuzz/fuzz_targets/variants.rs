//! VCF and BCF, told by their first bytes; the header's INFO fields as columns.
#![no_main]

mod file;

use libfuzzer_sys::fuzz_target;
use unspool_ingest::variants::{self, VariantOptions};

fuzz_target!(|bytes: &[u8]| {
    file::check(bytes, |path, start| {
        let info = variants::header(path)?.info_names().into_iter().take(4).map(str::to_owned).collect();
        let options = VariantOptions { info, batch_rows: 3, bgzf_workers: 0, start, ..VariantOptions::default() };
        variants::decoder(path, &options)
    });
});
