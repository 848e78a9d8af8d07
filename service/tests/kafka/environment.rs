//! Scenarios of what stands around a job: metrics, object stores, files, full disks.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    broker::{Broker, Sent},
    job::{Numbers, events},
    scenarios::{SCORES, SOON, Scene, payloads, steps},
    worker::Worker,
};

/// Waits until something is so.
fn until(what: &str, so: impl Fn() -> bool) {
    let end = Instant::now() + SOON;
    while !so() {
        assert!(Instant::now() < end, "{what}: it did not come to that");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// An answer over HTTP, head and all.
fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

pub(crate) fn metrics_tell_how_a_job_stands(broker: &Broker) {
    let scene = Scene::new(broker, "metrics", 2);
    let more = "[output]\ngive = 'scores'\n[run]\nsnapshot_interval_ms = 300\nmetrics_listen = '127.0.0.1:0'\n";
    let (job, file) = scene.job("job", more);
    scene.broker.send(scene.input, &steps((0, 90)));
    let bad = Sent { key: Some("a".into()), payload: Some("?".into()), ..Sent::default() };
    scene.broker.send(scene.input, &vec![bad; 10]);
    let worker = scene.start("run", &[&file]);
    scene.broker.wait_for(job.name, scene.input, scene.broker.patience);
    let says = "unspool answers metrics on ";
    let log = worker.log();
    let address = log.lines().find_map(|line| line.strip_prefix(says)).unwrap_or_else(|| panic!("no address: {log}"));
    assert!(get(address, "/livez").starts_with("HTTP/1.1 200"));
    // all samples, by name and labels
    let value = |sample: &str| -> Option<f64> {
        let text = get(address, "/metrics");
        let line = text.lines().find_map(|line| Some(line.strip_prefix(sample)?.strip_prefix(' ')?.to_owned()))?;
        line.trim().parse().ok()
    };
    for (sample, expected) in [
        ("unspool_stream_messages_total{replayed=\"false\"}", 100.0),
        ("unspool_stream_messages_total{replayed=\"true\"}", 0.0),
        ("unspool_stream_events_total", 90.0),
        ("unspool_stream_outputs_total", 90.0),
        ("unspool_stream_rejects_total{kind=\"payload\"}", 10.0),
        ("unspool_stream_restores_total", 2.0),
        ("unspool_stream_lag_messages{partition=\"0\"}", 0.0),
        ("unspool_stream_retention_headroom_messages{partition=\"0\"}", 100.0),
        ("unspool_stream_watermark_microseconds{partition=\"0\"}", 89.0),
        ("unspool_stream_series{tier=\"memory\"}", 1.0),
    ] {
        until(sample, || value(sample) == Some(expected));
    }
    let committed = "unspool_stream_transactions_total{end=\"committed\"}";
    until("transactions", || {
        value(committed).is_some_and(|n| n >= 1.0) && value(committed) == value("unspool_stream_commit_seconds_count")
    });
    until("snapshots", || value("unspool_stream_snapshots_total").is_some_and(|n| n >= 2.0));
    worker.stop();
}

pub(crate) fn a_check_looks_at_the_newest_messages(broker: &Broker) {
    let scene = Scene::new(broker, "check", 2);
    let (job, file) = scene.job("job", SCORES);
    let plan = |file: &str| {
        let mut worker = scene.start("check", &[file, "--check"]);
        let status = worker.ended(SOON);
        assert!(status.success(), "{}", worker.log());
        let log = worker.log();
        let written = log.lines().rfind(|line| line.starts_with("written")).unwrap();
        assert!(written.starts_with("written      a record each for a try, and taken back: "), "{written}");
        log.lines().rfind(|line| line.starts_with("newest")).unwrap().to_owned()
    };
    assert_eq!(plan(&file), "newest       no messages as yet");
    scene.broker.send(scene.input, &steps((0, 150)));
    assert_eq!(plan(&file), "newest       100 messages: 100 rows (0 without a value)");
    let bad = Sent { partition: 1, key: Some("a".into()), payload: Some("?".into()), ..Sent::default() };
    scene.broker.send(scene.input, &[bad]);
    let line = plan(&file);
    assert!(
        line.starts_with("newest       101 messages: 100 rows (0 without a value), 1 rejects (the last: "),
        "{line}"
    );
    let with = |from: &str, to: &str| {
        let path = scene.folder().join("other.toml");
        std::fs::write(&path, std::fs::read_to_string(&file).unwrap().replace(from, to)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let line = plan(&with("values = ['v']", "values = ['w']"));
    assert!(line.starts_with("newest       101 messages: 100 rows (100 without a value)"), "{line}");
    let line = scene.refused(&[&with("series = 'key'", "series = 'field:w'"), "--check"]);
    assert!(line.contains("all of the 101 newest messages would be rejected: "), "{line}");
    assert_eq!(scene.broker.read(&job.out()).len(), 0, "what was written for a try is not there");
}

pub(crate) fn tokens_that_nobody_has_signed(broker: &Broker) {
    let scene = Scene::new(broker, "tokens", 1);
    scene.broker.send(scene.input, &steps((0, 20)));
    let (address, ca) = scene.broker.secure();
    let (job, file) = scene.job("job", SCORES);
    let with = |name: &str, settings: &str| {
        let settings = format!(
            "[kafka]\nbootstrap = '{address}'\n[kafka.settings]\n'security.protocol' = 'SASL_SSL'\n\
             'sasl.mechanism' = 'OAUTHBEARER'\n'ssl.ca.location' = '{}'\n{settings}\n",
            ca.display()
        );
        let text = std::fs::read_to_string(&file).unwrap();
        let path = scene.folder().join(format!("{name}.toml"));
        std::fs::write(&path, settings + &text[text.find("[input]").unwrap()..]).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let unsigned = "'enable.sasl.oauthbearer.unsecure.jwt' = true\n'sasl.oauthbearer.config' = 'principal=alice'";
    scene.run(&(job, with("unsigned", unsigned)));
    assert_eq!(scene.broker.read(&format!("{}-job-out", scene.input)).len(), 20);
    let line = scene.refused(&[
        &with(
            "oidc",
            "'sasl.oauthbearer.method' = 'oidc'\n'sasl.oauthbearer.token.endpoint.url' = 'http://127.0.0.1:1'",
        ),
        "--check",
    ]);
    assert!(
        line.contains("the Kafka client refuses a setting") && line.contains("not supported in this build"),
        "{line}"
    );
}

/// Files of a folder and the folders in it.
fn all_files(dir: &Path) -> Vec<PathBuf> {
    let Ok(all) = std::fs::read_dir(dir) else { return vec![] };
    let each = |path: PathBuf| if path.is_dir() { all_files(&path) } else { vec![path] };
    all.flat_map(|entry| each(entry.unwrap().path())).collect()
}

pub(crate) fn states_move_through_an_object_store(broker: &Broker) {
    let scene = Scene::new(broker, "store", 1);
    let store = scene.folder().join("store");
    std::fs::create_dir(&store).unwrap();
    let more = "[output]\ngive = 'scores'\n[group]\nmember = 'one'\n[run]\nsnapshot_interval_ms = 200\n";
    let (job, file) = scene.job("job", more);
    let text = std::fs::read_to_string(&file).unwrap();
    let with = |data: &str, store: &str| {
        let run = format!("[run]\ndata_dir = '{data}'\nsnapshot_store = '{store}'\nsnapshot_store_timeout_ms = 500\n");
        let path = scene.folder().join(format!("{data}.toml"));
        let rest = text[text.find("[run]").unwrap()..].split_once("snapshot_interval_ms").unwrap().1;
        let head = &text[..text.find("[run]").unwrap()];
        std::fs::write(&path, format!("{head}{run}snapshot_interval_ms{rest}")).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let url = format!("file://{}", store.display());
    let first = with("machine-1", &url);
    scene.broker.send(scene.input, &steps((0, 100)));
    let worker = scene.start("first", &[&first]);
    let is_of_all = |path: &PathBuf| {
        let path = path.to_string_lossy();
        path.contains("/0/00000000000000000100-") && path.ends_with(".snapshot")
    };
    until("a snapshot of all", || all_files(&store).iter().any(is_of_all));
    scene.broker.send(scene.input, &steps((100, 120)));
    scene.broker.wait_for(job.name, scene.input, scene.broker.patience);
    worker.kill();
    // the machine is gone, and records that the states need are too: only the store can help
    std::fs::remove_dir_all(scene.folder().join("machine-1")).unwrap();
    scene.broker.delete_before(scene.input, 0, 90);
    scene.broker.send(scene.input, &steps((120, 200)));
    let nowhere = scene.refused(&[&with("machine-2", &format!("file://{}/other", scene.folder().display()))]);
    assert!(nowhere.contains("has no snapshot at or before it"), "{nowhere}");
    scene.run(&(job, with("machine-3", &url)));
    let given = scene.broker.read(&format!("{}-job-out", scene.input));
    assert_eq!(given.len(), 200);
    // a store that is none is said at once
    let line = scene.refused(&[&with("machine-4", "s3://bucket/prefix?"), "--check"]);
    assert!(line.contains("run.snapshot_store") || line.contains("the object store"), "{line}");
}

pub(crate) fn outputs_may_be_files(broker: &Broker) {
    let scene = Scene::new(broker, "files", 2);
    scene.broker.send(scene.input, &events(&mut Numbers(5), 2, (0, 1000)));
    let files = scene.job("files", "[output]\ngive = 'scores'\nfile_interval_ms = 300\n");
    scene.run(&files);
    scene.broker.send(scene.input, &events(&mut Numbers(6), 2, (1000, 1500)));
    scene.run(&files);
    let plain = scene.job("plain", SCORES);
    scene.run(&plain);
    let (outputs, rejects) = files.0.given(scene.folder());
    let (expected, letters) = plain.0.given(scene.folder());
    assert_eq!((outputs.len(), rejects.len()), (expected.len(), letters.len()));
    assert!(outputs.len() > 500 && !rejects.is_empty());
    let sources = |all: &[crate::broker::Got], name: &str| {
        let mut all: Vec<String> = all.iter().map(|got| got.headers[name].clone()).collect();
        all.sort();
        all
    };
    assert_eq!(sources(&outputs, "source"), sources(&expected, "unspool-source"));
    assert_eq!(sources(&rejects, "source"), sources(&letters, "unspool-source"));
    // a file that is gone is not written anew behind the group's back
    let newest = all_files(&scene.folder().join(files.0.out()).join("partition=0")).into_iter().max().unwrap();
    std::fs::remove_file(newest).unwrap();
    let line = scene.refused(&[&files.1]);
    assert!(line.contains("but its outputs end before that in"), "{line}");
}

/// A folder that holds little: a file system of its own where this user may mount one.
pub(crate) struct Small(PathBuf);

impl Small {
    pub(crate) fn mount(dir: PathBuf, mb: u32) -> Option<Self> {
        std::fs::create_dir_all(&dir).unwrap();
        let size = format!("size={mb}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(&dir).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(dir))
    }

    fn grow(&self) {
        let done = Command::new("mount").args(["-o", "remount,size=200m"]).arg(&self.0).status().unwrap();
        assert!(done.success());
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

pub(crate) fn a_full_disk_stops_a_job_that_then_goes_on(broker: &Broker) {
    let scene = Scene::new(broker, "full", 2);
    scene.broker.send(scene.input, &events(&mut Numbers(9), 2, (0, 1500)));
    let (job, file) = scene.job("job", "[output]\ngive = 'scores'\n[run]\nsnapshot_interval_ms = 100\n");
    let small = Small::mount(scene.folder().join(format!("data-{}", job.name)), 2);
    let (mut worker, expected) = match &small {
        Some(_) => (scene.start("full", &[&file]), "the disk is full: free some space"),
        // no file longer than 1 MB
        None => (Worker::limited(scene.folder(), "full", &[&file]), "larger than is allowed here: raise the limit"),
    };
    let status = worker.ended(SOON);
    let line = worker.log().lines().last().unwrap_or_default().to_owned();
    assert!(!status.success() && line.contains(expected), "{line}, expected {expected}");
    small.iter().for_each(Small::grow);
    scene.run(&(job, file));
    let plain = scene.job("plain", SCORES);
    scene.run(&plain);
    let sorted = |name: &str| {
        let mut all = scene.broker.read(&format!("{}-{name}-out", scene.input));
        all.sort();
        all
    };
    let (given, expected) = (sorted("job"), sorted("plain"));
    assert!(expected.len() > 1000);
    assert_eq!(payloads(&given), payloads(&expected));
}
