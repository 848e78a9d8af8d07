//! Files have their names once each, whole, and say where to go on.

use std::{
    fs::File,
    path::Path,
    sync::{Arc, LazyLock},
};

use arrow::{
    array::{Array, AsArray},
    datatypes::{Float64Type, Int64Type},
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use unspool_ingest::{kafka::RejectKind, schema::TimeKind};
use unspool_model::series::Forecast;

use super::*;
use crate::{
    stream::emit::{Emit, Every, Give, Given, Pooling},
    testing::series_model,
};

static MODEL: LazyLock<Arc<Model>> = LazyLock::new(series_model);

fn files(dir: &Path) -> Files {
    let emit = Emit { give: Give::Scores, every: Every::Events(1) };
    Files {
        options: FilesOptions::new(dir.to_owned()),
        folder: Folder { dir: dir.to_owned(), topic: "in".into(), group: "g".into() },
        table: Table::new(&emit, &MODEL, TimeKind::Step).unwrap(),
        metadata: vec![],
        parts: BTreeMap::new(),
    }
}

fn output(offset: i64, content: Given) -> Output {
    Output { partition: 3, offset, series: "a".into(), time: 10 * offset, content }
}

/// Scores of offsets, and one reject at the first of them.
fn given(offsets: std::ops::Range<i64>, rejects: bool) -> Processed {
    let reject = Rejected {
        partition: 3,
        offset: offsets.start,
        kind: RejectKind::Late,
        reason: "late".into(),
        key: None,
        payload: Some(b"?".to_vec()),
    };
    let score = |offset: i64| output(offset, Given::Score { value: offset as f64, p_value: f64::NAN });
    Processed { outputs: offsets.map(score).collect(), rejects: vec![reject; usize::from(rejects)], events: 0 }
}

/// Offsets of a partition's rows, file by file.
fn offsets(dir: &Path, sub: &str) -> Vec<Vec<i64>> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(dir.join(sub)).map_or(vec![], |all| all.map(|entry| entry.unwrap().path()).collect());
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "parquet"));
    paths.sort();
    let read = |path: &PathBuf| {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
        reader.flat_map(|rows| rows.unwrap().column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
    };
    paths.iter().map(read).collect()
}

fn leftovers(dir: &Path) -> usize {
    let folders = ["partition=3", "_rejects/partition=3"].map(|sub| dir.join(sub));
    let all = folders.iter().filter(|folder| folder.exists()).flat_map(|folder| std::fs::read_dir(folder).unwrap());
    all.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".partial")).count()
}

#[test]
fn a_name_is_the_commit() {
    let dir = tempfile::tempdir().unwrap();
    let mut files = files(dir.path());
    let tail = || files_tail(dir.path());
    assert_eq!(tail(), Tail { number: 0, next: None });
    files.begin(3, (tail(), 5), 5).unwrap();
    files.take(3, (10, false), &given(5..10, true)).unwrap();
    files.take(3, (12, true), &given(10..12, false)).unwrap();
    assert_eq!((tail().next, files.due(false), files.due(true)), (None, vec![], vec![3]), "nothing has a name yet");
    let named = files.name(3).unwrap().unwrap();
    assert_eq!((named.next, named.outputs, named.rejects[&RejectKind::Late]), (12, 7, 1));
    assert_eq!(tail(), Tail { number: 1, next: Some(12) });
    files.take(3, (20, false), &given(12..14, false)).unwrap();
    files.drop_partition(3);
    assert_eq!(leftovers(dir.path()), 0, "what was given up is gone");
    files.begin(3, (tail(), 12), 0).unwrap();
    files.take(3, (20, false), &given(12..15, false)).unwrap();
    files.name(3).unwrap().unwrap();
    assert!(files.name(3).unwrap().is_none(), "nothing new, no file");
    assert_eq!(offsets(dir.path(), "partition=3"), [vec![5, 6, 7, 8, 9, 10, 11], vec![12, 13, 14]]);
    assert_eq!(offsets(dir.path(), "_rejects/partition=3"), [vec![5]]);
    for (from, expected) in [(0, vec![12]), (12, vec![12]), (13, vec![])] {
        assert_eq!(files.folder.flushes(3, from).unwrap(), expected, "{from}");
    }
    assert_eq!(leftovers(dir.path()), 0);
}

fn files_tail(dir: &Path) -> Tail {
    files(dir).folder.tail(3).unwrap()
}

#[test]
fn a_number_is_given_once() {
    let dir = tempfile::tempdir().unwrap();
    let (mut frozen, mut successor) = (files(dir.path()), files(dir.path()));
    for files in [&mut frozen, &mut successor] {
        files.begin(3, (Tail::default(), 0), 0).unwrap();
        files.take(3, (4, false), &given(0..4, true)).unwrap();
    }
    successor.take(3, (6, false), &given(4..6, false)).unwrap();
    successor.name(3).unwrap().unwrap();
    let Err(Unnamed::Taken(problem)) = frozen.name(3) else { panic!("named twice") };
    assert!(problem.contains("another worker was first to write"), "{problem}");
    assert_eq!(offsets(dir.path(), "partition=3"), [vec![0, 1, 2, 3, 4, 5]]);
    assert_eq!((offsets(dir.path(), "_rejects/partition=3"), leftovers(dir.path())), (vec![vec![0]], 0));
}

