//! Regions of VCF and BCF files through indexes that bcftools makes, beside what bcftools gives for them.

use std::{fmt::Write as _, path::Path, process::Command};

use arrow::array::{Array, AsArray};
use unspool_ingest::{
    conformance,
    variants::{self, VariantOptions},
};

use super::{printed, read, say, to_bcf};
use crate::samples::{Sample, bgzip};

/// Two contigs with a variant every 50 bases, some of them deletions, and one that reaches far (END).
fn many() -> String {
    let mut text = "##fileformat=VCFv4.3\n##contig=<ID=chr1,length=200000>\n##contig=<ID=chr2,length=200000>\n\
        ##INFO=<ID=END,Number=1,Type=Integer,Description=\"x\">\n##ALT=<ID=DEL,Description=\"x\">\n\
        ##FILTER=<ID=PASS,Description=\"x\">\n##FORMAT=<ID=GT,Number=1,Type=String,Description=\"x\">\n\
        #CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tone\n"
        .to_owned();
    for contig in ["chr1", "chr2"] {
        for i in 1..2000 {
            let (position, reference) = (50 * i, if i % 7 == 0 { "ACGTACGTAC" } else { "A" });
            let (alternative, info) = if i == 300 { ("<DEL>", "END=20000") } else { ("C", ".") };
            let id = format!("v{i}");
            let _ = writeln!(text, "{contig}\t{position}\t{id}\t{reference}\t{alternative}\t.\tPASS\t{info}\tGT\t0/1");
        }
    }
    text
}

/// Has bcftools make an index; `false` where it is not installed.
fn index(path: &Path, kind: &str) -> bool {
    let Ok(output) = Command::new("bcftools").args(["index", "-f", kind]).arg(path).output() else {
        say("skipped: bcftools is not installed (apt-get install bcftools)");
        return false;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    true
}

#[test]
fn regions_are_those_of_bcftools() {
    let text = many();
    let forms = [
        ("x.vcf.gz", bgzip(text.as_bytes(), 900), "-t"),
        ("x.vcf.gz", bgzip(text.as_bytes(), 900), "-c"),
        ("x.bcf", bgzip(&to_bcf(&text), 900), "-c"),
    ];
    for (name, bytes, kind) in forms {
        let sample = Sample::new(name, &bytes);
        let region = |region: &str| VariantOptions { region: Some(region.into()), ..VariantOptions::default() };
        let problem = read(&sample.path(), &region("chr1")).error.unwrap().to_string();
        assert!(problem.contains("make it with `bcftools index`"), "{problem}");
        if !index(&sample.path(), kind) {
            return;
        }
        for asked in [
            "chr1",
            "chr2:1-49",
            "chr2:50-50",
            "chr2:355-359",
            "chr2:355-360",
            "chr1:15001-15049",
            "chr1:19999-20100",
            "chr2:99000-",
            "chr1:100000-100001",
        ] {
            let output =
                Command::new("bcftools").args(["view", "-H", "-r", asked]).arg(sample.path()).output().unwrap();
            let three = |line: &str| line.split('\t').take(3).collect::<Vec<_>>().join("\t") + "\n";
            let expected: String = String::from_utf8(output.stdout).unwrap().lines().map(three).collect();
            let outcome = read(&sample.path(), &region(asked));
            assert!(outcome.error.is_none() && outcome.rejects.is_empty(), "{:?}", outcome.error);
            let rows = outcome.rows;
            let line = |row| ["contig", "position", "id"].map(|column| printed(&rows, column, row)).join("\t") + "\n";
            assert_eq!((0..rows.num_rows()).map(line).collect::<String>(), expected, "{name} {kind} {asked}");
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let options = VariantOptions { batch_rows: 7, ..region("chr2:1000-3000") };
        runtime.block_on(conformance::check(|start| {
            variants::open(&sample.path(), &VariantOptions { start, ..options.clone() })
        }));
        let problem = read(&sample.path(), &region("chr3")).error.unwrap().to_string();
        assert!(problem.contains("there is no reference 'chr3'"), "{problem}");
    }
}

#[test]
fn a_damaged_index_is_named() {
    let sample =
        Sample::new("x.vcf.gz", &bgzip(many().as_bytes(), 900)).with("tbi", &bgzip(b"TBI\x01\xff\xff\xff\x7f", 99));
    let options = VariantOptions { region: Some("chr1".into()), ..VariantOptions::default() };
    let outcome = read(&sample.path(), &options);
    assert!(outcome.rows["id"].as_string::<i32>().is_empty());
    let problem = outcome.error.unwrap().to_string();
    assert!(problem.contains("the index is damaged (it cannot hold 2147483647 references"), "{problem}");
}
