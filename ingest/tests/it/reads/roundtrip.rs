//! Any records, written in any legal way, are read as they were: whatever the wrapping, the compression and the limits.

use std::fmt::Write;

use arrow::array::AsArray;
use proptest::prelude::*;
use unspool_ingest::reads::{ReadFormat, ReadOptions};

use super::{numbers, read, text};
use crate::samples::{Sample, bgzip, gzip};

/// A record: name, bases, qualities.
type Record = (String, String, String);

fn record() -> impl Strategy<Value = Record> {
    ("[!-=?A-Za-z~]{1,12}", "[ACGTNacgtn*.-]{0,60}").prop_flat_map(|(name, bases)| {
        let scores = prop::collection::vec(33u8..=126, bases.len());
        scores.prop_map(move |scores| {
            (name.clone(), bases.clone(), scores.into_iter().map(char::from).collect::<String>())
        })
    })
}

/// Some bytes in lines of `width`.
fn wrapped(text: &str, width: usize, end: &str) -> String {
    let lines = text.as_bytes().chunks(width).map(|line| String::from_utf8_lossy(line).into_owned() + end);
    lines.collect()
}

fn fasta(records: &[Record], width: usize, end: &str) -> String {
    records.iter().fold(String::new(), |mut file, (name, bases, _)| {
        write!(file, ">{name} of a test{end}{}", wrapped(bases, width, end)).unwrap();
        file
    })
}

fn fastq(records: &[Record], width: usize, end: &str) -> String {
    records.iter().fold(String::new(), |mut file, (name, bases, scores)| {
        let (bases, scores) = (wrapped(bases, width, end), wrapped(scores, width, end));
        write!(file, "@{name} of a test{end}{bases}+{end}{scores}").unwrap();
        file
    })
}

/// The records that rows are pieces of.
fn joined(rows: &arrow::array::RecordBatch) -> Vec<Record> {
    let (names, bases, starts) = (text(rows, "id"), text(rows, "sequence"), numbers(rows, "start"));
    let (last, quality) = (rows.column_by_name("last").unwrap(), rows.column_by_name("quality").unwrap());
    let (last, quality) = (last.as_boolean(), quality.as_binary::<i32>());
    let mut records: Vec<Record> = vec![];
    let mut whole = true;
    for i in 0..rows.num_rows() {
        if whole {
            records.push((names[i].clone().unwrap(), String::new(), String::new()));
        }
        let record = records.last_mut().unwrap();
        assert_eq!(starts[i], Some(record.1.len() as u64));
        record.1.push_str(bases[i].as_ref().unwrap());
        record.2.extend(quality.value(i).iter().map(|score| char::from(score + 33)));
        whole = last.value(i);
    }
    assert!(whole, "the last record has no end");
    records
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn records_are_read_as_written(
        records in prop::collection::vec(record(), 0..8),
        (width, form, windows) in (1usize..70, 0usize..3, any::<bool>()),
        (batch_rows, batch_bases, piece_bases) in (1usize..5, 1usize..80, 1usize..70),
    ) {
        let end = if windows { "\r\n" } else { "\n" };
        let options = |format| ReadOptions { format, batch_rows, batch_bases, piece_bases, ..ReadOptions::default() };
        let stored = |text: String| match form {
            0 => text.into_bytes(),
            1 => gzip(text.as_bytes()),
            _ => bgzip(text.as_bytes(), width),
        };
        let sample = Sample::new("x", &stored(fastq(&records, width, end)));
        let rows = read(&sample.path(), &options(Some(ReadFormat::Fastq))).clean();
        prop_assert_eq!(joined(&rows), records.clone());

        let sample = Sample::new("x", &stored(fasta(&records, width, end)));
        let rows = read(&sample.path(), &options(Some(ReadFormat::Fasta))).clean();
        let without_scores = |(name, bases, _): &Record| (name.clone(), bases.clone(), String::new());
        prop_assert_eq!(joined(&rows), records.iter().map(without_scores).collect::<Vec<_>>());
    }
}
