//! CRAM files, written by samtools, beside what samtools prints of them.

use std::{path::Path, process::Command};

use arrow::array::AsArray;
use unspool_ingest::{
    conformance,
    reads::{self, ReadOptions},
};

use super::{
    corpus::{expected_lines, sam_lines, samtools},
    read,
};
use crate::samples::{Sample, data, files};

const FASTA: &str = ">r1\nACGTACGTACGTACGTACGTACGTACGTACGTACGTACGT\n>r2\nTTTTTTTTTTGGGGGGGGGGCCCCCCCCCCAAAAAAAAAA\n";
const SAM: &str = "@HD\tVN:1.6\tSO:coordinate\n@SQ\tSN:r1\tLN:40\n@SQ\tSN:r2\tLN:40\n\
    a\t0\tr1\t1\t60\t8M\t*\t0\t0\tACGTACGT\tIIIIIIII\tNM:i:0\n\
    b\t99\tr1\t3\t50\t3S5M2I\t=\t20\t21\tACGTACGTAC\t*\n\
    b\t147\tr1\t20\t50\t4M2D4M\t=\t3\t-21\tTTTTGGGG\tABCDEFGH\tXA:Z:x y\n\
    c\t16\tr2\t5\t0\t6M4N6M\t*\t0\t0\tTTATTTGGGGNG\tIIIIIIIIIIII\n\
    d\t4\t*\t0\t0\t*\t*\t0\t0\tACGTN\t!!!!!\n";

/// Bases are stored as they are. (In slices of several references noodles asks for them nevertheless.)
const NO_REFERENCE: [&str; 4] = ["--output-fmt-option", "no_ref=1", "--output-fmt-option", "multi_seq_per_slice=0"];

/// Has samtools write a CRAM and its index; `None` where it is not installed.
fn cram(from: &Path, options: &[&str], reference: Option<&Path>) -> Option<Sample> {
    let sample = Sample::new("x.cram", b"");
    let mut command = Command::new("samtools");
    command.args(["view", "-C", "-o"]).arg(sample.path()).args(options);
    if let Some(reference) = reference {
        command.arg("-T").arg(reference);
    }
    let Ok(output) = command.arg(from).output() else {
        eprintln!("skipped: samtools is not installed (apt-get install samtools)");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let indexed = Command::new("samtools").arg("index").arg(sample.path()).output().unwrap();
    assert!(indexed.status.success() || !options.is_empty(), "{}", String::from_utf8_lossy(&indexed.stderr));
    Some(sample)
}

fn with_reference() -> Option<(Sample, Sample)> {
    let reference = Sample::new("ref.fa", FASTA.as_bytes()).with("fai", b"r1\t40\t4\t40\t41\nr2\t40\t49\t40\t41\n");
    let file = cram(&Sample::new("x.sam", SAM.as_bytes()).path(), &[], Some(&reference.path()))?;
    Some((file, reference))
}

#[test]
fn records_are_those_that_were_written() {
    let Some((file, reference)) = with_reference() else { return };
    let options = ReadOptions { reference: Some(reference.path()), ..ReadOptions::default() };
    let Some(printed) = samtools(&["view", "-T", &reference.path().to_string_lossy()], &file.path()) else { return };
    assert_eq!(sam_lines(&read(&file.path(), &options).clean()), expected_lines(&printed));
    let problem = read(&file.path(), &ReadOptions::default()).error.unwrap().to_string();
    assert!(problem.contains("name the FASTA file it was made with"), "{problem}");
}

#[test]
fn regions_and_positions() {
    let Some((file, reference)) = with_reference() else { return };
    let all = ReadOptions { reference: Some(reference.path()), ..ReadOptions::default() };
    for (region, names) in [
        ("r1", vec!["a", "b", "b"]),
        ("r1:20-25", vec!["b"]),
        ("r2:1-5", vec!["c"]),
        ("r2:1-4", vec![]),
        ("*", vec!["d"]),
    ] {
        let region = Some(region.to_owned());
        let rows = read(&file.path(), &ReadOptions { region, ..all.clone() }).clean();
        assert_eq!(rows["id"].as_string::<i32>().iter().flatten().collect::<Vec<_>>(), names);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for (batch_rows, batch_bases, piece_bases) in [(1, 1, 1), (2, 12, 5), (100, 1 << 20, 1 << 20)] {
        let options = ReadOptions { batch_rows, batch_bases, piece_bases, ..all.clone() };
        runtime
            .block_on(conformance::check(|start| reads::open(&file.path(), &ReadOptions { start, ..options.clone() })));
    }
}

#[test]
fn real_files_have_the_records_that_samtools_prints() {
    for folder in ["genomics/bam/nim-hts", "genomics/bam/biopython", "genomics/reads"] {
        let Some(folder) = data(folder) else { return };
        for file in files(&folder, &[".bam"]) {
            let Some(sample) = cram(&file, &NO_REFERENCE, None) else { return };
            let Some(printed) = samtools(&["view"], &sample.path()) else { return };
            let found = sam_lines(&read(&sample.path(), &ReadOptions::default()).clean());
            let expected = expected_lines(&printed);
            assert_eq!(found.len(), expected.len(), "{}", file.display());
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!(found, expected, "{}", file.display());
            }
        }
    }
}

#[test]
fn damaged_files_end_with_an_error() {
    let Some((file, reference)) = with_reference() else { return };
    let bytes = std::fs::read(file.path()).unwrap();
    let options = ReadOptions { reference: Some(reference.path()), ..ReadOptions::default() };
    for cut in (5..bytes.len()).step_by(3) {
        let outcome = read(&Sample::new("x.cram", &bytes[..cut]).path(), &options);
        assert!(outcome.error.is_some(), "{cut} of {} bytes", bytes.len());
    }
    for at in 6..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 0x55;
        let outcome = read(&Sample::new("x.cram", &changed).path(), &options);
        assert!(outcome.rows.num_rows() <= 100);
    }
}
