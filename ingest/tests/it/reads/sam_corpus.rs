//! The SAM files of samtools/hts-specs: the `passed` ones are read without a reject, the `failed` ones are refused.

use unspool_ingest::reads::ReadOptions;

use super::{
    corpus::{expected_lines, sam_lines, samtools},
    read,
};
use crate::samples::{data, files};

/// Files of `failed/` that are read, and why.
const READ_THOUGH_FAILED: [(&str, &str); 1] =
    [("hdr.HD3.sam", "the same bytes as passed/hdr.HD6.sam, and GO:none is a value of the specification")];

#[test]
fn valid_files_are_read() {
    let Some(folder) = data("genomics/conformance/hts-specs/sam/passed") else { return };
    for file in files(&folder, &[".sam", ".sam.gz"]) {
        let outcome = read(&file, &ReadOptions::default());
        assert!(!outcome.is_refused(), "{}: {:?} {:?}", file.display(), outcome.rejects.first(), outcome.error);
    }
}

#[test]
fn invalid_files_are_refused() {
    let Some(folder) = data("genomics/conformance/hts-specs/sam/failed") else { return };
    let mut accepted = vec![];
    for file in files(&folder, &[".sam", ".sam.gz"]) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        if !read(&file, &ReadOptions::default()).is_refused() {
            accepted.push(name);
        }
    }
    assert_eq!(accepted, READ_THOUGH_FAILED.map(|(name, _)| name));
}

#[test]
fn base_modification_tags_do_no_harm() {
    let Some(folder) = data("genomics/conformance/hts-specs/SAMtags") else { return };
    for file in files(&folder, &[".sam"]) {
        assert!(read(&file, &ReadOptions::default()).clean().num_rows() > 0, "{}", file.display());
    }
}

/// Files of `passed/` whose records samtools prints otherwise, and why.
const PRINTED_OTHERWISE: [(&str, &str); 5] = [
    ("cigar.pass2.sam", "mapped without a CIGAR: samtools adds the flag for unmapped, here flags stay"),
    ("cigar.warn2.sam", "mapped without a CIGAR"),
    ("flag.warn.sam", "mapped without a CIGAR"),
    ("pnext.warn.sam", "a mate's reference without a position: samtools drops the reference, here it stays"),
    ("seq.warn.sam", "letters that BAM cannot hold: samtools turns them into capitals and N, here they stay"),
];

#[test]
fn records_are_those_that_samtools_prints() {
    let Some(folder) = data("genomics/conformance/hts-specs/sam/passed") else { return };
    let mut otherwise = vec![];
    for file in files(&folder, &[".sam", ".sam.gz"]) {
        let Some(printed) = samtools(&["view"], &file) else { return };
        let whole = ReadOptions { piece_bases: 1 << 24, ..ReadOptions::default() };
        if sam_lines(&read(&file, &whole).clean()) != expected_lines(&printed) {
            otherwise.push(file.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    assert_eq!(otherwise, PRINTED_OTHERWISE.map(|(name, _)| name));
}
