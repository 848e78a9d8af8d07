//! Regions of indexed files, against samtools.

use std::path::Path;

use unspool_ingest::{
    conformance,
    reads::{self, ReadOptions},
};

use super::{
    corpus::{expected_lines, sam_lines, samtools},
    read, text,
};
use crate::samples::{Sample, bgzip, data, gzip};

fn of(region: &str) -> ReadOptions {
    ReadOptions { region: Some(region.into()), ..ReadOptions::default() }
}

/// Resuming within a region loses and repeats nothing.
fn check_contract(path: &Path, options: &ReadOptions) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(conformance::check(|start| reads::open(path, &ReadOptions { start, ..options.clone() })));
}

#[test]
fn alignments_that_overlap() {
    // Each file has a BAI or a CSI; HG02002 both.
    let cases = [
        (
            "nim-hts/HG02002.bam",
            &["*", "6", "6:32,771,000-32,771,500", "6:32800000", "6:32816700-32816800", "11", "X:1"][..],
        ),
        ("nim-hts/sa.bam", &["1", "1:10126-10126", "1:20000-13,036,000", "2:100-200000000", "*"]),
        ("mosdepth/nanopore.bam", &["LXWQ01001294.1", "LXWQ01001294.1:1500-1501", "LXWQ01001294.1:1-1"]),
        ("mosdepth/empty-tids.bam", &["HCV-2", "HPV82:7109-7110", "HPV14:1-110", "HPV14:111", "none"]),
        ("mosdepth/big.bam", &["ref", "ref:600000008-600000008", "ref:1-600000000", "chr1", "*"]),
        ("mosdepth/ovl.bam", &["MT", "MT:80-90"]),
        ("mosdepth/overlapping-pairs.bam", &["1", "1:565174-565174", "1:1-100"]),
    ];
    let Some(folder) = data("genomics/bam") else { return };
    let mut found = 0;
    for (file, regions) in cases {
        let path = folder.join(file);
        let Some(names) = samtools(&["head"], &path) else { return };
        for region in regions {
            let name = region.split(':').next().unwrap();
            if name != "*" && !names.contains(&format!("SN:{name}\t")) {
                assert!(
                    read(&path, &of(region)).error.unwrap().to_string().contains("no reference"),
                    "{file} {region}"
                );
                continue;
            }
            let output = std::process::Command::new("samtools").arg("view").arg(&path).arg(region).output().unwrap();
            let expected = expected_lines(&String::from_utf8(output.stdout).unwrap());
            assert_eq!(sam_lines(&read(&path, &of(region)).clean()), expected, "{file} {region}");
            found += usize::from(!expected.is_empty());
            if expected.len() < 60 {
                let tiny = ReadOptions { batch_rows: 3, piece_bases: 600, ..of(region) };
                check_contract(&path, &tiny);
            }
        }
    }
    assert!(found >= 8, "{found} regions held anything");
}

#[test]
fn pieces_of_contigs() {
    let text_of = |rows: &arrow::array::RecordBatch| text(rows, "sequence").into_iter().flatten().collect::<String>();
    let Some(path) = data("genomics/genomes/C.elegans_1pct.fa.gz") else { return };
    let mut bytes = vec![];
    let file = std::fs::File::open(path).unwrap();
    std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(file), &mut bytes).unwrap();
    let compressed = bgzip(&bytes, 60_000);
    let samples = [Sample::new("x.fa", &bytes), Sample::new("x.fa.gz", &compressed)];
    for sample in &samples {
        if samtools(&["faidx"], &sample.path()).is_none() {
            return;
        }
        for region in ["II", "II:1-1", "II:100-70,123", "II:2000-", "MtDNA:137"] {
            let mut command = std::process::Command::new("samtools");
            let output = command.arg("faidx").arg(sample.path()).arg(region.replace(',', "")).output().unwrap();
            let printed = String::from_utf8(output.stdout).unwrap();
            let expected: String = printed.lines().skip(1).collect();
            assert!(!expected.is_empty(), "{region}");
            let options = ReadOptions { piece_bases: 1001, batch_rows: 7, ..of(region) };
            assert_eq!(text_of(&read(&sample.path(), &options).clean()), expected, "{region}");
            check_contract(&sample.path(), &ReadOptions { piece_bases: 9_999, batch_rows: 2, ..options });
        }
    }
}

