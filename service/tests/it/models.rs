//! `unspool init` and `unspool inspect`.

use std::fs;

use crate::command::{folder, succeed};

#[test]
fn the_same_seed_makes_the_same_model() {
    let folder = folder();
    let make = |arguments: &str| {
        let done = succeed(folder.path(), &format!("init {arguments} --name same"));
        assert!(done.stderr.contains("is untrained: its weights are random"), "{}", done.stderr);
        done.stdout.split_whitespace().nth(1).map(str::to_owned)
    };
    let one = make("one --d-model 16 --layers 1 --seed 1");
    assert_eq!(one.as_ref().map(String::len), Some(64));
    assert_eq!(make("two --d-model 16 --layers 1 --seed 1"), one);
    assert_ne!(make("three --d-model 16 --layers 1 --seed 2"), one);
    make("four --arch mamba2 --d-model 32 --layers 1 --head-dim 8 --n 16 --k 3 --expand 1");
    succeed(folder.path(), "embed lambda_reads.fq.gz --model four -o out.parquet -q");
}

#[test]
fn what_files_and_models_hold() {
    let folder = folder();
    let inspect = |path: &str| succeed(folder.path(), &format!("inspect {path}")).stdout;
    let check = |path: &str, expected: &[&str]| {
        let text = inspect(path);
        let lines: Vec<String> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        for line in expected {
            assert!(lines.iter().any(|found| found == line), "'{line}' is not in\n{text}");
        }
    };
    fs::write(folder.path().join("numbers.csv"), "a,b\n1,2\n").unwrap();
    check("lambda_reads.fq.gz", &["format FASTQ", "records 500", "bases 75,000 (longest record 150)", "rejects 0"]);
    check(
        "nyc_taxi.csv",
        &["format CSV", "series 1 (of 2,976 to 2,976 values)", "values 2,976 (0 missing)", "rejects 0"],
    );
    let problem = "series not as it stands: numbers.csv:";
    assert!(inspect("numbers.csv").split_whitespace().collect::<Vec<_>>().join(" ").contains(problem));
    let layers = "backbone 2 layers of width 16: Mamba-1, inner width 32, n 16, k 4";
    check("dna", &["model dna", "trained no: its weights are random", "input DNA, one token a base", layers]);
    check("", &["trained yes", "input series, in patches of 16 values"]);
    check("series-3", &["model series-3", "trained yes"]);
    check("dna-1", &["model dna-1", "trained yes", "input DNA, one token a base"]);
}

#[test]
fn a_built_in_model_is_named_wherever_a_model_is() {
    let folder = folder();
    let forecast =
        |model: &str| succeed(folder.path(), &format!("forecast nyc_taxi.csv --horizon 2 -q {model}")).stdout;
    assert_eq!(forecast("--model series-3"), forecast(""));
    assert_ne!(forecast("--model series-1"), forecast(""));
    // A directory of that name comes first.
    fs::rename(folder.path().join("dna"), folder.path().join("dna-1")).unwrap();
    let own = succeed(folder.path(), "inspect dna-1").stdout;
    assert!(own.contains("no: its weights are random"), "{own}");
}
