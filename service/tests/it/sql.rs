//! `unspool sql` and sorting jobs from outside.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use arrow::array::{AsArray, RecordBatch};
use tempfile::TempDir;

use crate::command::{Done, command, folder, read, unspool};

/// Answers a query.
fn sql(folder: &Path, query: &str, more: &[&str]) -> Done {
    let done = command(folder).arg("sql").arg(query).args(more).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Done { code: done.status.code(), stdout: text(done.stdout), stderr: text(done.stderr) }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

#[test]
fn the_pages_examples_run_as_they_are_written() {
    let text = fs::read_to_string(root().join("service/docs/sql.md")).unwrap();
    let script = text.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = TempDir::new().unwrap();
    std::os::unix::fs::symlink(root().join("service"), folder.path().join("service")).unwrap();
    let script = format!("set -e\nunspool() {{ '{}' \"$@\"; }}\n{script}", env!("CARGO_BIN_EXE_unspool"));
    let mut bash = Command::new("bash");
    bash.arg("-c").arg(script).current_dir(folder.path()).env("UNSPOOL_DEVICE", "cpu").env_remove("UNSPOOL_LOG");
    let done = bash.output().unwrap();
    let (out, err) = (String::from_utf8(done.stdout).unwrap(), String::from_utf8(done.stderr).unwrap());
    assert!(done.status.success(), "{err}");
    assert!(out.contains("| timestamp           | value | score ") && out.contains("SeriesExec: [anomaly("), "{out}");
    let (days, metadata) = read(&folder.path().join("days.parquet"));
    assert_eq!(days.num_rows(), 7);
    assert!(metadata.iter().any(|(key, _)| key == "unspool.model.digest"), "{metadata:?}");
    let (reads, _) = read(&folder.path().join("reads.parquet"));
    assert_eq!(reads["embedding"].as_fixed_size_list().value_length(), 64);
}

#[test]
fn forecasts_are_the_bits_of_the_command() {
    let folder = folder();
    let query = "select unnest(forecast(array_agg(timestamp order by timestamp), array_agg(value order by timestamp), 24)) as s \
                 from 'nyc_taxi.csv'";
    let done = sql(folder.path(), query, &["--output", "sql.parquet"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stderr.starts_with("24 rows in ") && done.stderr.ends_with(" s: sql.parquet\n"), "{}", done.stderr);
    assert_eq!(unspool(folder.path(), "forecast nyc_taxi.csv --horizon 24 --output one.parquet -q").code, Some(0));
    let ((found, _), (expected, _)) =
        (read(&folder.path().join("sql.parquet")), read(&folder.path().join("one.parquet")));
    let steps: RecordBatch = found["s"].as_struct().into();
    for (name, column) in expected.schema().fields().iter().zip(expected.columns()).skip(1) {
        assert_eq!(steps[name.name().as_str()].as_ref(), column.as_ref(), "{name}");
    }
}

#[test]
fn reads_are_tables() {
    let folder = folder();
    let query = "select count(*) as reads, sum(length(sequence)) as bases from read_fastq('lambda_reads.fq.gz')";
    let done = sql(folder.path(), query, &[]);
    let line = done.stdout.lines().nth(3).unwrap_or_default().to_owned();
    let counted = unspool(folder.path(), "inspect lambda_reads.fq.gz").stdout;
    let numbers: Vec<&str> = line.split(['|', ' ']).filter(|word| !word.is_empty()).collect();
    assert_eq!(numbers.len(), 2, "{}{}", done.stdout, done.stderr);
    for number in numbers {
        let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
        assert!(counted.split_whitespace().any(|word| digits(word) == number), "{number}: {counted}");
    }
    // The embeddings of the command, too.
    let query = "select id, embed(sequence) as embedding from read_fastq('lambda_reads.fq.gz')";
    let done = sql(folder.path(), query, &["--model", "dna", "--output", "sql.parquet"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let embed = "embed lambda_reads.fq.gz --model dna --output one.parquet -q";
    assert_eq!(unspool(folder.path(), embed).code, Some(0));
    let ((found, _), (expected, _)) =
        (read(&folder.path().join("sql.parquet")), read(&folder.path().join("one.parquet")));
    let rows = |rows: &RecordBatch| {
        let (ids, all) = (rows["id"].as_string::<i32>().clone(), rows["embedding"].as_fixed_size_list().clone());
        let mut rows: Vec<_> =
            (0..rows.num_rows()).map(|row| (ids.value(row).to_owned(), format!("{:?}", all.value(row)))).collect();
        rows.sort();
        rows
    };
    assert_eq!(rows(&found), rows(&expected));
}

#[test]
fn reads_have_tags_flags_and_qualities() {
    let folder = folder();
    let text = "@SQ\tSN:r1\tLN:40\n\
        a\t0\tr1\t1\t60\t4M\t*\t0\t0\tACGT\tIIII\tNM:i:1\tRG:Z:x\n\
        b\t16\tr1\t3\t20\t4M\t*\t0\t0\tGTAC\tIIII\tNM:i:2\n\
        c\t4\t*\t0\t0\t*\t*\t0\t0\tACGT\t!!!!\n";
    fs::write(folder.path().join("x.sam"), text).unwrap();
    for (query, expected) in [
        ("select id, \"tag_NM\" from read_sam('x.sam', 'tags=NM:i,RG:Z') where mapping_quality >= 20", "a,1\nb,2\n"),
        ("select id, \"tag_RG\" from read_sam('x.sam', 'tags=NM:i,RG:Z') where flag & 20 = 0", "a,x\n"),
        ("select id from read_sam('x.sam') where flag & 16 = 16", "b\n"),
        ("select id, \"tag_NM\" from read_sam('x.sam', 'tags=NM:i') limit 2", "a,1\nb,2\n"),
        ("select sum(\"tag_NM\"), count(*) from read_sam('x.sam', 'tags=NM:i')", "3,3\n"),
    ] {
        let done = sql(folder.path(), query, &["--output", "out.csv", "--overwrite"]);
        assert_eq!(done.code, Some(0), "{query}: {}", done.stderr);
        let text = fs::read_to_string(folder.path().join("out.csv")).unwrap();
        assert_eq!(text.split_once('\n').unwrap().1, expected, "{query}");
    }
    for (query, expected) in [
        ("select * from read_sam('x.sam', 'tags=NM')", "'NM' is no tag with a type"),
        ("select * from read_sam('x.sam', 'tags=NM:i,NM:f')", "a tag gives one column"),
        ("select * from read_sam('x.sam', 'r1', 'r2')", "one region can be read"),
        ("select * from read_sam()", "write read_sam('FILE')"),
        ("select * from read_fastq('lambda_reads.fq.gz', 'tags=NM:i')", "of SAM, BAM and CRAM files only"),
    ] {
        let done = sql(folder.path(), query, &[]);
        assert!(done.code != Some(0) && done.stderr.contains(expected), "{query}: {}", done.stderr);
    }
}

#[test]
fn wrong_queries_are_one_line() {
    let folder = folder();
    fs::write(folder.path().join("there.parquet"), b"precious").unwrap();
    for (query, more, code, line) in [
        ("select 1 +", &[][..], 2, "the query: "),
        (
            "select size from 'nyc_taxi.csv'",
            &[],
            2,
            "Schema error: No field named size. Valid fields are \"nyc_taxi.csv\".timestamp, \"nyc_taxi.csv\".value.",
        ),
        (
            "select forecast(timestamp, value, 3) from 'nyc_taxi.csv'",
            &[],
            2,
            "forecast: it takes lists where it has no window: write forecast(",
        ),
        (
            "select 1 as a",
            &["--output", "there.parquet"],
            1,
            "cannot write there.parquet: it exists: choose another name, or --overwrite",
        ),
        ("select 1 as a", &["--pool", "token"], 2, "--pool: a query gives one embedding a series: mean, last or max"),
        ("select embed(sequence) from read_fasta('lambda.fa.gz')", &["--model", "none"], 1, ""),
    ] {
        let done = sql(folder.path(), query, more);
        assert_eq!(done.code, Some(code), "{query}: {}", done.stderr);
        assert!(done.stderr.starts_with(&format!("unspool: {line}")), "{query}: {}", done.stderr);
        assert_eq!((done.stderr.lines().count(), done.stdout.as_str()), (1, ""), "{query}: {}", done.stderr);
    }
    let shown = sql(folder.path(), "select timestamp from 'nyc_taxi.csv'", &["--rows", "3"]);
    assert_eq!(shown.stdout.lines().count(), 7);
    assert_eq!(
        shown.stderr,
        "only the first 3 rows are shown: --output FILE.parquet writes all, --rows N shows more\n"
    );
}

#[test]
fn a_sorting_job_gives_what_sorted_files_give() {
    let folder = folder();
    let text = fs::read_to_string(folder.path().join("nyc_taxi.csv")).unwrap();
    let rows: Vec<&str> = text.lines().skip(1).collect();
    let table = |rows: Vec<&str>| format!("timestamp,value\n{}\n", rows.join("\n"));
    fs::create_dir(folder.path().join("lake")).unwrap();
    for part in 0..3 {
        let rows = rows.iter().rev().skip(part).step_by(3).copied().collect();
        fs::write(
            folder.path().join(format!("lake/{part}.csv")),
            format!("id,{}", table(rows).replace("\n2", "\ntaxi,2")),
        )
        .unwrap();
    }
    let job = |dir: &str, paths: &str, more: &str| {
        let text =
            format!("[input]\npaths = [\"{paths}\"]\n{more}\n[give]\nwhat = \"scores\"\n[output]\ndir = \"{dir}\"\n");
        fs::write(folder.path().join(format!("{dir}.toml")), text).unwrap();
        let done = unspool(folder.path(), &format!("run {dir}.toml -q"));
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        read(&folder.path().join(dir).join("part-00000000.parquet")).0
    };
    let (sorted, plain) = (job("sorted", "lake", "order = \"sort\""), job("plain", "nyc_taxi.csv", ""));
    assert_eq!(sorted.num_rows(), rows.len());
    assert_eq!(sorted.columns()[1..], plain.columns()[1..]);
    assert!(!folder.path().join("sorted/_sorted").exists());
}