#[test]
fn letters_that_a_crash_left_get_their_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut files = files(dir.path());
    files.begin(3, (Tail::default(), 0), 0).unwrap();
    files.take(3, (4, false), &given(0..4, true)).unwrap();
    let rejects = files.folder.rejects(3);
    let draft = std::fs::read_dir(&rejects).unwrap().next().unwrap().unwrap().path();
    files.name(3).unwrap().unwrap();
    // as if it had ended between the two names
    std::fs::rename(rejects.join("00000000.parquet"), &draft).unwrap();
    assert_eq!(offsets(dir.path(), "_rejects/partition=3"), [[0i64; 0]; 0]);
    assert_eq!(files_tail(dir.path()).next, Some(4));
    assert_eq!(offsets(dir.path(), "_rejects/partition=3"), [[0]]);
}

#[test]
fn other_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut files = files(dir.path());
    files.begin(3, (Tail::default(), 0), 0).unwrap();
    files.take(3, (4, false), &given(0..4, false)).unwrap();
    files.name(3).unwrap().unwrap();
    let other = Folder { group: "h".into(), ..files.folder.clone() };
    let error = other.tail(3).unwrap_err().to_string();
    assert!(error.contains("holds outputs of topic in for group g"), "{error}");
    let path = files.folder.outputs(3).join("00000000.parquet");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let error = files.folder.tail(3).unwrap_err().to_string();
    assert!(error.contains("00000000.parquet is damaged"), "{error}");
}

#[test]
fn size_makes_a_file_due() {
    let dir = tempfile::tempdir().unwrap();
    let mut files = files(dir.path());
    files.options.file_bytes = 20_000;
    files.begin(3, (Tail::default(), 0), 0).unwrap();
    let mut next = 0;
    while files.due(false).is_empty() {
        assert!(next < 100_000, "a file is never large enough");
        files.take(3, (next + 1000, false), &given(next..next + 1000, false)).unwrap();
        next += 1000;
    }
    files.name(3).unwrap().unwrap();
    let bytes = std::fs::metadata(files.folder.outputs(3).join("00000000.parquet")).unwrap().len();
    assert!((5_000..80_000).contains(&bytes), "{bytes}");
    files.options.file_interval = Duration::ZERO;
    files.take(3, (next + 1, false), &Processed::default()).unwrap();
    assert_eq!(files.due(false), [3], "time makes it due too");
}

#[test]
fn every_kind_of_output_has_its_columns() {
    let rows = |give: Give, contents: Vec<Given>| {
        let table = Table::new(&Emit { give, every: Every::Events(1) }, &MODEL, TimeKind::Timestamp).unwrap();
        let outputs: Vec<Output> = (1..).zip(contents).map(|(offset, content)| output(offset, content)).collect();
        table.rows(&outputs.iter().collect::<Vec<_>>()).unwrap()
    };
    let names = |rows: &arrow::array::RecordBatch| -> Vec<String> {
        rows.schema().fields().iter().map(|field| field.name().clone()).collect()
    };
    let score = rows(Give::Scores, vec![Given::Score { value: 0.5, p_value: 0.01 }]);
    assert_eq!(names(&score), ["offset", "series", "time", "value", "p_value", "score"]);
    assert_eq!(score.column(5).as_primitive::<Float64Type>().values(), &[2.0]);
    let levels = MODEL.series_shape().unwrap().levels.clone();
    let wide = levels.len();
    let mut values: Vec<f64> = (0..2 * wide).map(|n| n as f64).collect();
    values[wide] = f64::NAN;
    let forecast = rows(
        Give::Forecast { horizon: 2 },
        vec![
            Given::Forecast(Forecast { levels, values, reason: None }),
            Given::Forecast(Forecast { levels: vec![], values: vec![], reason: None }),
        ],
    );
    assert_eq!((forecast.num_rows(), names(&forecast)[3].as_str(), names(&forecast).len()), (2, "step", 4 + wide));
    assert!(forecast.column(4).is_null(1) && forecast.column(5).is_valid(1));
    assert_eq!(forecast.column(0).as_primitive::<Int64Type>().values(), &[1, 1]);
    let d = MODEL.info().config.d;
    let embedding = rows(
        Give::Embedding { layer: None, pool: Pooling::Mean, restart: false },
        vec![Given::Embedding(vec![0.25; d])],
    );
    assert_eq!((embedding.num_rows(), names(&embedding)[3].as_str()), (1, "embedding"));
}
