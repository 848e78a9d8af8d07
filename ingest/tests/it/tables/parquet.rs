//! Parquet.

use std::{path::PathBuf, sync::Arc};

use arrow::{
    array::{
        ArrayRef, Date32Array, Decimal128Array, DictionaryArray, Float32Array, Float64Array, Int32Array, Int64Array,
        LargeStringArray, ListArray, RecordBatch, StringArray, StringViewArray, TimestampMillisecondArray,
        TimestampNanosecondArray, TimestampSecondArray, UInt8Array, UInt64Array,
    },
    compute::cast,
    datatypes::{DataType, Field, Float64Type, Int32Type, Int64Type},
};
use parquet::{arrow::ArrowWriter, basic::Compression, file::properties::WriterProperties};
use tempfile::TempDir;
use unspool_ingest::tables::{Layout, SeriesOptions};

use super::{conforms, read, write};

type Columns<'a> = Vec<(&'a str, ArrayRef)>;

/// Writes a file with row groups of three rows.
fn file(dir: &TempDir, name: &str, columns: Columns<'_>) -> PathBuf {
    let rows = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
    let properties =
        WriterProperties::builder().set_max_row_group_row_count(Some(3)).set_compression(Compression::SNAPPY).build();
    let path = dir.path().join(name);
    let mut writer =
        ArrowWriter::try_new(std::fs::File::create(&path).unwrap(), rows.schema(), Some(properties)).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    path
}

/// Checks what is read of columns.
fn check(columns: Columns<'_>, options: &SeriesOptions, expected: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "a.parquet", columns);
    let answer = read(&[path], options).unwrap_or_else(|error| format!("error: {error}"));
    assert_eq!(answer.replace(&format!("{}/", dir.path().display()), ""), expected);
}

fn ids() -> ArrayRef {
    Arc::new(StringArray::from(vec!["a", "b", "a", "b"]))
}

fn times() -> ArrayRef {
    Arc::new(Int64Array::from(vec![1, 1, 2, 3]))
}

fn values() -> ArrayRef {
    Arc::new(Float64Array::from(vec![Some(1.0), None, Some(f64::NAN), Some(2.5)]))
}

fn list(lists: Vec<Option<Vec<Option<f64>>>>) -> ArrayRef {
    Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(lists))
}

fn lists() -> SeriesOptions {
    SeriesOptions { layout: Layout::List, ..SeriesOptions::default() }
}

#[test]
fn ids_of_every_type() {
    let dictionary: DictionaryArray<Int32Type> = ["a", "b", "a", "b"].into_iter().collect();
    for ids in [
        ids(),
        Arc::new(LargeStringArray::from(vec!["a", "b", "a", "b"])),
        Arc::new(StringViewArray::from(vec!["a", "b", "a", "b"])),
        Arc::new(dictionary),
    ] {
        let columns = vec![("id", ids), ("time", times()), ("value", values())];
        check(columns, &SeriesOptions::default(), "a 1 1\nb 1 -\na 2 -\nb 3 2.5");
    }
    let integers: ArrayRef = Arc::new(UInt64Array::from(vec![7, u64::MAX, 7, 8]));
    let columns = vec![("item_id", integers), ("time", times()), ("y", values())];
    check(columns, &SeriesOptions::default(), "7 1 1\n18446744073709551615 1 -\n7 2 -\n8 3 2.5");
    let columns =
        vec![("id", Arc::new(Float32Array::from(vec![1.0])) as ArrayRef), ("v", Arc::new(Int32Array::from(vec![1])))];
    check(
        columns,
        &SeriesOptions::default(),
        "error: a.parquet: the id column 'id' is Float32: neither text nor integers",
    );
}

#[test]
fn times_of_every_type() {
    let value = || Arc::new(Int32Array::from(vec![1])) as ArrayRef;
    let second = "a 1970-01-01T00:00:01 1";
    let cases: Vec<(ArrayRef, &str)> = vec![
        (Arc::new(TimestampSecondArray::from(vec![1])), second),
        (Arc::new(TimestampMillisecondArray::from(vec![1000]).with_timezone("+02:00")), second),
        (Arc::new(TimestampMillisecondArray::from(vec![1000]).with_timezone("UTC")), second),
        (Arc::new(TimestampMillisecondArray::from(vec![1000]).with_timezone("Europe/Berlin")), second),
        (Arc::new(TimestampNanosecondArray::from(vec![1_000_000_999])), second),
        (Arc::new(Date32Array::from(vec![1])), "a 1970-01-02T00:00:00 1"),
        (Arc::new(UInt8Array::from(vec![3])), "a 3 1"),
        (Arc::new(Int32Array::from(vec![-3])), "a -3 1"),
        (Arc::new(UInt64Array::from(vec![u64::MAX])), "! row 0: column 'value': the time is missing or out of range"),
        (
            Arc::new(TimestampSecondArray::from(vec![i64::MAX])),
            "! row 0: column 'value': the time is missing or out of range",
        ),
        (
            Arc::new(StringArray::from(vec!["1970"])),
            "error: a.parquet: the time column 'time' is Utf8: neither timestamps, dates nor integers; cast it before",
        ),
    ];
    for (time, expected) in cases {
        check(vec![("time", time), ("value", value())], &SeriesOptions::default(), expected);
    }
}

