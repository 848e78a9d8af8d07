//! Batch jobs on a cluster of processes of the binary: a scheduler, executors, and the driver.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, ChildStderr, ChildStdout, Stdio},
};

use tempfile::TempDir;

use crate::{
    batch::bytes,
    command::{command, folder, unspool},
};

/// Series of the lake, and rows of each in each of its files.
const SERIES: usize = 10;
const ROWS: usize = 60;
/// Small groups: many of them are under way.
const FLAGS: &str = "--cluster-group-values 60 --cluster-groups 4 --quiet";

/// A scheduler or an executor; killed when it is dropped.
struct Part {
    child: Child,
    address: String,
    _stdout: BufReader<ChildStdout>,
}

impl Part {
    /// Starts one, and waits until it is ready; the arguments are separated by spaces.
    fn start(folder: &Path, arguments: &str) -> Self {
        let mut command = command(folder);
        command.arg("cluster").args(arguments.split_whitespace()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line.split(" is ready on ").nth(1).and_then(|rest| rest.split([':', '\n']).nth(1)).map(str::trim);
        let address = format!("127.0.0.1:{}", address.unwrap_or_else(|| panic!("{arguments}: it said '{line}'")));
        Self { child, address, _stdout: stdout }
    }

    fn scheduler(folder: &Path, port: &str) -> Self {
        Self::start(folder, &format!("scheduler --listen 127.0.0.1:{port} --executor-timeout-s 2"))
    }

    fn executor(folder: &Path, scheduler: &Self) -> Self {
        Self::start(folder, &format!("executor --scheduler http://{} --threads 1 --work-dir .", scheduler.address))
    }

    /// As a crash ends it: SIGKILL. Gives its port.
    fn kill(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.address.split(':').nth(1).unwrap().to_owned()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = (self.child.kill(), self.child.wait());
    }
}

/// Many series, mixed, over two files, some of whose rows are late.
fn lake() -> TempDir {
    let folder = folder();
    fs::create_dir(folder.path().join("lake")).unwrap();
    for file in 0..2 {
        let mut text = String::from("id,time,value\n");
        for row in 0..ROWS {
            for series in 0..SERIES {
                let time = file * (ROWS - 1) + row;
                let value = ((time * (series + 3)) as f64 / 11.0).sin() * 10.0 + series as f64;
                text.push_str(&format!("s{series},{time},{value}\n"));
            }
        }
        fs::write(folder.path().join(format!("lake/{file}.csv")), text).unwrap();
    }
    folder
}

/// The flags of a job that ends its units after so many rows.
fn job(what: &str, out: &str, unit_rows: usize) -> String {
    format!("run --input lake --what {what} --unit-rows {unit_rows} --output {out}")
}

/// Starts a driver, and returns when it has committed a unit.
fn driver(folder: &Path, arguments: &str) -> (Child, BufReader<ChildStderr>) {
    let mut command = command(folder);
    command
        .args(arguments.split_whitespace())
        .env("UNSPOOL_LOG", "unspool_pipelines=debug")
        .env("NO_COLOR", "1")
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let (mut line, mut text) = (String::new(), String::new());
    while !line.contains("units=1") {
        text.push_str(&std::mem::take(&mut line));
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "it ended before it had committed a unit: {text}");
    }
    (child, stderr)
}

/// Waits for a driver's end: its exit code, and the last line that it wrote.
fn end((mut child, mut stderr): (Child, BufReader<ChildStderr>)) -> (Option<i32>, String) {
    let mut text = String::new();
    stderr.read_to_string(&mut text).unwrap();
    (child.wait().unwrap().code(), text.lines().last().unwrap_or_default().to_owned())
}

fn succeed(folder: &Path, arguments: &str) {
    let done = unspool(folder, arguments);
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{arguments}");
}

#[test]
fn a_cluster_gives_the_bytes_of_one_process() {
    let folder = lake();
    let here = folder.path();
    let scheduler = Part::scheduler(here, "0");
    let _executors = [Part::executor(here, &scheduler), Part::executor(here, &scheduler)];
    for (what, unit_rows) in [("scores", 400), ("forecast --horizon 7", 300), ("embedding", 100_000)] {
        succeed(here, &format!("{} --quiet", job(what, "alone", unit_rows)));
        succeed(here, &format!("{} --cluster {} {FLAGS}", job(what, "together", unit_rows), scheduler.address));
        let (alone, together) = (bytes(&here.join("alone")), bytes(&here.join("together")));
        assert!(alone.len() > 3 && alone == together, "{what}: {:?} {:?}", alone.keys(), together.keys());
        for out in ["alone", "together"] {
            fs::remove_dir_all(here.join(out)).unwrap();
        }
    }
}

