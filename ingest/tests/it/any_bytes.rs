//! The law of damaged files, for every reader of files: what the fuzz targets in `fuzz/` check too.

use std::path::Path;

use proptest::prelude::*;
use unspool_ingest::{
    Decode, Position, Result, conformance,
    features::{self, FeatureFormat, FeatureOptions},
    reads::{self, ReadFormat, ReadOptions},
    variants::{self, VariantOptions},
};

use crate::{
    samples::{Sample, bgzip},
    variants::{VCF, to_bcf},
};

/// A reader with small batches.
type Open = fn(&Path, Option<Position>) -> Result<Box<dyn Decode>>;

fn reads_as(path: &Path, format: ReadFormat, start: Option<Position>) -> Result<Box<dyn Decode>> {
    let small =
        ReadOptions { batch_rows: 2, batch_bases: 24, piece_bases: 8, bgzf_workers: 0, ..ReadOptions::default() };
    reads::decoder(path, &ReadOptions { format: Some(format), start, ..small })
}

fn features_as(path: &Path, format: FeatureFormat, start: Option<Position>) -> Result<Box<dyn Decode>> {
    let attributes = if format == FeatureFormat::Bed { vec![] } else { vec!["ID".to_owned()] };
    let options =
        FeatureOptions { format: Some(format), attributes, batch_rows: 2, start, ..FeatureOptions::default() };
    features::decoder(path, &options)
}

const READERS: [(&str, Open); 6] = [
    (">a x\nACGTACGTAC\nGTN\n\n>b\n>c\r\nacgu-*.\r\n>d\nA CGT\n>e\nACG\n", |path, start| {
        reads_as(path, ReadFormat::Fasta, start)
    }),
    ("@a x\nACGTACGTACGT\n+\nIIIIIIIIIIII\n\n@b\nACG\nTAC\n+b\n@@@\n+++\nbroken\n@c\n\n+\n\n", |path, start| {
        reads_as(path, ReadFormat::Fastq, start)
    }),
    (
        "@SQ\tSN:r\tLN:100\na\t0\tr\t1\t60\t8M\t*\t0\t0\tACGTACGT\tIIIIIIII\tNM:i:0\nbad\t1\nc\t4\t*\t0\t0\t*\t*\t0\t0\t*\t*\n",
        |path, start| reads_as(path, ReadFormat::Sam, start),
    ),
    (VCF, |path, start| {
        let small =
            VariantOptions { info: vec!["AF".into()], batch_rows: 2, bgzf_workers: 0, ..VariantOptions::default() };
        let without = VariantOptions { info: vec![], ..small.clone() };
        let header = variants::header(path)?;
        let options = if header.info("AF").is_some() { small } else { without };
        variants::decoder(path, &VariantOptions { start, ..options })
    }),
    ("track name=x\nchr1\t1\t5\tx\t1\t+\nbad\tx\tx\n\nchr2 3 4\nchr2\t3\t3\n", |path, start| {
        features_as(path, FeatureFormat::Bed, start)
    }),
    (
        "##gff-version 3\nc\tx\tCDS\t1\t9\t.\t+\t0\tID=a;b=c\nc\tx\tCDS\t9\t1\t.\t+\t0\t.\nc\tx\tgene\t1\t9\t1.5\t-\t.\t.\n##FASTA\n>c\nA\n",
        |path, start| features_as(path, FeatureFormat::Gff3, start),
    ),
];

/// A BAM file as it is before compression: a header, and two reads of three bases.
fn bam() -> Vec<u8> {
    let mut bytes = b"BAM\x01\0\0\0\0\0\0\0\0".to_vec();
    for _ in 0..2 {
        let place = [-1_i32, -1].map(i32::to_le_bytes).concat();
        let lengths = [2, 0, 0, 0, 0, 0, 4, 0, 3, 0, 0, 0];
        let record = [&place, &lengths[..], &place, &[0; 4], b"a\0", &[0x12, 0x40], &[30; 3]].concat();
        bytes.extend((record.len() as u32).to_le_bytes());
        bytes.extend(record);
    }
    bytes
}

/// A file that is cut short anywhere is read up to there, and what is missing is told of again by who goes on.
#[test]
fn files_cut_anywhere() {
    let gff = "##gff-version 3\nc\tx\tCDS\t1\t9\t.\t+\t0\tID=a\n>c\nA\nCGT\n".as_bytes().to_vec();
    let binary: [(Vec<u8>, Open); 3] = [
        (bam(), |path, start| reads_as(path, ReadFormat::Bam, start)),
        (to_bcf(VCF), |path, start| {
            let small = VariantOptions { batch_rows: 2, bgzf_workers: 0, ..VariantOptions::default() };
            variants::decoder(path, &VariantOptions { start, ..small })
        }),
        (gff, |path, start| features_as(path, FeatureFormat::Gff3, start)),
    ];
    let texts = READERS.map(|(text, open)| (text.as_bytes().to_vec(), open));
    for (bytes, open) in binary.into_iter().chain(texts) {
        let compressed = bgzip(&bytes, 40);
        for bytes in [bytes, compressed] {
            for cut in 0..=bytes.len() {
                check(&bytes[..cut], open).unwrap_or_else(|broken| panic!("{cut} of {} bytes: {broken}", bytes.len()));
            }
        }
    }
}

fn check(bytes: &[u8], open: Open) -> Result<(), TestCaseError> {
    let sample = Sample::new("x", bytes);
    conformance::any_bytes(|start| open(&sample.path(), start)).map_err(TestCaseError::fail)
}

fn cases() -> u32 {
    std::env::var("UNSPOOL_ANY_BYTES_CASES").map_or(96, |text| text.parse().unwrap())
}

proptest! {
    // The long form: UNSPOOL_ANY_BYTES_CASES=100000.
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_files(
        reader in 0..READERS.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..5),
        cut in any::<prop::sample::Index>(),
        block in prop::sample::select(vec![None, Some(7), Some(60)]),
    ) {
        let (text, open) = READERS[reader];
        let mut bytes = text.as_bytes().to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(bytes.len() - cut.index(bytes.len()) / 2);
        match block {
            None => check(&bytes, open)?,
            Some(block) => check(&bgzip(&bytes, block), open)?,
        }
    }
}
