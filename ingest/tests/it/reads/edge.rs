//! Odd but legal records, and what is refused with which words.

use arrow::array::{Array, AsArray};
use unspool_ingest::reads::{ReadFormat, ReadOptions};

use super::{read, text};
use crate::samples::{Sample, bgzip};

/// Reads bytes of a format and gives the sequences, and the reasons of rejects and of an error.
fn outcome(format: ReadFormat, bytes: &[u8]) -> (Vec<Option<String>>, Vec<String>) {
    let sample = Sample::new("x", bytes);
    let outcome = read(&sample.path(), &ReadOptions { format: Some(format), ..ReadOptions::default() });
    let reasons = outcome.rejects.iter().map(|r| format!("{}: {}", r.place, r.reason));
    (text(&outcome.rows, "sequence"), reasons.chain(outcome.error.map(|e| e.to_string())).collect())
}

/// Checks sequences (`None`: not stored) and, in order, a part of each reason.
fn check(format: ReadFormat, bytes: &[u8], sequences: &[Option<&str>], reasons: &[&str]) {
    let shown = String::from_utf8_lossy(bytes);
    let (got, said) = outcome(format, bytes);
    assert_eq!(got.iter().map(Option::as_deref).collect::<Vec<_>>(), sequences, "{shown}");
    assert_eq!(said.len(), reasons.len(), "{shown}: {said:?}");
    for (said, reason) in said.iter().zip(reasons) {
        assert!(said.contains(reason), "{shown}: {said}");
    }
}

#[test]
fn fasta() {
    let check = |bytes: &[u8], sequences: &[Option<&str>], reasons: &[&str]| {
        check(ReadFormat::Fasta, bytes, sequences, reasons);
    };
    check(b"", &[], &[]);
    check(b"\n\r\n\n", &[], &[]);
    check(b">a", &[Some("")], &[]);
    check(b">a\r\nAC\r\n\r\nGT\r\n", &[Some("ACGT")], &[]);
    check(b">a\nACGTacgtNn*-.UR", &[Some("ACGTacgtNn*-.UR")], &[]);
    check(b">a\nAC>GT\n>b\nA\n", &[Some("A")], &["record 0 (byte 5): byte 0x3e ('>')"]);
    check(b">a\nAC\rGT\n>b\nA\n", &[Some("A")], &["byte 0x0d"]);
    check(b">a\nAC 12\n>b\nA\n", &[Some("A")], &["byte 0x20 (' ')"]);
    check(b"ACGT\n>b\nA\n", &[Some("A")], &["record 0 (byte 0): there is no header line"]);
    check(b">\xff\nAC\n>b\nA\n", &[Some("A")], &["not UTF-8"]);
}

#[test]
fn a_contig_that_turns_bad_has_no_last_row() {
    let sample = Sample::new("x.fa", b">a\nACGTACGTAC\n9\n>b\nA\n");
    let outcome = read(&sample.path(), &ReadOptions { piece_bases: 4, ..ReadOptions::default() });
    let last = outcome.rows.column_by_name("last").unwrap().as_boolean();
    assert_eq!(last.iter().map(Option::unwrap).collect::<Vec<_>>(), [false, false, true]);
    assert_eq!(super::numbers(&outcome.rows, "start"), [Some(0), Some(4), Some(0)]);
    assert_eq!(outcome.rejects.len(), 1);
    assert_eq!(outcome.rejects[0].payload, b">a\nAC9\n>b\nA\n");
}

#[test]
fn long_names_end_a_batch() {
    let text: Vec<u8> = (0..70).flat_map(|_| [b">", &vec![b'x'; 1 << 20][1..], b"\nA\n"].concat()).collect();
    let sample = Sample::new("x.fa", &text);
    let mut decoder = unspool_ingest::reads::decoder(&sample.path(), &ReadOptions::default()).unwrap();
    let mut rows = vec![];
    while let Some(batch) = unspool_ingest::Decode::decode(&mut decoder).unwrap() {
        rows.push(batch.rows.num_rows());
    }
    assert_eq!(rows, [65, 5]);
}

#[test]
fn fastq() {
    let check = |bytes: &[u8], sequences: &[Option<&str>], reasons: &[&str]| {
        check(ReadFormat::Fastq, bytes, sequences, reasons);
    };
    check(b"", &[], &[]);
    check(b"@a\n\n+\n\n@b\nA\n+\nI", &[Some(""), Some("A")], &[]);
    check(b"@a\r\nACG\r\n+\r\nIII\r\n", &[Some("ACG")], &[]);
    check(b"@a\nacgN\n+a\n@+@+\n", &[Some("acgN")], &[]);
    check(b"@a\nAC\n+\nI\n@b\nA\n+\nI\n", &[Some("A")], &["record 0 (byte 0): 3 qualities or more for 2 bases"]);
    check(b"@a\nAC\n+\nIII\n@b\nA\n+\nI\n", &[Some("A")], &["3 qualities or more for 2 bases"]);
    check(b"@a\nAC\n+b\nII\n@b\nA\n+\nI\n", &[Some("A")], &["repeats another title"]);
    check(b"@a\nA1\n+\nII\n@b\nA\n+\nI\n", &[Some("A")], &["byte 0x31 ('1')"]);
    check(b"x\n@b\nA\n+\nI\n", &[Some("A")], &["expected a title line"]);
    check(b"@a\nACGT\n", &[], &["the file ends within the record, in its sequence"]);
    check(b"@a\nACGT\n+\nIII", &[], &["after 3 of 4 qualities"]);
    check(b"@\xff\nA\n+\nI\n@b\nA\n+\nI\n", &[Some("A")], &["not UTF-8"]);
}

