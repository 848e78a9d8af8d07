//! Signals in the middle of a job: no output, no temporary file.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::command::{command, folder, names};

/// Starts a job that takes long, and returns when it runs.
fn start(folder: &Path) -> (Child, BufReader<impl Read>) {
    let genome = format!(">long\n{}\n", "ACGTTGCA".repeat(2_000_000));
    fs::write(folder.join("long.fa"), genome).unwrap();
    let mut command = command(folder);
    command.args([
        "embed",
        "long.fa",
        "--model",
        "dna",
        "-o",
        "out.parquet",
        "--pool",
        "window:100",
        "--batch-tokens",
        "64",
    ]);
    running(command)
}

/// Starts a command, and returns when it says that it runs.
fn running(mut command: Command) -> (Child, BufReader<impl Read>) {
    let mut child = command.env("UNSPOOL_LOG", "unspool=debug").stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("running") {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "it ended before it ran");
    }
    (child, stderr)
}

fn signal(child: &Child, name: &str) {
    let kill = Command::new("sh").args(["-c", &format!("kill -{name} {}", child.id())]).status().unwrap();
    assert!(kill.success());
}

#[test]
fn an_interrupted_job_leaves_nothing() {
    for name in ["INT", "TERM"] {
        let folder = folder();
        let (mut child, mut stderr) = start(folder.path());
        assert_eq!(names(folder.path(), "out").len(), 2, "its temporary files");
        signal(&child, name);
        let mut rest = String::new();
        stderr.read_to_string(&mut rest).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
        assert_eq!(rest.lines().last(), Some("unspool: interrupted: no output file was made"));
        assert_eq!(names(folder.path(), "out"), [""; 0]);
    }
}

#[cfg(feature = "sql")]
#[test]
fn an_interrupted_query_leaves_nothing() {
    let folder = folder();
    let mut command = command(folder.path());
    command.args([
        "sql",
        "select forecast(timestamp, value, 24) over (order by timestamp) from 'nyc_taxi.csv'",
        "-o",
        "out.parquet",
    ]);
    let (mut child, mut stderr) = running(command);
    assert_eq!(names(folder.path(), "out").len(), 2, "its temporary files");
    signal(&child, "INT");
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
    assert_eq!(rest.lines().last(), Some("unspool: interrupted: no output file was made"));
    assert_eq!(names(folder.path(), "out"), [""; 0]);
}

#[test]
fn a_killed_job_leaves_no_output() {
    let folder = folder();
    let (mut child, _) = start(folder.path());
    signal(&child, "KILL");
    assert_eq!(child.wait().unwrap().code(), None);
    // What stays is what nobody takes for an output.
    let left = names(folder.path(), "out");
    assert!(left.iter().all(|name| name.ends_with(".partial")), "{left:?}");
}
