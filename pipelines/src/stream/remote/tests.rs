//! Snapshots of one machine are there for another one, whatever the store does meanwhile; or the trouble is told in time.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use super::{
    faulty::{Fault, Faulty, Plan},
    *,
};
use crate::stream::{snapshot::Snapshots, time::EventTime};

const IDENTITY: &str = r#"{"model":"m"}"#;
const TIMEOUT: Duration = Duration::from_millis(150);

/// A store that machines share.
struct World {
    inner: Arc<object_store::memory::InMemory>,
    plan: Arc<Plan>,
    folders: Vec<tempfile::TempDir>,
}

impl World {
    fn new() -> Self {
        let Faulty { inner, plan } = Faulty::default();
        Self { inner, plan, folders: vec![] }
    }

    fn remote(&self) -> Remote {
        let store = Faulty { inner: Arc::clone(&self.inner), plan: Arc::clone(&self.plan) };
        let options = StoreOptions { url: "memory:///".into(), settings: BTreeMap::new(), timeout: TIMEOUT };
        Remote::over(Arc::new(store), (&options, Key::from("prefix")), ("group", "topic")).unwrap()
    }

    /// A machine with an empty disk.
    fn machine(&mut self) -> (Snapshots, PathBuf) {
        self.folders.push(tempfile::tempdir().unwrap());
        let dir = self.folders[self.folders.len() - 1].path().to_owned();
        (Snapshots::new(dir.clone(), IDENTITY.into()).in_store(self.remote()), dir)
    }

    /// Names of a partition's objects.
    fn objects(&self) -> Vec<String> {
        self.remote().list(0).unwrap().into_keys().collect()
    }
}

/// A snapshot of a position, of segments with that many bytes.
fn snapshot(snapshots: &Snapshots, next: i64, segments: &[(&str, usize)]) -> Manifest {
    let dir = snapshots.partition(0);
    std::fs::create_dir_all(&dir).unwrap();
    let name = |(name, bytes): &(&str, usize)| {
        let content: Vec<u8> = (0..*bytes).map(|n| (n % 251) as u8).collect();
        std::fs::write(dir.join(name), content).unwrap();
        SegmentName { name: (*name).to_owned(), bytes: *bytes as u64 }
    };
    let segments = segments.iter().map(name).collect();
    let manifest = Manifest { identity: IDENTITY.into(), next, segments, time: EventTime::default() };
    snapshots.write(0, &manifest).unwrap();
    manifest
}

const SOON: Duration = Duration::from_secs(30);

#[test]
fn another_machine_goes_on() {
    let mut world = World::new();
    let ((first, dir), (second, other)) = (world.machine(), world.machine());
    // longer than a piece, and not a whole number of them
    let segments = [("a.states", 2 * PIECE + 7), ("b.states", 5), ("c.states", PIECE), ("d.states", 0)];
    let written = snapshot(&first, 10, &segments);
    assert!(first.flush(SOON).unwrap());
    assert_eq!(second.newest(0, 9).unwrap(), None);
    assert_eq!(second.newest(0, 10).unwrap(), Some(written.clone()));
    second.fetch(0, &written.segments).unwrap();
    for (name, _) in segments {
        let read = |dir: &PathBuf| std::fs::read(dir.join("0").join(name)).unwrap();
        assert!(read(&dir) == read(&other), "{name}");
    }
    // the local one, where that is newer
    world.plan.some(&[]);
    let newer = snapshot(&second, 20, &[("e.states", 3)]);
    assert_eq!(second.newest(0, 30).unwrap(), Some(newer));
    assert_eq!((world.remote().known_partitions(8).unwrap(), world.remote().known_partitions(9).unwrap()), (8, 8));
}

#[test]
fn old_ones_go() {
    let mut world = World::new();
    let (snapshots, _) = world.machine();
    for (next, segments) in
        [(10, &[("a.states", 3), ("b.states", 3)][..]), (20, &[("b.states", 3)]), (30, &[("b.states", 3)])]
    {
        snapshot(&snapshots, next, segments);
        assert!(snapshots.flush(SOON).unwrap());
    }
    let objects = world.objects();
    assert_eq!(objects.iter().filter(|name| name.ends_with(".snapshot")).count(), 2, "{objects:?}");
    let states: Vec<&String> = objects.iter().filter(|name| name.ends_with(".states")).collect();
    assert_eq!(states, ["b.states"]);
    assert_eq!(snapshots.uploaded().unwrap(), 3);
}

