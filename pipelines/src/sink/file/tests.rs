use std::{cell::RefCell, fs, path::Path};

use arrow::array::AsArray;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;

use super::*;
use crate::sink::conformance;

fn destination(path: PathBuf) -> Destination {
    Destination { path, overwrite: false, metadata: vec![("unspool.model".into(), "tiny".into())] }
}

fn read(path: &Path) -> Option<Vec<RecordBatch>> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).ok()?).expect("a Parquet file");
    Some(reader.build().expect("builds").map(|rows| rows.expect("reads")).collect())
}

fn read_rejects(path: &Path) -> Vec<Reject> {
    let mut rejects = vec![];
    for rows in read(path).unwrap_or_default() {
        let (places, reasons) = (rows.column(0).as_string::<i32>(), rows.column(1).as_string::<i32>());
        let payloads = rows.column(2).as_binary::<i32>();
        for row in 0..rows.num_rows() {
            let (place, reason) = (places.value(row).into(), reasons.value(row).into());
            rejects.push(Reject { place, reason, payload: payloads.value(row).into() });
        }
    }
    rejects
}

/// The suite over files `name0`, `name1`, ...; whatever happens, no temporary file stays.
async fn check(extension: &str, read: impl Fn(&Path) -> Option<Vec<RecordBatch>>) {
    let folder = TempDir::new().unwrap();
    let (number, last) = (RefCell::new(0), RefCell::new(destination(PathBuf::new())));
    let create = || {
        *number.borrow_mut() += 1;
        *last.borrow_mut() = destination(folder.path().join(format!("{}.{extension}", number.borrow())));
        FileSink::create(last.borrow().clone(), conformance::schema())
    };
    let read_back = || {
        let left = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let partial: Vec<_> = left.filter(|name| name.to_string_lossy().ends_with(".partial")).collect();
        assert!(partial.is_empty(), "{partial:?}");
        let rows = read(&last.borrow().path)?;
        Some((rows, read_rejects(&last.borrow().rejects())))
    };
    conformance::check(create, read_back).await;
}

#[tokio::test]
async fn parquet_conforms() {
    check("parquet", read).await;
}

#[tokio::test]
async fn csv_conforms() {
    check("csv", |path| {
        let file = File::open(path).ok()?;
        let reader = arrow::csv::ReaderBuilder::new(conformance::schema()).with_header(true).build(file).unwrap();
        Some(reader.map(|rows| rows.unwrap()).collect())
    })
    .await;
}

#[tokio::test]
async fn bytes_do_not_depend_on_the_commits() {
    let folder = TempDir::new().unwrap();
    let numbers = arrow::array::Int64Array::from_iter_values(0..5000);
    let names: arrow::array::StringArray = (0..5000).map(|n| Some(format!("{}", n % 7))).collect();
    let rows =
        RecordBatch::try_new(conformance::schema(), vec![std::sync::Arc::new(names), std::sync::Arc::new(numbers)]);
    let rows = rows.unwrap();
    let mut files = vec![];
    for cut in [1, 700, 5000] {
        let path = folder.path().join(format!("{cut}.parquet"));
        let mut sink = FileSink::create(destination(path.clone()), conformance::schema()).unwrap();
        for start in (0..5000).step_by(cut) {
            let part = rows.slice(start, cut.min(5000 - start));
            sink.commit(part, vec![], None, CommitToken::default()).await.unwrap();
        }
        sink.finish().await.unwrap();
        files.push(fs::read(path).unwrap());
    }
    assert!(files.iter().all(|file| *file == files[0]));
}

#[tokio::test]
async fn an_existing_output_is_kept_unless_asked() {
    let folder = TempDir::new().unwrap();
    let mut place = destination(folder.path().join("out.parquet"));
    fs::write(&place.path, "precious").unwrap();
    fs::write(place.rejects(), "old rejects").unwrap();
    let refused = FileSink::create(place.clone(), conformance::schema()).err().unwrap().to_string();
    assert!(refused.ends_with("out.parquet: it exists: choose another name, or --overwrite"), "{refused}");
    place.overwrite = true;
    let mut sink = FileSink::create(place.clone(), conformance::schema()).unwrap();
    assert_eq!(fs::read_to_string(&place.path).unwrap(), "precious", "kept until the end");
    sink.finish().await.unwrap();
    assert_eq!(read(&place.path).map(|rows| rows.len()), Some(0));
    assert!(!place.rejects().exists(), "rejects of an earlier run are gone");
}

/// The error for an output at `path`, without the part before the problem.
fn refused(path: PathBuf, schema: SchemaRef) -> String {
    let Error::Output { problem, .. } = FileSink::create(destination(path), schema).err().unwrap() else {
        panic!("another error")
    };
    problem
}

#[test]
fn bad_places_are_refused() {
    let folder = TempDir::new().unwrap();
    let missing = folder.path().join("no/out.parquet");
    let expected = format!("the folder {} does not exist: make it first", folder.path().join("no").display());
    assert_eq!(refused(missing, conformance::schema()), expected);
    assert_eq!(refused(folder.path().into(), conformance::schema()), "it is a folder: name a file");
    let list = arrow::datatypes::Field::new_fixed_size_list(
        "embedding",
        arrow::datatypes::Field::new("item", arrow::datatypes::DataType::Float32, false),
        4,
        false,
    );
    let nested = std::sync::Arc::new(arrow::datatypes::Schema::new(vec![list]));
    let problem = refused(folder.path().join("out.csv"), nested);
    assert_eq!(problem, "CSV cannot hold embeddings: name a .parquet file");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was left behind");
}

#[test]
fn a_full_disk_is_named() {
    let full = ParquetError::from(io::Error::from(io::ErrorKind::StorageFull));
    assert_eq!(problem(full), "the disk is full: free some space, or write elsewhere");
}
