//! CRAM, decoded by noodles: what panics there is an error here. Checksums are made right first, else nothing would come by them.
#![no_main]

mod file;
mod sealed;

use std::panic;

use libfuzzer_sys::fuzz_target;
use unspool_ingest::reads::{self, ReadFormat, ReadOptions};

fuzz_target!(
    init: {
        // A panic of the decoder is caught, and no finding: the fuzzer's own hook would end the process.
        panic::set_hook(Box::new(|_| ()));
    },
    |bytes: &[u8]| {
        let small = ReadOptions { batch_rows: 3, batch_bases: 64, piece_bases: 16, ..ReadOptions::default() };
        let options = ReadOptions { format: Some(ReadFormat::Cram), ..small };
        let mut bytes = bytes.to_vec();
        sealed::seal(&mut bytes);
        file::check(&bytes, |path, start| reads::decoder(path, &ReadOptions { start, ..options.clone() }));
    }
);
