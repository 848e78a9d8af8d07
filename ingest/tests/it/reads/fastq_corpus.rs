//! Biopython's FASTQ files: the valid ones are read as Biopython wrote them again, the broken ones are refused.

use unspool_ingest::reads::ReadOptions;

use super::{read, text};
use crate::samples::{data, files};

#[test]
fn valid_files_are_read_and_broken_ones_refused() {
    let Some(folder) = data("genomics/conformance/biopython_fastq") else { return };
    for file in files(&folder, &[".fastq", ".fasta"]) {
        let outcome = read(&file, &ReadOptions::default());
        if file.file_name().unwrap().to_string_lossy().starts_with("error_") {
            assert!(outcome.is_refused(), "{} was read", file.display());
        } else {
            assert!(outcome.clean().num_rows() > 0, "{} has no rows", file.display());
        }
    }
}

#[test]
fn wrapped_lines_give_what_single_lines_give() {
    let Some(folder) = data("genomics/conformance/biopython_fastq") else { return };
    // `*_original_*` are files as they were found, wrapped or not; `*_as_*` are written again, a line a field.
    let pairs = [
        ("wrapping_original_sanger", "wrapping_as_sanger"),
        ("longreads_original_sanger", "longreads_as_sanger"),
        ("misc_dna_original_sanger", "misc_dna_as_sanger"),
        ("misc_rna_original_sanger", "misc_rna_as_sanger"),
        ("sanger_full_range_original_sanger", "sanger_full_range_as_sanger"),
        ("example_dos", "example"),
    ];
    for (first, second) in pairs {
        let rows = |name: &str| read(&folder.join(format!("{name}.fastq")), &ReadOptions::default()).clean();
        assert_eq!(rows(first), rows(second), "{first}");
    }
    let tricky = read(&folder.join("tricky.fastq"), &ReadOptions::default()).clean();
    let lengths: Vec<_> = text(&tricky, "sequence").into_iter().map(|s| s.unwrap().len()).collect();
    assert_eq!(lengths, [36, 36, 36, 36]);
}

#[test]
fn one_broken_record_costs_no_other() {
    let Some(folder) = data("genomics/conformance/biopython_fastq") else { return };
    // Of five records, these have so many good ones.
    let cases = [
        ("error_diff_ids", 4),
        ("error_double_qual", 5),
        ("error_double_seq", 5),
        ("error_long_qual", 4),
        ("error_short_qual", 4),
        ("error_no_qual", 0),
        ("error_spaces", 0),
        ("error_tabs", 0),
        ("error_qual_null", 4),
        ("error_qual_tab", 4),
        ("error_trunc_at_plus", 4),
        ("error_trunc_in_qual", 4),
        ("error_trunc_in_title", 4),
    ];
    for (name, good) in cases {
        let outcome = read(&folder.join(format!("{name}.fastq")), &ReadOptions::default());
        assert!(outcome.error.is_none(), "{name}");
        assert_eq!(outcome.rows.num_rows(), good, "{name}: {:?}", outcome.rejects);
        assert!(!outcome.rejects.is_empty(), "{name}");
    }
}