#[test]
fn trouble_that_passes_is_waited_for() {
    for faults in [
        &[Fault::Fails, Fault::Fails][..],
        &[Fault::Stalls],
        &[Fault::Slow(TIMEOUT / 3), Fault::Fails, Fault::Slow(TIMEOUT / 3)],
        // the first piece, then the second attempt's
        &[Fault::Slow(Duration::ZERO), Fault::Slow(Duration::ZERO), Fault::Slow(Duration::ZERO), Fault::Fails],
    ] {
        let mut world = World::new();
        let ((first, _), (second, _)) = (world.machine(), world.machine());
        world.plan.some(faults);
        let written = snapshot(&first, 10, &[("a.states", PIECE + 1)]);
        assert!(first.flush(SOON).unwrap(), "{faults:?}");
        world.plan.some(faults);
        assert_eq!(second.newest(0, 10).unwrap(), Some(written.clone()), "{faults:?}");
        world.plan.some(faults);
        second.fetch(0, &written.segments).unwrap();
    }
}

#[test]
fn trouble_that_lasts_is_told_in_time() {
    for (fault, expected) in [
        (Fault::Stalls, "no answer within 150ms; tried for "),
        (Fault::Fails, "503 Slow Down"),
        (Fault::Forbidden, "403 Forbidden"),
    ] {
        let mut world = World::new();
        let (snapshots, dir) = world.machine();
        world.plan.always(fault);
        let began = Instant::now();
        snapshot(&snapshots, 10, &[("a.states", 3)]);
        assert!(began.elapsed() < SOON / 2, "the stream does not wait for the store");
        let error = snapshots.flush(SOON).unwrap_err().to_string();
        assert!(error.starts_with("the object store memory:///, prefix/group/topic/0: listing: "), "{error}");
        assert!(error.contains(expected) && error.contains("is it reachable"), "{error}");
        let error = snapshots.newest(0, 10).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(began.elapsed() < 4 * PATIENCE * TIMEOUT + SOON / 3, "{fault:?}");
        // what is in the local folder is whole
        assert!(Snapshots::new(dir, IDENTITY.into()).newest(0, 10).unwrap().is_some());
    }
}

#[test]
fn a_stop_waits_so_long_and_no_longer() {
    let mut world = World::new();
    let (snapshots, _) = world.machine();
    world.plan.some(&[Fault::Slow(TIMEOUT / 2)]);
    snapshot(&snapshots, 10, &[]);
    assert!(!snapshots.flush(TIMEOUT / 10).unwrap());
    assert!(snapshots.flush(SOON).unwrap());
}

#[test]
fn what_is_not_whole_is_left_out() {
    let mut world = World::new();
    let ((first, _), (second, other)) = (world.machine(), world.machine());
    let older = snapshot(&first, 10, &[("a.states", 3)]);
    assert!(first.flush(SOON).unwrap());
    let newer = snapshot(&first, 20, &[("a.states", 3), ("b.states", 4)]);
    assert!(first.flush(SOON).unwrap());
    let remote = world.remote();
    remote.put(&remote.key(0, "b.states"), b"cut").unwrap();
    assert_eq!(second.newest(0, 99).unwrap(), Some(older));
    let error = second.fetch(0, &newer.segments).unwrap_err().to_string();
    assert!(error.contains("4 bytes expected, found 3"), "{error}");
    assert!(!other.join("0/b.states").exists());
    // the machine that has it puts it again
    snapshot(&first, 30, &[("a.states", 3), ("b.states", 4)]);
    assert!(first.flush(SOON).unwrap());
    let third = snapshot(&first, 40, &[("a.states", 3), ("b.states", 4)]);
    assert!(first.flush(SOON).unwrap());
    assert_eq!(second.newest(0, 99).unwrap(), Some(third));
}

#[test]
fn addresses_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    let check = |url: &str, settings: &[(&str, &str)], expected: &str| {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let options = StoreOptions { url: url.to_owned(), settings, timeout: TIMEOUT };
        let done = Remote::open(&options, ("group", "topic")).and_then(|remote| remote.known_partitions(3));
        let shown = done.map_or_else(|error| error.to_string(), |partitions| partitions.to_string());
        assert!(shown.contains(expected), "{url}: {shown}, expected {expected}");
    };
    check(&format!("file://{}", dir.path().display()), &[], "3");
    assert!(dir.path().join("group/topic/partitions").exists());
    check("nowhere", &[], "give s3://BUCKET/PREFIX or file:///FOLDER");
    check("ftp://host/x", &[], "run.snapshot_store ftp://host/x: ");
    let closed = [("aws_endpoint", "http://127.0.0.1:1"), ("aws_allow_http", "true"), ("aws_skip_signature", "true")];
    check(
        "s3://bucket/prefix",
        &closed,
        "the object store s3://bucket/prefix, prefix/group/topic/partitions: writing: ",
    );
}
