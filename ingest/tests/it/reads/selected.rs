//! Filters and limits: only what is wanted becomes rows.

use std::path::Path;

use arrow::{
    array::{Array, AsArray},
    datatypes::{Float64Type, Int64Type},
};
use unspool_ingest::reads::{ReadFilter, ReadOptions, TagColumn};

use super::{corpus::samtools, read, text};
use crate::samples::{Sample, data};

/// Names of the records that options leave.
fn names(path: &Path, options: &ReadOptions) -> Vec<Option<String>> {
    text(&read(path, options).clean(), "id")
}

#[test]
fn filters_are_those_of_samtools() {
    let Some(path) = data("genomics/bam/nim-hts/HG02002.bam") else { return };
    for (required_flags, excluded_flags, least_mapping_quality) in
        [(0, 0, 0), (16, 0, 0), (0, 4, 30), (3, 16, 60), (4, 0, 0)]
    {
        let [f, bits, q] = [required_flags.to_string(), excluded_flags.to_string(), least_mapping_quality.to_string()];
        let Some(printed) = samtools(&["view", "-f", &f, "-F", &bits, "-q", &q], &path) else { return };
        let expected: Vec<_> = printed.lines().map(|line| line.split('\t').next().map(str::to_owned)).collect();
        let filter = ReadFilter { required_flags, excluded_flags, least_mapping_quality };
        assert_eq!(
            names(&path, &ReadOptions { filter, ..ReadOptions::default() }),
            expected,
            "-f {f} -F {bits} -q {q}"
        );
        let limited = names(&path, &ReadOptions { filter, limit: Some(7), ..ReadOptions::default() });
        assert_eq!(limited, expected[..expected.len().min(7)]);
    }
}

#[test]
fn tags_are_those_that_samtools_prints() {
    let Some(path) = data("genomics/bam/nim-hts/HG02002.bam") else { return };
    let sam = path.with_extension("sam");
    let Some(printed) = samtools(&["view"], &path) else { return };
    let tags = ["NM:i", "MD:Z", "RG:Z", "XX:f", "NM:f"].map(|text| TagColumn::parse(text).unwrap()).to_vec();
    let options = ReadOptions { tags, columns: Some(vec!["id".into()]), ..ReadOptions::default() };
    for path in [path, sam] {
        let rows = read(&path, &options).clean();
        let names: Vec<_> = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(names, ["id", "tag_NM", "tag_MD", "tag_RG", "tag_XX", "tag_NM"]);
        let (edits, floats) =
            (rows.column(1).as_primitive::<Int64Type>(), rows.column(5).as_primitive::<Float64Type>());
        let texts = [2, 3].map(|column| rows.column(column).as_string::<i32>());
        for (row, line) in printed.lines().enumerate() {
            let field = |begins: &str| line.split('\t').find_map(|field| field.strip_prefix(begins));
            assert_eq!(edits.is_valid(row).then(|| edits.value(row).to_string()).as_deref(), field("NM:i:"), "{line}");
            assert_eq!(
                floats.is_valid(row).then(|| floats.value(row)),
                field("NM:i:").map(|text| text.parse().unwrap())
            );
            for (column, begins) in texts.iter().zip(["MD:Z:", "RG:Z:"]) {
                assert_eq!(column.is_valid(row).then(|| column.value(row)), field(begins), "{line}");
            }
        }
        assert_eq!(rows.column(4).null_count(), rows.num_rows());
    }
    assert!(TagColumn::parse("NM").is_err() && TagColumn::parse("1M:i").is_err() && TagColumn::parse("NM:q").is_err());
}

#[test]
fn limits_count_records() {
    let fasta = ">a\nACGTACGT\n>b\nA C\n>c\nAC\n>d\nA\n";
    let fastq = "@a\nACGTACGT\n+\nIIIIIIII\n@b\nA\n+\nII\n@c\nA\n+\nI\n@d\nA\n+\nI\n";
    for (name, text_of) in [("x.fa", fasta), ("x.fq", fastq)] {
        let sample = Sample::new(name, text_of.as_bytes());
        for (limit, expected) in
            [(0, vec![]), (1, vec!["a", "a"]), (2, vec!["a", "a", "c"]), (9, vec!["a", "a", "c", "d"])]
        {
            let options = ReadOptions { limit: Some(limit), piece_bases: 5, ..ReadOptions::default() };
            let found: Vec<_> = text(&read(&sample.path(), &options).rows, "id").into_iter().flatten().collect();
            assert_eq!(found, expected, "{name} {limit}");
        }
        let filter = ReadFilter { required_flags: 2, ..ReadFilter::default() };
        let refused = read(&sample.path(), &ReadOptions { filter, ..ReadOptions::default() }).error.unwrap();
        assert!(refused.to_string().contains("of SAM, BAM and CRAM files only"), "{refused}");
    }
}
