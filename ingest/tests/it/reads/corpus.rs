//! Real files, against samtools: every column of every record, and the lengths of all sequences.

use std::{path::Path, process::Command};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{Int32Type, UInt16Type},
};
use unspool_ingest::reads::ReadOptions;

use super::{bases, numbers, read, text};
use crate::samples::{Sample, data, files};

/// Output of samtools, or `None` (said on stderr) where it is not installed.
pub(super) fn samtools(arguments: &[&str], file: &Path) -> Option<String> {
    let Ok(output) = Command::new("samtools").args(arguments).arg(file).output() else {
        eprintln!("skipped: samtools is not installed (apt-get install samtools)");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// The first eleven SAM columns of each record; records must not come in pieces.
pub(super) fn sam_lines(rows: &RecordBatch) -> Vec<String> {
    let or = |v: &Option<String>, other: &str| v.clone().unwrap_or_else(|| other.to_owned());
    let one_based = |v: Option<u64>| v.map_or(0, |v| v + 1).to_string();
    let (id, sequence, cigar) = (text(rows, "id"), text(rows, "sequence"), text(rows, "cigar"));
    let (reference, mate) = (text(rows, "reference"), text(rows, "mate_reference"));
    let (position, mate_position) = (numbers(rows, "position"), numbers(rows, "mate_position"));
    let mapping_quality = numbers(rows, "mapping_quality");
    let flag = rows.column_by_name("flag").unwrap().as_primitive::<UInt16Type>();
    let template_length = rows.column_by_name("template_length").unwrap().as_primitive::<Int32Type>();
    let quality = rows.column_by_name("quality").unwrap().as_binary::<i32>();
    let line = |i: usize| {
        let scores: String = quality.value(i).iter().map(|q| char::from(q + 33)).collect();
        let mate = if mate[i].is_some() && mate[i] == reference[i] { "=".into() } else { or(&mate[i], "*") };
        [
            or(&id[i], "*"),
            flag.value(i).to_string(),
            or(&reference[i], "*"),
            one_based(position[i]),
            mapping_quality[i].unwrap_or(255).to_string(),
            or(&cigar[i], "*"),
            mate,
            one_based(mate_position[i]),
            template_length.value(i).to_string(),
            or(&sequence[i], "*"),
            if quality.is_null(i) { "*".into() } else { scores },
        ]
        .join("\t")
    };
    (0..rows.num_rows()).map(line).collect()
}

/// The first eleven columns of what `samtools view` printed.
pub(super) fn expected_lines(printed: &str) -> Vec<String> {
    printed.lines().map(|line| line.split('\t').take(11).collect::<Vec<_>>().join("\t")).collect()
}

/// Checks all records of a SAM or BAM file, read with 0 and with 2 threads for BGZF.
fn check(path: &Path, records: Option<usize>) {
    let Some(printed) = samtools(&["view"], path) else { return };
    let expected = expected_lines(&printed);
    for bgzf_workers in [0, 2] {
        let got = sam_lines(&read(path, &ReadOptions { bgzf_workers, ..ReadOptions::default() }).clean());
        assert_eq!(got.len(), expected.len(), "{}", path.display());
        for (i, (got, expected)) in got.iter().zip(&expected).enumerate() {
            assert_eq!(got, expected, "{}, record {i}", path.display());
        }
        assert!(records.is_none_or(|records| records == got.len()), "{}", path.display());
    }
}

#[test]
fn alignments_are_those_that_samtools_prints() {
    for folder in ["genomics/bam/nim-hts", "genomics/bam/mosdepth", "genomics/bam/biopython", "genomics/reads"] {
        let Some(folder) = data(folder) else { return };
        for file in files(&folder, &[".bam", ".sam"]) {
            check(&file, None);
        }
    }
    let Some(folder) = data("genomics/conformance/hts-specs/bam/passed") else { return };
    for file in files(&folder, &[".bam"]) {
        check(&file, Some(20_000));
    }
}

/// Names and lengths by `samtools faidx`, of a copy of the file (plain or bgzip).
fn check_fasta(path: &Path) {
    let mut bytes = vec![];
    let file = std::fs::File::open(path).unwrap();
    if path.extension().is_some_and(|e| e == "gz") {
        std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(file), &mut bytes).unwrap();
    } else {
        bytes = std::fs::read(path).unwrap();
    }
    let copy = Sample::new("copy.fa", &bytes);
    if samtools(&["faidx"], &copy.path()).is_none() {
        return;
    }
    let index = std::fs::read_to_string(copy.path().with_extension("fa.fai")).unwrap();
    let expected: Vec<_> = index.lines().map(|l| l.split('\t').take(2).collect::<Vec<_>>().join("\t")).collect();
    let rows = read(path, &ReadOptions { piece_bases: 999, ..ReadOptions::default() }).clean();
    let (id, start, sequence) = (text(&rows, "id"), numbers(&rows, "start"), text(&rows, "sequence"));
    let last = rows.column_by_name("last").unwrap().as_boolean();
    let ends = (0..rows.num_rows()).filter(|&i| last.value(i));
    let got: Vec<_> = ends
        .map(|i| {
            let length = start[i].unwrap() + sequence[i].as_ref().unwrap().len() as u64;
            format!("{}\t{length}", id[i].as_ref().unwrap())
        })
        .collect();
    assert_eq!(got, expected, "{}", path.display());
    let letters = bytes.split(|&b| b == b'\n').filter(|l| !l.starts_with(b">")).flatten();
    let letters: Vec<u8> = letters.copied().filter(|&b| b != b'\r').collect();
    assert_eq!(sequence.into_iter().flatten().collect::<String>().as_bytes(), letters, "{}", path.display());
}

#[test]
fn contigs_have_the_lengths_that_samtools_finds() {
    let Some(folder) = data("genomics/genomes") else { return };
    for file in files(&folder, &[".fa", ".fa.gz", ".fna", ".fna.gz", ".fasta"]) {
        check_fasta(&file);
    }
    let Some(file) = data("genomics/conformance/hts-specs/cram/ce.fa.gz") else { return };
    check_fasta(&file);
}

#[test]
fn fastq_reads_are_those_that_samtools_imports() {
    let Some(folder) = data("genomics/reads") else { return };
    for file in files(&folder, &[".fq.gz"]) {
        let Some(printed) = samtools(&["import", "-O", "SAM", "-0"], &file) else { return };
        let expected: Vec<_> =
            printed.lines().filter(|l| !l.starts_with('@')).map(|l| columns(l, &[0, 9, 10])).collect();
        let rows = read(&file, &ReadOptions::default()).clean();
        let quality = rows.column_by_name("quality").unwrap().as_binary::<i32>();
        let scores = quality.iter().map(|q| q.unwrap().iter().map(|q| char::from(q + 33)).collect::<String>());
        let (id, sequence) = (text(&rows, "id"), text(&rows, "sequence"));
        let got: Vec<_> = id.into_iter().zip(sequence).zip(scores).collect();
        assert_eq!(got.len(), expected.len());
        for (((id, sequence), scores), expected) in got.into_iter().zip(expected) {
            // samtools takes the mate's number off the name, and writes `*` for a lone `*` quality and for no base.
            let id = id.unwrap();
            let id = id.strip_suffix("/1").or(id.strip_suffix("/2")).unwrap_or(&id);
            assert_eq!([id, &sequence.unwrap(), &scores], expected[..], "{}", file.display());
        }
    }
}

fn columns<'a>(line: &'a str, which: &[usize]) -> Vec<&'a str> {
    let all: Vec<_> = line.split('\t').collect();
    which.iter().map(|&i| all[i]).collect()
}

#[test]
fn sums_stay_as_they_are_without_samtools() {
    // As `samtools view` 1.16 counts and sums them.
    let cases: [(&str, usize, usize, u64, u64); 4] = [
        ("genomics/bam/nim-hts/HG02002.bam", 4109, 415009, 240281, 134753369767),
        ("genomics/bam/nim-hts/sa.bam", 308, 16537, 8814, 2246125359),
        ("genomics/bam/mosdepth/nanopore.bam", 186, 249110, 10634, 59852),
        ("genomics/reads/lambda_combined_reads.unaligned.bam", 26000, 4234936, 0, 0),
    ];
    for (path, records, length, mapping_quality, position) in cases {
        let Some(path) = data(path) else { return };
        let rows = read(&path, &ReadOptions::default()).clean();
        let sum = |column| numbers(&rows, column).into_iter().flatten().sum::<u64>();
        let got = (rows.num_rows(), bases(&rows), sum("mapping_quality"), sum("position"));
        assert_eq!(got, (records, length, mapping_quality, position), "{}", path.display());
    }
}