#[test]
fn values_of_every_type() {
    let types = [
        DataType::Int8,
        DataType::Int16,
        DataType::Int32,
        DataType::Int64,
        DataType::UInt8,
        DataType::UInt16,
        DataType::UInt32,
        DataType::UInt64,
        DataType::Float16,
        DataType::Float32,
        DataType::Float64,
        DataType::Decimal128(10, 2),
        DataType::Decimal256(40, 3),
    ];
    for data_type in types {
        let column = cast(&(Arc::new(Int64Array::from(vec![Some(7), None])) as ArrayRef), &data_type).unwrap();
        check(vec![("measured", column)], &SeriesOptions::default(), "a 0 7\na 1 -");
    }
    let decimals = Decimal128Array::from(vec![12_345]).with_precision_and_scale(10, 2).unwrap();
    check(vec![("v", Arc::new(decimals))], &SeriesOptions::default(), "a 0 123.45");
}

#[test]
fn rejects_say_where_and_why() {
    let ids: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("a"), Some("a"), Some("a"), Some("a")]));
    let times: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(2), None, Some(3), Some(3), Some(1)]));
    let values: ArrayRef = Arc::new(Float32Array::from(vec![f32::INFINITY, 1.0, 1.0, 1.0, 2.0, 3.0]));
    check(
        vec![("id", ids), ("time", times), ("value", values)],
        &SeriesOptions::default(),
        "a 3 1\n\
         ! row 0: column 'value': the value is infinite\n\
         ! row 1: the id is missing\n\
         ! row 2: column 'value': the time is missing or out of range\n\
         ! row 1: column 'value': a second row at step 3 (series 'a' is already at step 3)\n\
         ! row 2: column 'value': late: step 1 (series 'a' is already at step 3)",
    );
}

#[test]
fn wide_tables() {
    let column = || Arc::new(Int32Array::from(vec![1, 2])) as ArrayRef;
    let all = SeriesOptions { values: vec!["*".into()], ..SeriesOptions::default() };
    let text = Arc::new(StringArray::from(vec!["x", "y"])) as ArrayRef;
    check(vec![("u", column()), ("note", text), ("v", column())], &all, "u 0 1\nv 0 1\nu 1 2\nv 1 2");
    check(
        vec![("u", column()), ("v", column())],
        &SeriesOptions::default(),
        "error: a.parquet: several columns could be the value: name one, several, or '*' for each as a series; the columns are: u, v",
    );
}

#[test]
fn rows_that_are_series() {
    let values =
        || list(vec![Some(vec![Some(1.0), None]), None, Some(vec![]), Some(vec![Some(f64::INFINITY), Some(3.0)])]);
    let ids = || Arc::new(StringArray::from(vec!["a", "b", "c", "d"])) as ArrayRef;
    let rejects = "! row 1: column 'target': the list is missing\n! row 0: series 'd', value 1: the value is infinite";
    check(vec![("id", ids()), ("target", values())], &lists(), &format!("a 0 1\na 1 -\nd 1 3\n{rejects}"));
    let start: ArrayRef = Arc::new(Int64Array::from(vec![10, 0, 0, 5]));
    check(
        vec![("id", ids()), ("start", start), ("target", values())],
        &lists(),
        &format!("a 10 1\na 11 -\nd 6 3\n{rejects}"),
    );
    let start = || Arc::new(Date32Array::from(vec![30, 0, 0, 0])) as ArrayRef;
    let columns = || vec![("id", ids()), ("start", start()), ("target", values())];
    let monthly = SeriesOptions { frequency: "monthly".parse().ok(), ..lists() };
    check(
        columns(),
        &monthly,
        &format!("a 1970-01-31T00:00:00 1\na 1970-02-28T00:00:00 -\nd 1970-02-01T00:00:00 3\n{rejects}"),
    );
    check(
        columns(),
        &lists(),
        "error: a.parquet: the lists start at times ('start'), but nothing says how often values follow: give the frequency",
    );
    check(
        columns(),
        &SeriesOptions { time: Some("start".into()), ..SeriesOptions::default() },
        "error: a.parquet: column 'target' is List(Float64), not a number; \
         there are columns of lists: read them with the list layout",
    );
    let item = Arc::new(Field::new_list_field(DataType::Float64, true));
    for data_type in [DataType::LargeList(Arc::clone(&item)), DataType::FixedSizeList(item, 2)] {
        let pairs = cast(&list(vec![Some(vec![Some(1.0), Some(2.0)])]), &data_type).unwrap();
        check(vec![("v", pairs)], &lists(), "a 0 1\na 1 2");
    }
}