#[test]
fn sam() {
    let check = |line: &str, sequences: &[Option<&str>], reasons: &[&str]| {
        check(ReadFormat::Sam, format!("@SQ\tSN:r\tLN:9\n{line}\n").as_bytes(), sequences, reasons);
    };
    check("a\t4\t*\t0\t0\t*\t*\t0\t0\t*\t*", &[None], &[]);
    check("a\t4\t*\t0\t0\t*\t*\t0\t0\tA\t*", &[Some("A")], &[]);
    check("a\t4\t*\t0\t0\t*\t*\t0\t0\tACG\tII", &[], &["2 qualities for 3 bases"]);
    check("a\t4\t*\t0\t0\t*\t*\t0\t0\t*\tII", &[], &["2 qualities for 0 bases"]);
    check("a\t4\t*\t0\t0\t*\t*\t0\t0\tA\tI\tNM:i:1\tNM:i:1", &[], &["record 0 (byte 14): tag NM stands twice"]);
    check("a\t4\t*\t0\t0\t*\t*\t0\t0\tA", &[], &["10 columns of at least 11"]);
    check("a\t4\tq\t0\t0\t*\t*\t0\t0\tA\tI", &[], &["reference 'q' has no @SQ line"]);
    check("a\t0\tr\t2147483648\t0\t*\t*\t0\t0\tA\tI", &[], &["position '2147483648' is no number"]);
    check("a\t0\tr\t1\t0\t2M\t*\t0\t0\tA\tI", &[], &["the CIGAR is for 2 bases, the read has 1"]);
}

#[test]
fn sam_headers() {
    let check = |bytes: &[u8], reasons: &[&str]| check(ReadFormat::Sam, bytes, &[], reasons);
    check(b"", &[]);
    check(b"@HD\tVN:1.6\n", &[]);
    check(b"@SQ\tSN:r\n", &["line 1: in the header: there is no LN"]);
    check(b"@CO\tx\n@SQ\tSN:r\tLN:5\n@SQ\tSN:r\tLN:5\n", &["line 3: in the header: there are two references 'r'"]);
    check(b"@RG\tID:1\tPL:illumina\n", &["header line 1: 'illumina' is no value of PL"]);
}

/// A BAM file with one reference of `length` bases and these records.
pub(super) fn bam(length: u32, records: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = b"BAM\x01\0\0\0\0\x01\0\0\0\x02\0\0\0r\0".to_vec();
    bytes.extend(length.to_le_bytes());
    for record in records {
        bytes.extend(u32::try_from(record.len()).unwrap().to_le_bytes());
        bytes.extend(record);
    }
    bytes
}

/// A record of three bases at a position (0-based), with optional fields.
pub(super) fn record(reference: i32, position: i32, cigar: &[u32], tags: &[u8]) -> Vec<u8> {
    let mut bytes = vec![];
    bytes.extend(reference.to_le_bytes());
    bytes.extend(position.to_le_bytes());
    bytes.extend([2, 60, 0, 0]);
    bytes.extend(u16::try_from(cigar.len()).unwrap().to_le_bytes());
    bytes.extend(0u16.to_le_bytes());
    bytes.extend(3u32.to_le_bytes());
    bytes.extend((-1i32).to_le_bytes());
    bytes.extend((-1i32).to_le_bytes());
    bytes.extend(0i32.to_le_bytes());
    bytes.extend(b"a\0");
    bytes.extend(cigar.iter().flat_map(|op| op.to_le_bytes()));
    bytes.extend([0x12, 0x40, 30, 31, 32]);
    bytes.extend(tags);
    bytes
}

