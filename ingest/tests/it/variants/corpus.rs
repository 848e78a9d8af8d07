//! The VCF files of samtools/hts-specs, beside the verdict and the records of bcftools (htslib).

use std::{io::Read, path::Path, process::Command};

use unspool_ingest::variants::VariantOptions;

use super::{printed, read, say};
use crate::samples::{Sample, data};

/// The archive's files whose path contains `folder`, as samples with their names.
fn unpacked(folder: &str) -> Option<Vec<(String, Sample)>> {
    let archive = data("genomics/conformance/hts-specs/vcf.tar.gz")?;
    let mut bytes = vec![];
    flate2::read::MultiGzDecoder::new(std::fs::File::open(archive).unwrap()).read_to_end(&mut bytes).unwrap();
    let (mut files, mut rest) = (vec![], &bytes[..]);
    while let Some((head, after)) = rest.split_first_chunk::<512>() {
        let text =
            |range: std::ops::Range<usize>| String::from_utf8_lossy(&head[range]).trim_matches(['\0', ' ']).to_owned();
        let Ok(size) = usize::from_str_radix(&text(124..136), 8) else { break };
        let name = text(0..100);
        if head[156] == b'0' && name.ends_with(".vcf") && name.contains(folder) {
            let name = name.trim_start_matches("./").trim_start_matches("vcf/").to_owned();
            files.push((name, Sample::new("x.vcf", &after[..size])));
        }
        rest = &after[size.next_multiple_of(512)..];
    }
    files.sort_by(|(a, _), (b, _)| a.cmp(b));
    assert!(!files.is_empty(), "no files of {folder} in the archive");
    Some(files)
}

/// What bcftools prints of a file's records, or `None` where it refuses the file; `Err` where it is not installed.
fn bcftools(path: &Path) -> Result<Option<Vec<String>>, ()> {
    let format = r"%CHROM\t%POS\t%ID\t%REF\t%ALT\t%FILTER\n";
    let Ok(output) = Command::new("bcftools").args(["query", "-f", format]).arg(path).output() else {
        say("skipped: bcftools is not installed (apt-get install bcftools)");
        return Err(());
    };
    let lines = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    Ok(output.status.success().then_some(lines))
}

/// The same of our rows; `None` when anything was refused.
fn ours(path: &Path) -> Option<Vec<String>> {
    let outcome = read(path, &VariantOptions::default());
    let columns = ["contig", "position", "id", "reference", "alternatives", "filter"];
    let line = |row| columns.map(|column| printed(&outcome.rows, column, row)).join("\t");
    (outcome.error.is_none() && outcome.rejects.is_empty()).then(|| (0..outcome.rows.num_rows()).map(line).collect())
}

#[test]
fn valid_files_are_read() {
    let Some(files) = unpacked("/passed/") else { return };
    let mut refused = vec![];
    for (name, sample) in files {
        let outcome = read(&sample.path(), &VariantOptions::default());
        if outcome.error.is_some() || !outcome.rejects.is_empty() {
            let problem = outcome.error.map(|e| e.to_string()).or(outcome.rejects.first().map(|r| r.reason.clone()));
            refused.push((name, problem.unwrap_or_default()));
        }
    }
    assert!(refused.is_empty(), "{refused:#?}");
}

/// Files that htslib refuses and are read here, and why.
const READ_THOUGH_REFUSED: [(&str, &str); 2] = [
    ("failed_body_format_000.vcf", "an empty name in FORMAT: samples are not read"),
    ("failed_body_sample_011.vcf", "two samples of one name: samples are not read"),
];

/// Files of `failed/` that htslib reads (bcftools 1.16, with warnings or without) and are refused here: a kind of name, and why.
const REFUSED_THOUGH_READ: [(&str, &str); 9] = [
    ("body_alt", "alternative alleles that are none: htslib takes any text"),
    ("body_chrom", "contigs' names with a space, a comma or a bracket"),
    ("body_filter", "an empty FILTER name, one with a space, or the reserved 0"),
    ("body_id", "a space in an ID"),
    ("body_pos", "a POS that is no number, or negative: htslib takes its first digits"),
    ("body_qual", "a QUAL that is no number"),
    ("body_ref", "a reference allele that is none"),
    ("meta_008", "a description without its closing quote"),
    ("meta_", "INFO without a type that is known, or a contig without an ID"),
];

#[test]
fn the_verdict_is_htslibs() {
    let Some(files) = unpacked("/") else { return };
    let (mut milder, mut otherwise) = (vec![], vec![]);
    for (name, sample) in files {
        let Ok(theirs) = bcftools(&sample.path()) else { return };
        let short = name.rsplit('/').next().unwrap_or_default().to_owned();
        match (ours(&sample.path()), theirs) {
            (None, Some(_)) => {
                let known = REFUSED_THOUGH_READ.iter().any(|(kind, _)| short.contains(kind));
                assert!(name.contains("/failed/") && known, "{name} is refused, and htslib reads it");
            }
            (Some(_), None) => milder.push(short),
            (Some(ours), Some(theirs)) if ours != theirs => otherwise.push(name),
            _ => {}
        }
    }
    milder.sort();
    milder.dedup();
    assert_eq!(milder, READ_THOUGH_REFUSED.map(|(name, _)| name));
    assert!(otherwise.is_empty(), "records that differ from htslib's: {otherwise:#?}");
}