#[test]
fn lists_of_times() {
    let times: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(vec![
        Some(vec![Some(5), Some(7)]),
        Some(vec![Some(1)]),
    ]));
    let values = list(vec![Some(vec![Some(1.0), Some(2.0)]), Some(vec![Some(1.0), Some(2.0)])]);
    check(
        vec![("timestamp", times), ("target", values)],
        &lists(),
        "a 5 1\na 7 2\n! row 1: column 'target': 2 values, but 1 times",
    );
}

#[tokio::test]
async fn the_contract_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let n = 11;
    let column = |f: &dyn Fn(i64) -> i64| Arc::new((0..n).map(|i| Some(f(i))).collect::<Int64Array>()) as ArrayRef;
    let long = |name, shift: i64| {
        file(
            &dir,
            name,
            vec![
                ("id", column(&|i| i % 3)),
                ("time", column(&|i| shift + i - 4 * i64::from(i == 7))),
                ("value", column(&|i| i)),
            ],
        )
    };
    let (first, second) = (long("a.parquet", 0), long("b.parquet", 6));
    conforms(std::slice::from_ref(&first), &SeriesOptions::default(), &[1, 2, 3, 100]).await;
    conforms(&[first, second], &SeriesOptions::default(), &[1, 2, 3, 100]).await;
    let values = list((0..7).map(|i| (i != 2).then(|| (0..i).map(|v| Some(f64::from(v))).collect())).collect());
    let names: ArrayRef = Arc::new((0..7).map(|i| Some(format!("s{i}"))).collect::<StringArray>());
    let path = file(&dir, "c.parquet", vec![("id", names), ("target", values)]);
    conforms(&[path], &lists(), &[1, 2, 3, 100]).await;
    let empty = file(&dir, "d.parquet", vec![("value", Arc::new(Int64Array::from(vec![0; 0])))]);
    conforms(std::slice::from_ref(&empty), &SeriesOptions::default(), &[1]).await;
    assert_eq!(read(&[empty], &SeriesOptions::default()).unwrap(), "");
}

#[test]
fn facts_of_the_footer() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "a.parquet", vec![("id", ids()), ("time", times()), ("value", values())]);
    let facts = unspool_ingest::format::describe(&path).unwrap();
    for (name, value) in [("rows", "4"), ("row groups", "2"), ("compression", "SNAPPY"), ("column value", "Float64")] {
        assert!(facts.contains(&(name.into(), value.into())), "{name}: {facts:?}");
    }
}

#[test]
fn files_that_do_not_go_together() {
    let dir = tempfile::tempdir().unwrap();
    let text: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    let integers = || Arc::new(Int64Array::from(vec![1])) as ArrayRef;
    let days: ArrayRef = Arc::new(Date32Array::from(vec![1]));
    let a = file(&dir, "a.parquet", vec![("id", text), ("time", integers()), ("value", integers())]);
    let b = file(&dir, "b.parquet", vec![("id", integers()), ("time", integers()), ("value", integers())]);
    let c = file(&dir, "c.parquet", vec![("id", integers()), ("time", days), ("value", integers())]);
    for (files, expected) in [
        ([a, b.clone()], ["b.parquet: its ids are integers", "a.parquet text"]),
        ([b, c], ["c.parquet: its times are of kind Timestamp", "b.parquet Step"]),
    ] {
        let error = read(&files, &SeriesOptions::default()).unwrap_err().to_string();
        assert!(expected.iter().all(|part| error.contains(part)), "{error}");
    }
}

#[test]
fn damaged_files_are_errors_and_never_panics() {
    let dir = tempfile::tempdir().unwrap();
    let whole = file(&dir, "a.parquet", vec![("id", ids()), ("time", times()), ("value", values())]);
    let bytes = std::fs::read(&whole).unwrap();
    let expected = read(std::slice::from_ref(&whole), &SeriesOptions::default()).unwrap();
    for (name, damaged, problem) in [
        ("zero.parquet", &b""[..], "not a whole Parquet file"),
        ("start.parquet", &b"PAR1"[..], "not a whole Parquet file"),
        ("cut.parquet", &bytes[..bytes.len() - 5], "cut short"),
        ("inside.parquet.gz", &bytes, "decompress it first"),
    ] {
        let error = read(&[write(&dir, name, damaged)], &SeriesOptions::default()).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
    let mut errors = 0;
    for at in 4..bytes.len() - 4 {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0xff;
        let answer = read(&[write(&dir, "flip.parquet", &damaged)], &SeriesOptions::default());
        errors += usize::from(answer.map_or(true, |rows| rows != expected));
    }
    assert!(errors > 100, "only {errors} damages changed anything");
}
