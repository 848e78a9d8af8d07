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
    variants::VCF,
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
