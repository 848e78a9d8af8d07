use tempfile::TempDir;

use super::*;

const SEGMENT: u64 = 130;

/// Writes groups of records, a frame each, and returns the folder with, for each group, the file that it went to and the file's bytes after it.
fn written(groups: &[&[&str]]) -> (TempDir, Vec<(PathBuf, u64)>) {
    let dir = tempfile::tempdir().expect("a folder");
    let log = Log::start(Tail::find(dir.path(), SEGMENT).expect("empty")).expect("starts");
    let mut places = vec![];
    for group in groups {
        log.push(group.iter().map(|record| record.as_bytes().to_vec()).collect());
        log.flushed().wait().expect("written");
        let (path, _) = segment::list(dir.path()).expect("files").pop().expect("one");
        let bytes = fs::metadata(&path).expect("there").len();
        places.push((path, bytes));
    }
    (dir, places)
}

/// What a folder's log holds.
fn records(dir: &Path) -> Result<Vec<String>> {
    let tail = Tail::find(dir, SEGMENT)?;
    let mut all = vec![];
    tail.records().each(|found| {
        assert_eq!(found.lsn, all.len() as u64);
        all.push(String::from_utf8_lossy(found.record).into_owned());
        Ok(())
    })?;
    // It goes on from there.
    let log = Log::start(tail)?;
    assert_eq!(log.push(vec![b"more".into()]), all.len() as u64);
    log.flushed().wait()?;
    Ok(all)
}

fn copy(from: &Path) -> TempDir {
    let to = tempfile::tempdir().expect("a folder");
    for (path, _) in segment::list(from).expect("files") {
        fs::copy(&path, to.path().join(path.file_name().expect("a name"))).expect("copies");
    }
    to
}

const GROUPS: [&[&str]; 7] = [
    &["one"],
    &["two", "", "three"],
    &["a record that is longer than the others, by far"],
    &["4"],
    &["UFRM"],
    &["6", "7"],
    &["8"],
];

fn expected(groups: usize) -> Vec<&'static str> {
    GROUPS[..groups].iter().flat_map(|group| group.iter().copied()).collect()
}

#[test]
fn cut_at_every_byte() {
    let (dir, places) = written(&GROUPS);
    let (last, len) = places.last().expect("a file").clone();
    assert!(places[0].0 != last, "there is more than one file");
    let name = last.file_name().expect("a name");
    let before = places.iter().filter(|(path, _)| *path != last).count();
    for cut in 0..=len {
        let copy = copy(dir.path());
        let file = OpenOptions::new().write(true).open(copy.path().join(name)).expect("opens");
        file.set_len(cut).expect("cuts");
        let whole = places[before..].iter().filter(|(_, end)| *end <= cut).count();
        assert_eq!(records(copy.path()).expect("a torn tail is cut"), expected(before + whole), "{cut} bytes of {len}");
        // And what was written after the cut is read the next time.
        let again = Tail::find(copy.path(), SEGMENT).expect("sound").records();
        let mut all = 0;
        again
            .each(|_| {
                all += 1;
                Ok(())
            })
            .expect("sound");
        assert_eq!(all, expected(before + whole).len() + 1);
    }
}

#[test]
fn every_changed_byte_is_found() {
    let (dir, places) = written(&GROUPS);
    let (last, len) = places.last().expect("a file").clone();
    let last_frame =
        places.iter().rev().nth(1).filter(|(path, _)| *path == last).map_or(HEADER as u64, |(_, end)| *end);
    for (path, _) in segment::list(dir.path()).expect("files") {
        let name = path.file_name().expect("a name");
        let bytes = fs::read(&path).expect("reads");
        for at in 0..bytes.len() {
            let copy = copy(dir.path());
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            fs::write(copy.path().join(name), &changed).expect("writes");
            let found = records(copy.path());
            if path == last && (at as u64) >= last_frame && (at as u64) < len {
                // As if the last frame had not been written whole.
                assert_eq!(found.expect("cut"), expected(GROUPS.len() - 1), "byte {at} of {name:?}");
                continue;
            }
            match found.expect_err("damage") {
                Error::Damaged { path, offset, .. } => {
                    assert_eq!(path.file_name(), Some(name));
                    assert!(offset <= at as u64, "byte {at}: found at {offset}");
                }
                other => panic!("byte {at} of {name:?}: {other}"),
            }
        }
    }
}

/// Of a folder with these files.
type Change = dyn Fn(&Path, &[(PathBuf, Lsn)]);

#[test]
fn what_is_not_of_a_crash_is_told() {
    let check = |change: &Change, expected: &str| {
        let (dir, _) = written(&GROUPS);
        let files = segment::list(dir.path()).expect("files");
        change(dir.path(), &files);
        let error = Tail::find(dir.path(), SEGMENT).map(|_| ()).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
        assert!(error.contains(&*dir.path().to_string_lossy()), "{error}");
    };
    check(&|_, files| fs::remove_file(&files[1].0).expect("removes"), "are missing: a file was removed");
    check(&|_, files| fs::write(&files[0].0, b"").expect("writes"), "the file is shorter than its header");
    check(&|dir, files| fs::rename(&files[0].0, dir.join(segment::name(7777))).expect("renames"), "it was renamed");
    let cut = |_: &Path, files: &[(PathBuf, Lsn)]| {
        let file = OpenOptions::new().write(true).open(&files[0].0).expect("opens");
        file.set_len(file.metadata().expect("there").len() - 1).expect("cuts");
    };
    check(&cut, "the file is cut");
}

/// What the disk refused is written once it takes it, if it is tried again: nobody else need call for that.
#[test]
fn what_was_refused_is_written_later() {
    let (dir, _) = written(&GROUPS[..1]);
    let (folder, away) = (dir.path().join("log"), dir.path().join("away"));
    fs::create_dir(&folder).expect("a folder");
    let log = Log::start(Tail::find(&folder, 1).expect("empty")).expect("starts");
    log.push(vec![b"one".into()]);
    log.flushed().wait().expect("written");
    // No new file can be begun.
    fs::rename(&folder, &away).expect("renames");
    log.push(vec![b"two".into()]);
    let refused = log.flushed();
    assert!(matches!(refused.wait(), Err(Error::Log { .. })));
    assert!(log.failed().is_some());
    log.retry();
    fs::rename(&away, &folder).expect("renames back");
    while refused.wait().is_err() {
        log.retry();
    }
    assert!(log.failed().is_none());
    drop(log);
    assert_eq!(records(&folder).expect("sound"), ["one", "two"]);
}

#[test]
fn files_that_are_needed_no_more_go() {
    let (dir, _) = written(&GROUPS);
    let tail = Tail::find(dir.path(), SEGMENT).expect("sound");
    let files = segment::list(dir.path()).expect("files");
    assert!(files.len() > 2);
    let log = Log::start(tail).expect("starts");
    log.release(files[1].1);
    log.push(vec![b"x".into()]);
    log.flushed().wait().expect("written");
    log.push(vec![b"y".into()]);
    log.flushed().wait().expect("written");
    drop(log);
    assert_eq!(segment::list(dir.path()).expect("files")[0], files[1]);
    let mut first = None;
    let tail = Tail::find(dir.path(), SEGMENT).expect("sound");
    tail.records()
        .each(|found| {
            first.get_or_insert(found.lsn);
            Ok(())
        })
        .expect("reads");
    assert_eq!(first, Some(files[1].1));
}
