//! `unspool demo`: all parts at once, to their end and interrupted.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
};

use crate::command::{command, succeed, unspool};

#[test]
fn the_check_finds_the_same_bits_by_every_way() {
    let folder = tempfile::tempdir().unwrap();
    let done = succeed(folder.path(), "demo --check --output shown");
    for part in [
        "the stream job of scores is killed (SIGKILL), and started again",
        "✓ 3,840 events of 8 series were scored by the stream job, each exactly once and in order",
        "✓ 3,840 scores: stream job, batch job and sessions agree to the bit",
        "✓ 8 forecasts of the next 48 values: stream job, batch job and sessions agree to the bit",
        "✓ 80 daily forecasts came from the stream job, each exactly once and in order",
    ] {
        assert!(done.stderr.contains(part), "{part}: {}", done.stderr);
    }
    let page = fs::read_to_string(folder.path().join("shown/report.html")).unwrap();
    let count = |part: &str| page.matches(part).count();
    // Three forecasts, the run in time, a series with its unlikely values.
    assert_eq!((count("<svg "), count("</svg>"), count("<polygon")), (5, 5, 3 * 4));
    assert!(page.contains("worker killed, and started again") && page.contains("CGG &gt; C"), "{page}");
    // It opens offline: nothing is fetched.
    assert_eq!(count("http"), count("xmlns=\"http://www.w3.org/2000/svg\""));
    assert_eq!((count("src="), count("href="), count("url("), count("<script")), (0, 0, 0, 0));
    assert!(done.stdout.contains("shown/report.html"), "{}", done.stdout);
    what_to_try_next(folder.path(), &done.stdout);
}

/// The commands that the demonstration ends with, as they are printed.
fn what_to_try_next(folder: &Path, printed: &str) {
    let next = printed.split("To try next:\n").nth(1).unwrap();
    let commands: Vec<&str> =
        next.lines().filter_map(|line| line.trim_start().split_once("unspool ")).map(|c| c.1).collect();
    assert_eq!(commands.len(), 3, "{next}");
    for command in commands {
        succeed(folder, command);
    }
    assert!(
        folder.join("shown/two-days.html").is_file() && folder.join("shown/nightly/forecasts/_report.html").is_file()
    );
}

#[test]
fn a_folder_that_holds_something_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("full")).unwrap();
    fs::write(folder.path().join("full/precious"), "").unwrap();
    let done = unspool(folder.path(), "demo --check --output full");
    let line = "unspool: full is not empty: name a folder that is new, or leave --output out\n";
    assert_eq!((done.code, &done.stderr[..]), (Some(2), line));
}

#[test]
fn an_interrupt_ends_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(folder.path());
    // As a terminal does: a group of processes of its own, which Ctrl-C reaches.
    command.args(["demo", "--seconds", "600", "--output", "shown"]).process_group(0).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let (mut line, mut started) = (String::new(), vec![]);
    while !line.contains(" events, ") {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "it ended before it played");
        started.extend(line.split("(process ").nth(1).and_then(|rest| rest.split(')').next()).map(str::to_owned));
    }
    assert_eq!(started.len(), 6, "two stream jobs, a server, two batch jobs, the variants");
    let kill = Command::new("sh").args(["-c", &format!("kill -INT -{}", child.id())]).status().unwrap();
    assert!(kill.success());
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
    assert_eq!(rest.lines().last(), Some("unspool: interrupted: what there is so far lies in shown"));
    for number in started {
        assert!(!Path::new("/proc").join(&number).join("exe").exists(), "process {number} goes on");
    }
}
