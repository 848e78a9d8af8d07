//! Snapshots are there whole or not at all, and old ones go.

use super::*;

const IDENTITY: &str = r#"{"model":"m","lateness":5}"#;

fn manifest(next: i64) -> Manifest {
    Manifest { identity: IDENTITY.into(), next, segments: vec![], time: EventTime::default() }
}

#[test]
fn the_newest_at_or_before_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let snapshots = Snapshots::new(dir.path().to_owned(), IDENTITY.into());
    assert_eq!(snapshots.newest(0, 100).unwrap(), None);
    for next in [10, 30, 20] {
        snapshots.write(0, &manifest(next)).unwrap();
    }
    for (at, expected) in [(9, None), (19, None), (20, Some(20)), (29, Some(20)), (30, Some(30)), (99, Some(30))] {
        assert_eq!(snapshots.newest(0, at).unwrap().map(|m| m.next), expected, "{at}");
    }
    assert_eq!(snapshots.newest(1, 99).unwrap(), None, "another partition");
}

#[test]
fn a_damaged_or_partial_one_gives_way_to_an_older_one() {
    let dir = tempfile::tempdir().unwrap();
    let snapshots = Snapshots::new(dir.path().to_owned(), IDENTITY.into());
    snapshots.write(0, &manifest(10)).unwrap();
    let segments = vec![SegmentName { name: "gone.states".into(), bytes: 7 }];
    snapshots.write(0, &Manifest { segments, ..manifest(20) }).unwrap();
    assert_eq!(snapshots.newest(0, 99).unwrap().map(|m| m.next), Some(10), "a segment is gone");
    snapshots.write(0, &manifest(30)).unwrap();
    let (_, path) = manifests(&snapshots.partition(0)).unwrap().into_iter().max().unwrap();
    let bytes = fs::read(&path).unwrap();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        fs::write(&path, &damaged).unwrap();
        assert_ne!(snapshots.newest(0, 99).unwrap().map(|m| m.next), Some(30), "byte {at}");
        fs::write(&path, &bytes[..at]).unwrap();
        assert_ne!(snapshots.newest(0, 99).unwrap().map(|m| m.next), Some(30), "cut to {at}");
    }
}

#[test]
fn files_that_only_old_snapshots_name_go() {
    let dir = tempfile::tempdir().unwrap();
    let snapshots = Snapshots::new(dir.path().to_owned(), IDENTITY.into());
    let folder = snapshots.partition(0);
    fs::create_dir_all(&folder).unwrap();
    for name in ["a.states", "b.states", "c.states", "d.tmp"] {
        fs::write(folder.join(name), b"x").unwrap();
    }
    let with = |next, names: &[&str]| {
        let segments = names.iter().map(|name| SegmentName { name: (*name).into(), bytes: 1 }).collect();
        Manifest { segments, ..manifest(next) }
    };
    snapshots.write(0, &with(10, &["a.states", "b.states"])).unwrap();
    snapshots.write(0, &with(20, &["b.states"])).unwrap();
    let names = || {
        let mut names: Vec<_> =
            fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| !name.ends_with(".snapshot"));
        names.sort();
        names
    };
    assert_eq!(names(), ["a.states", "b.states", "c.states", "d.tmp"]);
    snapshots.write(0, &with(30, &["b.states"])).unwrap();
    assert_eq!(names(), ["b.states", "c.states", "d.tmp"], "another worker may be about to name c");
    let long_ago = SystemTime::now() - 2 * LEFT_OVER;
    for name in ["b.states", "c.states", "d.tmp"] {
        File::options().append(true).open(folder.join(name)).unwrap().set_modified(long_ago).unwrap();
    }
    snapshots.write(0, &with(40, &["b.states"])).unwrap();
    assert_eq!(names(), ["b.states"], "a crash left c and d");
}

#[test]
fn another_jobs_snapshots_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    Snapshots::new(dir.path().to_owned(), IDENTITY.into()).write(0, &manifest(10)).unwrap();
    let other = Snapshots::new(dir.path().to_owned(), r#"{"model":"n","lateness":5}"#.into());
    let error = other.newest(0, 99).unwrap_err().to_string();
    assert!(error.contains(r#"(model: "m" there, "n" here)"#), "{error}");
}
