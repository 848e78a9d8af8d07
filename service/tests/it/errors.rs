//! Wrong use and bad input: one line, and the exit code.

use std::fs;

use crate::command::{folder, names, unspool};

/// What is typed, the exit code, and the line.
const LINES: &[(&str, i32, &str)] = &[
    ("", 2, "name a command; `unspool --help` lists them"),
    ("swim", 2, "unrecognized subcommand 'swim' (see --help)"),
    ("embed series.csv", 2, "the following required arguments were not provided: --output <OUT> (see --help)"),
    ("forecast series.csv --horizon 0", 2, "invalid value '0' for '--horizon <H>': 0 is not in 1..=65536 (see --help)"),
    ("forecast series.csv", 2, "--horizon: say how many values to forecast; the input states no @horizon"),
    (
        "forecast series.csv --horizon 2 --device gpu",
        2,
        "invalid value 'gpu' for '--device <DEVICE>': 'gpu' is no device: auto, cpu, cuda or cuda:N is wanted (see --help)",
    ),
    (
        "forecast series.csv --horizon 2 --device cpu --weights bf16",
        1,
        "--weights bf16: a CPU computes in f32; name a GPU, or leave it out",
    ),
    ("forecast lambda.fa.gz --horizon 2", 2, "reads cannot be forecast; `unspool embed` takes them"),
    (
        "forecast series.csv --horizon 2 -o series.csv --overwrite",
        2,
        "series.csv would overwrite the input series.csv: name another output",
    ),
    (
        "forecast series.csv --horizon 2 --value size",
        1,
        "series.csv: there is no value column 'size'; the columns are: time, value",
    ),
    ("forecast none.csv --horizon 2", 1, "none.csv: No such file or directory (os error 2)"),
    (
        "forecast series.csv --horizon 2 -o there.parquet",
        1,
        "cannot write there.parquet: it exists: choose another name, or --overwrite",
    ),
    (
        "forecast series.csv --horizon 2 -o no/out.parquet",
        1,
        "cannot write no/out.parquet: the folder no does not exist: make it first",
    ),
    ("embed lambda.fa.gz -o out.csv --model dna", 2, "--output: CSV cannot hold embeddings: name a .parquet file"),
    (
        "embed lambda.fa.gz series.csv -o out.parquet --model dna",
        2,
        "series.csv: reads and series cannot be mixed: run them one by one",
    ),
    (
        "embed series.csv -o out.parquet --region x:1-2",
        2,
        "--region: it is of reads and contigs; leave it out for series",
    ),
    (
        "embed lambda.fa.gz -o out.parquet --model dna --pool median",
        2,
        "invalid value 'median' for '--pool <POOL>': expected mean, last, max, token or window:N with N of 1 or more (see --help)",
    ),
    ("init dna", 2, "dna: the directory is not empty: name a new one"),
    ("init series.csv", 2, "series.csv: it is a file: name a new one"),
    (
        "init new --d-model 32768 --layers 1024",
        2,
        "--d-model, --expand, --layers: the weights would take 24576 GiB; at most 16 are made",
    ),
    ("init new --head-dim 8", 2, "--head-dim: mamba1 has no heads; leave it out, or --arch mamba2"),
    ("init new --arch mamba2 --head-dim 7", 2, "--head-dim: 7 does not divide the inner width 512"),
];

/// Texts of the readers' and the model's own: here they are one line with the file's name, and no output.
const OTHERS: &[&str] = &[
    "forecast empty.csv --horizon 2",
    "forecast noise.bin --horizon 2",
    "embed lambda.fa.gz -o out.parquet --model none -q",
    "embed lambda.fa.gz -o out.parquet --model dna --layer 3 -q",
    "embed lambda.fa.gz -o out.parquet --model dna --region chr9:1-5 -q",
    "embed noise.bin -o out.parquet --model dna -q",
    "inspect none",
    "inspect noise.bin",
];

#[test]
fn one_line_and_the_exit_code() {
    let folder = folder();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    write("empty.csv", b"");
    write("series.csv", b"time,value\n1,2\n2,3\n");
    write("there.parquet", b"precious");
    write("cut.fq", b"@a\nACGT\n+\nII");
    write("noise.bin", &[0, 1, 2, 3]);
    for (arguments, code, line) in LINES {
        let done = unspool(folder.path(), arguments);
        assert_eq!(
            (done.code, done.stderr.as_str()),
            (Some(*code), format!("unspool: {line}\n").as_str()),
            "{arguments}"
        );
        assert_eq!(done.stdout, "", "{arguments}");
    }
    for arguments in OTHERS {
        let done = unspool(folder.path(), arguments);
        assert_eq!(done.code, Some(1), "{arguments}: {}", done.stderr);
        assert!(
            done.stderr.starts_with("unspool: ") && done.stderr.lines().count() == 1,
            "{arguments}: {}",
            done.stderr
        );
    }
    assert_eq!(fs::read(folder.path().join("there.parquet")).unwrap(), b"precious");
    assert_eq!(names(folder.path(), "out"), [""; 0]);
}

#[test]
fn a_closed_or_full_standard_output() {
    use std::process::Stdio;

    use crate::command::command;
    let folder = folder();
    let run = |to: Stdio| {
        let mut command = command(folder.path());
        command.args(["forecast", "nyc_taxi.csv", "--horizon", "2", "--quiet"]).stdout(to);
        command.stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap()
    };
    // Nobody reads: the end of the pipe is closed before the run.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let closed = run(writer.into());
    assert_eq!((closed.status.code(), closed.stderr.len()), (Some(0), 0));
    let full = run(fs::File::create("/dev/full").unwrap().into());
    let line = "unspool: cannot write standard output: the disk is full: free some space, or write elsewhere\n";
    assert_eq!((full.status.code(), String::from_utf8(full.stderr).unwrap().as_str()), (Some(1), line));
}

#[cfg(not(feature = "sql"))]
#[test]
fn a_build_without_sql_says_what_it_lacks() {
    let folder = folder();
    let job =
        "[input]\npaths = [\"nyc_taxi.csv\"]\norder = \"sort\"\n[give]\nwhat = \"scores\"\n[output]\ndir = \"out\"\n";
    fs::write(folder.path().join("job.toml"), job).unwrap();
    for (arguments, line) in [
        ("sql select", "sql: this program was built without SQL: build it with `cargo build --release --features sql`"),
        (
            "run job.toml",
            "input.order: this program cannot sort: build it with `cargo build --release --features sql`, or sort each series' rows by time",
        ),
    ] {
        let done = unspool(folder.path(), arguments);
        assert_eq!((done.code, done.stderr.trim_end()), (Some(2), format!("unspool: {line}").as_str()));
    }
}
