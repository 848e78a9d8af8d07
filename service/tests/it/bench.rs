//! `unspool bench serve` and `forecast`: every part of the report is there, and nothing fails in it. What the figures are is no matter here.

use std::fs;

use crate::{
    command::{folder, succeed, unspool},
    server::Server,
};

#[test]
fn the_standard_report() {
    let folder = folder();
    let report = succeed(folder.path(), "bench serve --model dna --sessions 24 --duration-s 0.4").stdout;
    for part in [
        "dna, d=16, 2 layers, ",
        "calls, 1 event ",
        "calls, 64 events ",
        "stream, 24 a message, 1 event ",
        "Ten times too much, calls of 64 events",
        "of all that it can take",
        "calls refused, with advice when to come again",
        "Single events of one session",
        "Append less the encoder, of the echo",
        "Rounds of one event for each of 24 sessions",
        "Embedding 64 sequences of 1024 events",
    ] {
        assert!(report.contains(part), "{part}: {report}");
    }
    let last = |line: &str| line.split_whitespace().next_back().unwrap().to_owned();
    let lines =
        report.lines().filter(|line| line.starts_with("calls that failed") || line.starts_with("sessions lost"));
    assert_eq!(lines.map(last).collect::<Vec<_>>(), ["0", "0"], "{report}");
    assert!(!report.contains("failed or not answered:"), "{report}");
}

#[test]
fn load_on_a_server_that_runs_leaves_nothing_behind() {
    let folder = folder();
    fs::write(folder.path().join("u.toml"), "[limits]\nsessions = 10\n").unwrap();
    let (server, address) =
        Server::start(folder.path(), "--model dna --model series-3 --config u.toml --data-dir kept");
    let bench = format!("bench serve --address {address} --sessions 10 --duration-s 0.3 --rate 500 --durable");
    for (more, line) in [
        ("--model dna --events 5", "calls, 5 events, durable "),
        ("--message 4 --horizon 3 --connections 2", "stream, 4 a message, 1 event + 3 ahead, durable "),
    ] {
        let report = succeed(folder.path(), &format!("{bench} {more}")).stdout;
        let figures = report.lines().find_map(|found| found.strip_prefix(line)).unwrap_or_else(|| panic!("{report}"));
        let figures: Vec<&str> = figures.split_whitespace().collect();
        // At most, offered, served, and three latencies; nothing refused or failed.
        assert_eq!((figures.len(), figures[1]), (6, "500"), "{report}");
    }
    // The limit on sessions would have told, had any been left.
    server.stop();
    let nobody = unspool(folder.path(), &format!("bench serve --address {address} --rate 1"));
    assert_eq!((nobody.code, nobody.stderr.lines().count()), (Some(2), 1), "{}", nobody.stderr);
    assert!(nobody.stderr.contains("no server answers there"), "{}", nobody.stderr);
}

#[test]
fn sessions_are_timed() {
    let folder = folder();
    let report = succeed(folder.path(), "bench forecast --sessions 1,3 --runs 2 --horizon 5").stdout;
    let rows: Vec<Vec<&str>> = report.lines().skip(5).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        rows.iter().map(|row| (row[0], row[1])).collect::<Vec<_>>(),
        [("1", "1"), ("1", "16"), ("3", "1"), ("3", "16")]
    );
    assert!(rows.iter().all(|row| row.len() == 6 && row[5].parse::<f64>().unwrap() > 0.0), "{report}");
    let json = succeed(folder.path(), "bench forecast --sessions 2 --runs 2 --model series-1 --json").stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((json["cases"].as_array().map(Vec::len), json["model"].as_str()), (Some(2), Some("series-1")));
}
