//! `unspool embed` end to end.

use std::fs;

use arrow::{
    array::AsArray,
    datatypes::{Float32Type, UInt64Type},
};

use crate::command::{folder, names, read, succeed, unspool};

#[test]
fn embeddings_of_real_reads() {
    let folder = folder();
    let done = succeed(folder.path(), "embed lambda_reads.fq.gz --model dna --output out.parquet");
    let lines: Vec<&str> = done.stderr.lines().collect();
    assert_eq!(lines[0], "note: the model dna is untrained: its embeddings mean little");
    assert!(lines[1].starts_with("500 rows to out.parquet, from 500 rows and 75,000 events in "), "{}", lines[1]);
    let (rows, metadata) = read(&folder.path().join("out.parquet"));
    assert_eq!(rows.num_rows(), 500);
    assert_eq!(rows["id"].as_string::<i32>().value(499), "lambda_500");
    let (starts, ends) = (rows["start"].as_primitive::<UInt64Type>(), rows["end"].as_primitive::<UInt64Type>());
    assert!(starts.iter().all(|start| start == Some(0)) && ends.iter().all(|end| end == Some(150)));
    let embeddings = rows["embedding"].as_fixed_size_list();
    assert_eq!(embeddings.value_length(), 16);
    assert!(embeddings.values().as_primitive::<Float32Type>().iter().all(|value| value.is_some_and(f32::is_finite)));
    let digest = metadata.iter().find(|(key, _)| key == "unspool.model.digest").map(|(_, value)| value.as_str());
    assert_eq!(digest, Some(rows["model"].as_string::<i32>().value(0)));
    assert_eq!(names(folder.path(), "out"), ["out.parquet"]);
}

#[test]
fn batches_never_change_a_byte() {
    let folder = folder();
    for (input, pool) in [
        ("lambda_reads.fq.gz", "mean"),
        ("lambda_reads.fq.gz", "window:64"),
        ("lambda.fa.gz", "window:500"),
        ("nyc_taxi.csv", "token"),
    ] {
        let model = if input == "nyc_taxi.csv" { "" } else { "--model dna" };
        let mut files = vec![];
        for tokens in ["2048", "97"] {
            succeed(
                folder.path(),
                &format!("embed {input} {model} --pool {pool} -o out.parquet --overwrite --batch-tokens {tokens} -q"),
            );
            files.push(fs::read(folder.path().join("out.parquet")).unwrap());
        }
        assert!(files[0] == files[1], "{input}, {pool}");
    }
}

#[test]
fn rejects_are_counted_and_written() {
    let folder = folder();
    let text = ">good\nACGT\n>gap\nAC-T\n>amino\nMEEP\n>stop\nACGT*\n>two\nGG\n>empty\n>last\nACGTN\n";
    fs::write(folder.path().join("some.fa"), text).unwrap();
    let done = succeed(folder.path(), "embed some.fa --model dna -o out.parquet");
    let lines: Vec<&str> = done.stderr.lines().skip(2).collect();
    assert_eq!(lines[0], "4 rejected; all of them are in out.rejects.parquet");
    assert_eq!(lines.len(), 4, "the first three follow");
    assert!(lines[1].starts_with("  record 'gap', base 2 (0-based): '-' is no base"), "{}", lines[1]);
    let (rows, _) = read(&folder.path().join("out.parquet"));
    let ids: Vec<_> = rows["id"].as_string::<i32>().iter().flatten().collect();
    assert_eq!(ids, ["good", "two", "last"]);
    let (rejects, _) = read(&folder.path().join("out.rejects.parquet"));
    assert_eq!(rejects.num_rows(), 4);
    let payloads: Vec<_> = rejects["payload"].as_binary::<i32>().iter().flatten().collect();
    assert!(payloads.contains(&&b"AC-T"[..]) && payloads.contains(&&b"MEEP"[..]), "{payloads:?}");
}

#[test]
fn windows_of_a_genome_agree_with_its_mean() {
    let folder = folder();
    succeed(folder.path(), "embed lambda.fa.gz --model dna --pool window:48502 -o window.parquet -q");
    succeed(folder.path(), "embed lambda.fa.gz --model dna --layer 2 -o mean.parquet -q");
    let (window, _) = read(&folder.path().join("window.parquet"));
    let (mean, _) = read(&folder.path().join("mean.parquet"));
    assert_eq!(window["embedding"].as_ref(), mean["embedding"].as_ref());
    assert_eq!(window["end"].as_primitive::<UInt64Type>().value(0), 48_502);
}

#[test]
fn series_are_embedded_by_the_built_in_model() {
    let folder = folder();
    succeed(folder.path(), "embed nyc_taxi.csv --pool window:3 -o out.parquet -q");
    let (rows, _) = read(&folder.path().join("out.parquet"));
    // 2,976 values are 186 patches of 16: 62 windows of three.
    assert_eq!(rows.num_rows(), 62);
    assert_eq!(rows["end"].as_primitive::<UInt64Type>().value(61), 2976);
}

/// A record and its other strand have one embedding where both strands are asked for.
#[test]
fn both_strands_of_a_record_are_one() {
    let folder = folder();
    fs::write(folder.path().join("two.fa"), ">a\nACGGTTTACA\n>b\nTGTAAACCGT\n").unwrap();
    let embeddings = |arguments: &str| {
        succeed(folder.path(), &format!("embed two.fa --model dna -o out.parquet --overwrite -q {arguments}"));
        let (rows, _) = read(&folder.path().join("out.parquet"));
        let list = rows["embedding"].as_fixed_size_list();
        (list.value(0).as_ref().to_data(), list.value(1).as_ref().to_data())
    };
    let (a, b) = embeddings("--both-strands");
    assert_eq!(a, b);
    let (a, b) = embeddings("");
    assert_ne!(a, b);
    let refused =
        unspool(folder.path(), "embed two.fa --model dna -o out.parquet --overwrite --both-strands --pool last");
    assert_eq!(
        (refused.code, refused.stderr.contains("mean or window:N, not last")),
        (Some(2), true),
        "{}",
        refused.stderr
    );
}
