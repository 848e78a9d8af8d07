//! Payloads of Kafka messages: any bytes are rows or one reject, and their neighbours are untouched.
#![no_main]

use std::panic;

use libfuzzer_sys::fuzz_target;
use unspool_ingest::kafka::any_bytes;

fuzz_target!(
    init: {
        // A library that gives up on bytes is caught by the decoder, and no finding: the fuzzer's own hook would end the process.
        panic::set_hook(Box::new(|_| ()));
    },
    |bytes: &[u8]| {
        if let Err(broken) = any_bytes::check(bytes) {
            eprintln!("{broken}");
            std::process::abort();
        }
    }
);