#[test]
fn places_in_a_region_are_those_in_the_record() {
    let sample =
        Sample::new("x.fa", b">a\nACGT\nACGT\nAC\n>b\nTTTT\n").with("fai", b"a\t10\t3\t4\t5\nb\t4\t19\t4\t5\n");
    let rows = read(&sample.path(), &ReadOptions { piece_bases: 3, ..of("a:3-9") }).clean();
    assert_eq!(super::numbers(&rows, "start"), [Some(2), Some(5), Some(8)]);
    let sequences: Vec<_> = text(&rows, "sequence").into_iter().flatten().collect();
    assert_eq!(sequences, ["GTA", "CGT", "A"]);
    let last = arrow::array::AsArray::as_boolean(rows.column_by_name("last").unwrap());
    assert_eq!(last.iter().map(Option::unwrap).collect::<Vec<_>>(), [false, false, true]);
}

#[test]
fn what_cannot_be_found_is_said() {
    let fasta = b">a\nACGT\n";
    let index = b"a\t4\t3\t4\t5\n";
    let wrong_index = b"a\t400\t3\t4\t5\n";
    let fastq = b"@a\nA\n+\nI\n";
    let cases = [
        (Sample::new("x.fa", fasta), "a", "samtools faidx"),
        (Sample::new("x.fa", fasta).with("fai", index), "b", "no reference 'b'"),
        (Sample::new("x.fa", fasta).with("fai", index), "a:5-9", "begins after the end"),
        (Sample::new("x.fa", fasta).with("fai", index), "a:3-2", "no range"),
        (Sample::new("x.fa", fasta).with("fai", b"a\tx\n"), "a", "index cannot be read"),
        (Sample::new("x.fa", fasta).with("fai", wrong_index), "a", "index has changed"),
        (
            Sample::new("x.fa", fasta).with("fai", b"a\t99999999999999\t3\t1\t9999999999999999\n"),
            "a:9999999",
            "cannot be",
        ),
        (Sample::new("x.fa.gz", &gzip(fasta)).with("fai", index), "a", "bgzip"),
        (Sample::new("x.fa.gz", &bgzip(fasta, 4)).with("fai", index), "a", "--reindex"),
        (Sample::new("x.fq", fastq), "a", "samtools index"),
    ];
    for (sample, region, expected) in cases {
        let error = read(&sample.path(), &of(region)).error.unwrap().to_string();
        assert!(error.contains(expected), "{region}: {error}");
    }
    let Some(path) = data("genomics/bam/biopython/ex1.bam") else { return };
    let error = read(&path, &of("chr1")).error.unwrap().to_string();
    assert!(error.contains("samtools index"), "{error}");
}

#[test]
fn any_byte_of_an_index_may_be_wrong() {
    let Some(folder) = data("genomics/bam/mosdepth") else { return };
    for (name, index, region) in
        [("ovl.bam", "bai", "MT:1-90"), ("big.bam", "csi", "ref:1-600000010"), ("overlapping-pairs.bam", "bai", "1")]
    {
        let bytes = std::fs::read(folder.join(format!("{name}.{index}"))).unwrap();
        let sample = Sample::new("x.bam", &std::fs::read(folder.join(name)).unwrap()).with(index, &bytes);
        let path = sample.path().with_extension(format!("bam.{index}"));
        for at in 0..bytes.len() {
            for value in [0, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] = value;
                std::fs::write(&path, &bytes).unwrap();
                read(&sample.path(), &of(region));
            }
            std::fs::write(&path, &bytes[..at]).unwrap();
            read(&sample.path(), &of(region));
        }
    }
}