#[test]
fn reads_and_contigs_too() {
    let folder = folder();
    let here = folder.path();
    let bases = |seed: usize, len: usize| -> String {
        (0..len).map(|n| ["A", "C", "G", "T"][(n * n + n * seed + n / 3 + seed) % 4]).collect()
    };
    fs::create_dir(here.join("reads")).unwrap();
    // Contigs within a batch, and over several of them.
    let contigs = [40, 700, 90, 1300, 2, 260];
    let fasta = contigs.map(|len| format!(">contig{len}\n{}\n", bases(len, len))).concat();
    fs::write(here.join("reads/a.fa"), fasta).unwrap();
    let mut fastq = String::new();
    for n in 0..90 {
        let bases = if n % 30 == 17 { "ACGJ".to_owned() } else { bases(n, 25 + n % 7) };
        fastq.push_str(&format!("@read{n}\n{bases}\n+\n{}\n", "I".repeat(bases.len())));
    }
    fs::write(here.join("reads/b.fastq"), fastq).unwrap();
    let scheduler = Part::scheduler(here, "0");
    let executor = || {
        Part::start(here, &format!("executor --scheduler {} --model dna --threads 1 --work-dir .", scheduler.address))
    };
    let _executors = [executor(), executor()];
    for window in ["", "window = 100\n"] {
        for (out, flags) in
            [("alone", "--quiet".to_owned()), ("together", format!("--cluster {} {FLAGS}", scheduler.address))]
        {
            let job = format!(
                "model = \"dna\"\n[input]\npaths = [\"reads\"]\n[give]\nwhat = \"embeddings\"\n{window}[output]\ndir = \
                 \"{out}\"\n[run]\nunit_rows = 500\n"
            );
            fs::write(here.join("job.toml"), job).unwrap();
            succeed(here, &format!("run job.toml {flags}"));
        }
        let (alone, together) = (bytes(&here.join("alone")), bytes(&here.join("together")));
        assert!(alone.len() > 8 && alone == together, "{window}: {:?} {:?}", alone.keys(), together.keys());
        for out in ["alone", "together"] {
            fs::remove_dir_all(here.join(out)).unwrap();
        }
    }
}

#[test]
fn an_executor_that_is_killed_costs_its_groups_alone() {
    let folder = lake();
    let here = folder.path();
    succeed(here, &format!("{} --quiet", job("scores", "alone", 200)));
    let scheduler = Part::scheduler(here, "0");
    // The only one has all groups until another comes.
    let first = Part::executor(here, &scheduler);
    let arguments = format!("{} --cluster {} {FLAGS}", job("scores", "together", 200), scheduler.address);
    let driver = driver(here, &arguments);
    let _second = Part::executor(here, &scheduler);
    first.kill();
    let (code, last) = end(driver);
    assert_eq!(code, Some(0), "{last}");
    assert!(bytes(&here.join("alone")) == bytes(&here.join("together")));
}

#[test]
fn a_job_without_executors_says_so() {
    let folder = lake();
    let here = folder.path();
    // Long enough that the groups of the second unit are there before the executor is missed.
    let scheduler = Part::start(here, "scheduler --listen 127.0.0.1:0 --executor-timeout-s 6");
    let only = Part::executor(here, &scheduler);
    let arguments = format!("{} --cluster {} {FLAGS}", job("scores", "together", 200), scheduler.address);
    let driver = driver(here, &arguments);
    only.kill();
    let (code, last) = end(driver);
    let remedy = "no executor is left: start some, then the job: it goes on after its last unit";
    assert_eq!((code, last), (Some(1), format!("unspool: cluster http://{}: {remedy}", scheduler.address)));
}

#[test]
fn a_scheduler_that_is_killed_costs_the_unit_at_hand() {
    let folder = lake();
    let here = folder.path();
    succeed(here, &format!("{} --quiet", job("scores", "alone", 200)));
    let scheduler = Part::scheduler(here, "0");
    let _executor = Part::executor(here, &scheduler);
    let arguments = format!("{} --cluster {} {FLAGS}", job("scores", "together", 200), scheduler.address);
    let driver = driver(here, &arguments);
    let address = scheduler.address.clone();
    let port = scheduler.kill();
    let (code, last) = end(driver);
    let begin = format!("unspool: cluster http://{address}: no scheduler answers (");
    let remedy = "): start it again, then the job: it goes on after its last unit";
    assert!(code == Some(1) && last.starts_with(&begin) && last.ends_with(remedy), "{code:?}: {last}");
    // The executor comes back by itself.
    let _scheduler = Part::scheduler(here, &port);
    succeed(here, &arguments);
    assert!(bytes(&here.join("alone")) == bytes(&here.join("together")));
}

#[test]
fn what_is_wrong_with_a_cluster_is_one_line() {
    let folder = lake();
    let here = folder.path();
    let check = |arguments: &str, code: i32, expected: &str| {
        let done = unspool(here, arguments);
        assert_eq!((done.code, done.stderr.trim_end()), (Some(code), expected), "{arguments}");
    };
    let run = format!("{} --cluster", job("scores", "out", 500));
    check(&format!("{run} https://box"), 2, "unspool: 'https://box' names no scheduler: give http://HOST:PORT");
    let open = "unspool: --listen 0.0.0.0:0: whoever reaches it could use it and read what it sends: give a loopback \
                address, or --allow-insecure in a network of your own";
    check("cluster scheduler --listen 0.0.0.0:0", 2, open);
    check("cluster executor --scheduler http://127.0.0.1:9 --listen 0.0.0.0:0", 2, open);
    let scheduler = Part::scheduler(here, "0");
    let address = scheduler.address.clone();
    check(
        &format!("{run} {address} --cluster-patience-s 1"),
        1,
        &format!(
            "unspool: cluster http://{address}: no executor has answered within 1 s: start `unspool cluster executor \
             --scheduler http://{address}`"
        ),
    );
    let _other = Part::start(here, &format!("executor --scheduler {address} --model series-1 --work-dir ."));
    let done = unspool(here, &format!("{run} {address}"));
    let begin = format!("unspool: cluster http://{address}: its executors run series-1 (");
    assert!(done.code == Some(1) && done.stderr.starts_with(&begin), "{}", done.stderr);
    assert!(done.stderr.trim_end().ends_with("): start them with --model"), "{}", done.stderr);
    scheduler.kill();
    check(
        &format!("{run} {address}"),
        1,
        &format!(
            "unspool: cluster http://{address}: no scheduler answers (Connection refused (os error 111)): start `unspool \
             cluster scheduler`, or correct --cluster"
        ),
    );
    assert!(!here.join("out").exists());
}
