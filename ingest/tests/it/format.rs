//! Telling formats apart, and describing files.

use unspool_ingest::format::{describe, detect};

use super::tables::{data, write};

#[test]
fn formats_by_content() {
    let dir = tempfile::tempdir().unwrap();
    let cases: &[(&str, &[u8], &str)] = &[
        ("a.txt", b">chr1\nACGT\n", "FASTA"),
        ("a.csv", b"@r\nACGT\n+\nIIII\n", "FASTQ"),
        ("a.fq", b"@SQ\tSN:a\tLN:1\n", "SAM"),
        ("a.tsf", b"id,time,value\n", "CSV"),
        ("a.csv", b"# a comment\n@relation x\n@data\n", "TSF"),
        ("a.gz", b"timestamp,value\n1,2\n", "CSV"),
        ("a", b"1\n2\n", "CSV"),
        ("a.parquet", b"", "Parquet"),
        ("a.csv.gz", b"", "CSV"),
        ("a.fa", b"", "FASTA"),
        ("a", b"", "the file is empty, and its name does not say what it should hold"),
        ("a.bam", b"CRAM\x03\0", "CRAM"),
        ("a.csv", b"\n {\"a\": 1}", "JSON is not read"),
        ("a.csv", b"[1, 2]", "JSON is not read"),
        ("a.csv", b"[degrees],y\n1,2\n", "CSV"),
        ("a.csv", b"<!DOCTYPE html>", "HTML are not read"),
        ("a.gff.gz", b"##gff-version 3\n", "GFF holds no sequences"),
        ("a.gb", b"LOCUS       NC_001422\n", "convert them to FASTA"),
        ("a.ts", b"#about\n@problemName GunPoint\n", ".ts files are not read"),
        ("a.csv", b"\x7fELF\x01\x02\0\0", "no format that is read"),
        ("a.csv", &[0xf3; 100], "no format that is read"),
        ("a.csv", b"temp\xe9rature\n1\n2\n3\n4\n", "CSV"),
    ];
    for (name, bytes, expected) in cases {
        let answer =
            detect(&write(&dir, name, bytes)).map_or_else(|error| error.to_string(), |format| format.to_string());
        assert!(answer.ends_with(expected) || answer.contains(expected), "{name}: {answer}");
    }
    assert!(detect(dir.path()).unwrap_err().to_string().contains("is a directory"));
}

#[test]
fn facts_about_files() {
    let dir = tempfile::tempdir().unwrap();
    let cases: &[(&str, &str, &str)] = &[
        (
            "a.csv",
            "date;id;y\n2020-01-01;a;1\n2020-01-02;a;\n",
            "format: CSV, stored: as it is, size: 39 bytes, delimiter: ';', header: first row, column date: times, \
          column id: text, column y: numbers, rows: 2",
        ),
        (
            "a.tsf",
            "@relation r\n@attribute series_name string\n@frequency 10_minutes\n@horizon 7\n@missing true\n@data\na:1\n\nb:2",
            "format: TSF, stored: as it is, size: 103 bytes, relation: r, attribute series_name: text, \
          frequency: 10 minutes, horizon: 7, missing values: true, series: 2",
        ),
        ("a.fa", ">a\nAC\n", "format: FASTA, stored: as it is, size: 6 bytes"),
    ];
    for (name, text, expected) in cases {
        let facts = describe(&write(&dir, name, text.as_bytes())).unwrap();
        let shown: Vec<String> = facts.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        assert_eq!(shown.join(", "), *expected);
    }
}

#[test]
fn facts_about_real_files() {
    for (name, (fact, value)) in [
        ("benchmark/ETTh1.csv", ("rows", "17420")),
        ("benchmark/exchange_rate.txt.gz", ("rows", "7588")),
        ("benchmark/m4_hourly.tsf.gz", ("series", "414")),
        ("benchmark/tourism_monthly.tsf", ("horizon", "24")),
    ] {
        let Some(path) = data(name) else { continue };
        assert!(describe(&path).unwrap().contains(&(fact.into(), value.into())), "{name}");
    }
}
