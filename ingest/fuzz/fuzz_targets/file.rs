//! Any bytes as a file, for the readers of files.

use std::{env, fs, path::Path, process};

use unspool_ingest::{Decode, Position, Result, conformance};

/// Has a reader read the bytes, under the law of [`conformance::any_bytes`].
pub fn check(bytes: &[u8], open: impl Fn(&Path, Option<Position>) -> Result<Box<dyn Decode>>) {
    let path = env::temp_dir().join(format!("unspool-fuzz-{}", process::id()));
    fs::write(&path, bytes).expect("a temporary file can be written");
    if let Err(broken) = conformance::any_bytes(|start| open(&path, start)) {
        eprintln!("{broken}");
        process::abort();
    }
}