#[test]
fn bam_records() {
    let check = |records: &[Vec<u8>], sequences: &[Option<&str>], reasons: &[&str]| {
        check(ReadFormat::Bam, &bgzip(&bam(1 << 30, records), 1 << 15), sequences, reasons);
    };
    let good = record(0, 5, &[3 << 4], b"NMC\x00");
    let changed = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        bytes
    };
    check(&[], &[], &[]);
    check(std::slice::from_ref(&good), &[Some("ACG")], &[]);
    check(&[record(0, 1 << 29, &[], b"")], &[Some("ACG")], &[]);
    let both: (&[Option<&str>], _) = (&[Some("ACG")], |reason| [reason]);
    for (bad, reason) in [
        (
            record(1, 5, &[], b""),
            "record 0 (virtual position 22 (block at byte 0, offset 22)): reference 1 does not exist",
        ),
        (record(0, -2, &[], b""), "position -2 is negative"),
        (record(0, 5, &[2 << 4], b""), "the CIGAR is for 2 bases, the read has 3"),
        (record(0, 5, &[3 << 4 | 9], b""), "operation code 9"),
        (record(0, 5, &[], b"NMC\x00NMC\x00"), "tag NM stands twice"),
        (record(0, 5, &[], b"NMi\x00"), "tag NM of type 'i' is cut short"),
        (record(0, 5, &[], b"N"), "1 bytes after the last"),
        (changed(15, 0x10), "flag 4096 has bits above"),
        (changed(8, 200), "the fields take"),
        (changed(32, b'\n'), "the name has other characters"),
        (changed(33, b'x'), "the name does not end"),
        (changed(19, 0x80), "the number of bases is negative"),
    ] {
        check(&[bad, good.clone()], both.0, &both.1(reason));
    }
    check(&[good.clone(), vec![0; 31]], &[Some("ACG")], &["a record of 31 bytes cannot be"]);
    let mut huge = bam(10, std::slice::from_ref(&good));
    huge.extend(0xffff_fff0_u32.to_le_bytes());
    super::edge::check(ReadFormat::Bam, &bgzip(&huge, 99), &[Some("ACG")], &["a record of 4294967280 bytes cannot be"]);
}

#[test]
fn bam_headers() {
    let check = |bytes: &[u8], reason: &str| check(ReadFormat::Bam, &bgzip(bytes, 1 << 15), &[], &[reason]);
    check(b"", "within the magic bytes");
    check(b"BAM\x02", "not a BAM file");
    check(b"BAM\x01\xff\xff\xff\xff", "length of the header's text is -1");
    check(b"BAM\x01\xff\xff\xff\x10@HD", "within the header's text");
    check(b"BAM\x01\0\0\0\0\xff\xff\xff\x7f", "within the length of a reference's name");
    check(b"BAM\x01\0\0\0\0\x01\0\0\0\0\0\0\0", "length of a reference's name is 0");
    check(b"BAM\x01\0\0\0\0\x01\0\0\0\x02\0\0\0rr\x05\0\0\0", "not text that ends with a zero byte");
    check(&bam(0xffff_ffff, &[]), "a reference's length is -1");
}

#[test]
fn a_cigar_of_more_operations_than_fit_is_found() {
    let operations: Vec<u32> = [vec![1 << 4 | 1; 2], vec![1 << 4]].concat();
    let mut tags = b"CGBI\x03\0\0\0".to_vec();
    tags.extend(operations.iter().flat_map(|op| op.to_le_bytes()));
    let placeholder = [3 << 4 | 4, 1 << 4 | 3];
    let sample = Sample::new("x.bam", &bgzip(&bam(99, &[record(0, 5, &placeholder, &tags)]), 1 << 15));
    let rows = read(&sample.path(), &ReadOptions::default()).clean();
    assert_eq!(text(&rows, "cigar"), [Some("1I1I1M".to_owned())]);
}

#[test]
fn missing_qualities_are_null() {
    let mut bytes = record(0, 5, &[], b"");
    let end = bytes.len();
    bytes[end - 3..].fill(0xff);
    let sample = Sample::new("x.bam", &bgzip(&bam(99, &[bytes]), 1 << 15));
    let rows = read(&sample.path(), &ReadOptions::default()).clean();
    assert!(rows.column_by_name("quality").unwrap().as_binary::<i32>().is_null(0));
    assert_eq!(text(&rows, "sequence"), [Some("ACG".to_owned())]);
}

#[test]
fn requests_that_do_not_fit() {
    let sample = Sample::new("x.fa", b">a\nACGT\n");
    let check = |options: ReadOptions, expected: &str| {
        let error = read(&sample.path(), &options).error.unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    };
    let default = ReadOptions::default;
    check(ReadOptions { columns: Some(vec!["bases".into()]), ..default() }, "no column 'bases'; there are id, start");
    let bgzf = unspool_ingest::Position::Bgzf { virtual_position: 0, record: 0, within: 0 };
    check(ReadOptions { start: Some(bgzf), ..default() }, "another kind of file");
    let text = |offset, within| unspool_ingest::Position::Text { offset, record: 0, within };
    check(ReadOptions { start: Some(text(100, 0)), ..default() }, "nothing at byte 100");
    check(ReadOptions { start: Some(text(0, 100)), ..default() }, "has changed");
    let error = read(std::path::Path::new("/nowhere/x.fa"), &default()).error.unwrap().to_string();
    assert!(error.contains("/nowhere/x.fa"), "{error}");
    let csv = Sample::new("x.csv", b"id,time,value\n");
    assert!(read(&csv.path(), &default()).error.unwrap().to_string().contains("neither FASTA"));
}
