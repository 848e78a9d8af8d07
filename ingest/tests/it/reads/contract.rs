//! Every format in every compression keeps the contract of sources, with batches and pieces of a few bases.

use unspool_ingest::{
    conformance,
    reads::{self, ReadFormat, ReadOptions},
};

use super::{
    edge::{bam as bam_file, record},
    read,
};
use crate::samples::{Sample, bgzip, data, gzip};

const FASTA: &str =
    ">a first\nACGTACGTAC\nGTN\n\n>b\n>c\r\nacgu-*.\r\nRYK\r\n>d\nA CGT\n>e\nACGTACGTACGTACGTACGTACGTACGTACGT\nACG";
const FASTQ: &str = "@a x\nACGTACGTACGT\n+\nIIIIIIIIIIII\n\n@b\nACG\nTAC\n+b\n@@@\n+++\nbroken\n@c\n\n+\n\n@d\nAC\n+\nI\n@e\nACGTN\n+\n!!~~I";
const SAM: &str = "@HD\tVN:1.6\tSO:coordinate\n@SQ\tSN:r\tLN:100\n@RG\tID:1\tPL:nothing\n\
    a\t0\tr\t1\t60\t8M\t*\t0\t0\tACGTACGT\tIIIIIIII\tNM:i:0\n\
    b\t99\tr\t3\t255\t3S5M2I\t=\t40\t45\tACGTACGTAC\t*\n\
    bad\t99\tr\t3\t999\t*\t=\t40\t45\tA\t*\n\
    *\t4\t*\t0\t0\t*\t*\t0\t0\t*\t*\n\
    c\t147\tr\t40\t0\t*\tr\t3\t-45\tACGTTTACGT\tABCDEFGHIJ\tXA:Z:x y";

/// Small limits: batches end within records.
fn tiny(batch_rows: usize, batch_bases: usize, piece_bases: usize, bgzf_workers: usize) -> ReadOptions {
    ReadOptions { batch_rows, batch_bases, piece_bases, bgzf_workers, ..ReadOptions::default() }
}

fn check(sample: &Sample, options: &ReadOptions) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime
        .block_on(conformance::check(|start| reads::open(&sample.path(), &ReadOptions { start, ..options.clone() })));
}

/// Checks a text in every compression, and that all give the same rows and rejects.
fn check_text(name: &str, text: &str, rows: usize, rejects: usize) {
    let bytes = text.as_bytes();
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let members = [gzip(first), gzip(second)].concat();
    let forms = [bytes.to_vec(), gzip(bytes), members, bgzip(bytes, 7), bgzip(bytes, 1 << 16)];
    let options = tiny(2, 12, 4, 0);
    let plain = read(&Sample::new(name, bytes).path(), &options);
    assert_eq!((plain.rows.num_rows(), plain.rejects.len()), (rows, rejects), "{name}: {:?}", plain.rejects);
    assert!(plain.error.is_none(), "{name}: {:?}", plain.error);
    for form in forms {
        let sample = Sample::new(name, &form);
        let got = read(&sample.path(), &options);
        assert_eq!(got.rows, plain.rows, "{name}");
        let reasons = |o: &super::Outcome| o.rejects.iter().map(|r| r.reason.clone()).collect::<Vec<_>>();
        assert_eq!(reasons(&got), reasons(&plain), "{name}");
        for options in [tiny(1, 1, 1, 0), tiny(2, 12, 4, 0), tiny(3, 100, 7, 2), ReadOptions::default()] {
            check(&sample, &options);
        }
    }
}

#[test]
fn fasta() {
    // a: 4+4+4+1, b: 0, c: 4+4+2, d: reject, e: 8*4+3
    check_text("x.fa", FASTA, 4 + 1 + 3 + 9, 1);
}

#[test]
fn fastq() {
    // a: 3 pieces, b: 2, c: 1, e: 2; `broken` and d are rejects
    check_text("x.fq", FASTQ, 3 + 2 + 1 + 2, 2);
}

#[test]
fn sam() {
    // a: 2 pieces, b: 3, *: 1, c: 3; the header's platform and `bad` are rejects
    check_text("x.sam", SAM, 2 + 3 + 1 + 3, 2);
}

#[test]
fn bam_of_few_records() {
    let records: Vec<_> = (0..9)
        .map(|i| record(i32::from(i == 4), i, &[3 << 4], &[b"XXZ", &vec![b'x'; 10 * i as usize][..], b"\0"].concat()))
        .collect();
    let plain = bam_file(100, &records);
    let expected = read(&Sample::new("x.bam", &plain).path(), &ReadOptions::default());
    assert_eq!((expected.rows.num_rows(), expected.rejects.len()), (8, 1));
    for bytes in [plain.clone(), gzip(&plain), bgzip(&plain, 17), bgzip(&plain, 1 << 16)] {
        let sample = Sample::new("x.bam", &bytes);
        assert_eq!(read(&sample.path(), &ReadOptions::default()).rows, expected.rows);
        for options in [tiny(1, 1, 1, 0), tiny(2, 100, 2, 0), tiny(3, 4, 9, 2)] {
            check(&sample, &options);
        }
    }
}

#[test]
fn bam() {
    let Some(path) = data("genomics/bam/biopython/bam1.bam") else { return };
    let whole = std::fs::read(path).unwrap();
    let sample = Sample::new("x.bam", &whole);
    for options in [tiny(1, 1 << 20, 1 << 20, 0), tiny(50, 1000, 7, 0), tiny(64, 10_000, 36, 2)] {
        check(&sample, &options);
    }
}

#[test]
fn bam_without_blocks() {
    let Some(path) = data("genomics/bam/mosdepth/ovl.bam") else { return };
    let mut plain = vec![];
    std::io::Read::read_to_end(&mut noodles::bgzf::io::Reader::new(std::fs::File::open(&path).unwrap()), &mut plain)
        .unwrap();
    let expected = read(&path, &tiny(1, 50, 20, 0)).clean();
    for bytes in [gzip(&plain), bgzip(&plain, 11), plain] {
        let sample = Sample::new("x.bam", &bytes);
        assert_eq!(read(&sample.path(), &tiny(1, 50, 20, 0)).clean(), expected);
        check(&sample, &tiny(1, 50, 20, 0));
    }
}

#[test]
fn a_projection_has_the_columns_asked_for() {
    let Some(path) = data("genomics/bam/nim-hts/sa.bam") else { return };
    let all = read(&path, &ReadOptions::default()).clean();
    for names in [vec!["sequence"], vec!["position", "id"], vec!["last", "cigar", "quality", "start"], vec![]] {
        let columns = Some(names.iter().map(|&n| n.to_owned()).collect());
        let some = read(&path, &ReadOptions { columns, ..ReadOptions::default() }).clean();
        let mut indices: Vec<_> = names.iter().map(|n| all.schema().index_of(n).unwrap()).collect();
        indices.sort_unstable();
        assert_eq!(some, all.project(&indices).unwrap(), "{names:?}");
    }
}

#[test]
fn formats_can_be_named() {
    let sample = Sample::new("x", b"");
    let named = |format| read(&sample.path(), &ReadOptions { format, ..ReadOptions::default() });
    for format in [ReadFormat::Fasta, ReadFormat::Fastq, ReadFormat::Sam] {
        assert_eq!(named(Some(format)).clean().num_rows(), 0);
    }
    assert!(named(Some(ReadFormat::Bam)).error.unwrap().to_string().contains("magic"));
    assert!(named(None).error.unwrap().to_string().contains("empty"));
}
