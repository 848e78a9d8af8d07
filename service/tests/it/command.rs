//! Running the binary.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use arrow::{array::RecordBatch, compute::concat_batches};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;

/// What a run gave.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The binary: that of this build, or the one that `UNSPOOL_BIN` names.
pub(crate) fn binary() -> std::ffi::OsString {
    std::env::var_os("UNSPOOL_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_unspool").into())
}

/// The binary, in `folder`, with no settings of the caller's, on the CPU if it is not told otherwise.
pub(crate) fn command(folder: &Path) -> Command {
    let mut command = Command::new(binary());
    command.current_dir(folder).env_remove("UNSPOOL_LOG").env("RUST_BACKTRACE", "1");
    command.env("UNSPOOL_DEVICE", "cpu").env_remove("UNSPOOL_WEIGHTS");
    command
}

/// Runs the binary in `folder`; the arguments are separated by spaces.
pub(crate) fn unspool(folder: &Path, arguments: &str) -> Done {
    let Output { status, stdout, stderr } = command(folder).args(arguments.split_whitespace()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Done { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

/// Runs the binary, which must succeed.
pub(crate) fn succeed(folder: &Path, arguments: &str) -> Done {
    let done = unspool(folder, arguments);
    assert_eq!(done.code, Some(0), "{arguments}: {}", done.stderr);
    done
}

/// A folder with the example data, and with `dna`, an untrained model.
pub(crate) fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    for name in ["nyc_taxi.csv", "lambda.fa.gz", "lambda_reads.fq.gz"] {
        std::fs::copy(example(name), folder.path().join(name)).unwrap();
    }
    succeed(folder.path(), "init dna --d-model 16 --layers 2");
    folder
}

/// Copies a tiny Caduceus model of the model's own tests into `folder`.
pub(crate) fn caduceus(folder: &Path, case: &str) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/goldens").join(case);
    std::fs::create_dir(folder.join(case)).unwrap();
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(golden.join(name), folder.join(case).join(name)).unwrap();
    }
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data").join(name)
}

/// All rows of a Parquet file, and its key-value metadata.
pub(crate) fn read(path: &Path) -> (RecordBatch, Vec<(String, String)>) {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let metadata = builder.metadata().file_metadata().key_value_metadata().cloned().unwrap_or_default();
    let metadata = metadata.into_iter().map(|pair| (pair.key, pair.value.unwrap_or_default())).collect();
    let schema = builder.schema().clone();
    let rows: Vec<RecordBatch> = builder.build().unwrap().map(Result::unwrap).collect();
    (concat_batches(&schema, &rows).unwrap(), metadata)
}

/// The names in a folder that begin with `prefix`, sorted.
pub(crate) fn names(folder: &Path, prefix: &str) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.starts_with(prefix)).collect();
    names.sort();
    names
}
