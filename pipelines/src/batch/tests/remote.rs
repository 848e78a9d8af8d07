//! Inputs in object stores, which fail and stall.

use std::time::{Duration, Instant};

use object_store::{ObjectStoreExt, memory::InMemory, path::Path as Key};
use unspool_ingest::objects::Objects;

use super::*;
use crate::{
    batch::{files::Kind, remote::Stores},
    stream::remote::faulty::{Fault, Faulty, Plan as Faults},
};

const TIMEOUT: Duration = Duration::from_millis(400);

fn store() -> (Arc<InMemory>, Arc<Faults>, Objects) {
    let Faulty { inner, plan } = Faulty::default();
    let faulty = Faulty { inner: Arc::clone(&inner), plan: Arc::clone(&plan) };
    (inner, plan, Objects::over(Arc::new(faulty), "s3://bucket".into(), TIMEOUT).unwrap())
}

#[test]
fn trouble_that_passes_is_waited_for_and_other_trouble_told() {
    let (inner, faults, objects) = store();
    let key = Key::from("lake/a");
    futures::executor::block_on(inner.put(&key, vec![7; 100].into())).unwrap();
    faults.some(&[Fault::Fails, Fault::Stalls, Fault::Slow(TIMEOUT / 10)]);
    assert_eq!(objects.read(&key).unwrap().unwrap().0, [7; 100]);
    faults.some(&[Fault::Fails]);
    assert!(objects.read(&Key::from("lake/b")).unwrap().is_none());
    faults.some(&[Fault::Forbidden]);
    let error = objects.head(&key).unwrap_err().to_string();
    assert!(error.starts_with("s3://bucket/lake/a: looking: "), "{error}");
    faults.always(Fault::Stalls);
    let began = Instant::now();
    let error = objects.list(&Key::from("lake")).unwrap_err().to_string();
    assert!(error.contains("s3://bucket/lake: listing: ") && error.contains("no answer within"), "{error}");
    assert!(began.elapsed() < 20 * TIMEOUT, "{:?}", began.elapsed());
}

#[test]
fn files_go_there_and_come_back_in_pieces() {
    let (_, faults, objects) = store();
    let (folder, key) = (tempfile::tempdir().unwrap(), Key::from("x/y"));
    let content: Vec<u8> = (0..(17 << 20) + 5).map(|n: u32| (n % 251) as u8).collect();
    fs::write(folder.path().join("a"), &content).unwrap();
    faults.some(&[Fault::Fails, Fault::Slow(TIMEOUT / 10), Fault::Fails]);
    objects.put_file(&key, &folder.path().join("a")).unwrap();
    let file = File::create_new(folder.path().join("b")).unwrap();
    file.set_len(content.len() as u64).unwrap();
    faults.some(&[Fault::Fails, Fault::Stalls]);
    objects.fetch(&key, &[0..10, 4000..(16 << 20) + 77], &file).unwrap();
    let found = fs::read(folder.path().join("b")).unwrap();
    assert!(found[..10] == content[..10] && found[4000..(16 << 20) + 77] == content[4000..(16 << 20) + 77]);
    assert!(found[10..4000].iter().all(|byte| *byte == 0), "nothing else was fetched");
}

#[test]
fn a_manifest_is_put_over_the_one_that_was_read() {
    let (_, faults, objects) = store();
    let key = Key::from("run/_manifest.json");
    faults.some(&[Fault::Fails]);
    let first = objects.replace(&key, b"1", None).unwrap();
    assert!(objects.replace(&key, b"other", None).is_err(), "somebody was there first");
    let second = objects.replace(&key, b"2", Some(&first)).unwrap();
    assert!(objects.replace(&key, b"3", Some(&first)).is_err(), "another machine has committed since");
    // The answer to a put was lost, and it is put again.
    assert_eq!(objects.replace(&key, b"2", Some(&first)).unwrap().e_tag, second.e_tag);
    assert_eq!(objects.read(&key).unwrap().unwrap().0, b"2");
}

/// A store of files by URL: what the reader takes of it.
#[test]
fn a_lake_in_a_store_is_read_as_one_on_the_disk() {
    let folder = lake();
    let local = job(folder.path(), Give::Scores);
    run_whole(&local).unwrap();
    let url = format!("file://{}/lake", folder.path().display());
    let settings = crate::StoreSettings::default();
    let spool = tempfile::tempdir().unwrap();
    let check = |pattern: &str, expected: &[&str]| {
        let mut stores = Stores::new(&settings, spool.path());
        let found = stores.find(&format!("{url}{pattern}"), Kind::Series);
        let found = found.map(|all| all.into_iter().map(|(entry, _)| entry.name.replace(&url, "")).collect::<Vec<_>>());
        match found {
            Ok(found) => assert_eq!(found, expected, "{pattern}"),
            Err(error) => assert!(expected.is_empty() && error.to_string().contains("names no object"), "{error}"),
        }
    };
    let all = ["/day=01/x.parquet", "/day=02/x.parquet", "/day=03/x.parquet"];
    check("", &all);
    check("/**/*.parquet", &all);
    check("/day=0*/x.parquet", &all);
    check("/*.parquet", &[]);
    check("/day=02", &all[1..2]);
    check("/day=03/x.parquet", &all[2..]);
    let mut stores = Stores::new(&settings, spool.path());
    for (entry, remote) in stores.find(&url, Kind::Series).unwrap() {
        remote.bring(&local.columns).unwrap();
        let there = folder.path().join("lake").join(entry.name.strip_prefix(&url).unwrap().trim_start_matches('/'));
        let rows = |path: &Path| {
            let mut decoder = decoder(&[path.to_owned()], &local.columns).unwrap();
            std::iter::from_fn(move || decoder.decode().unwrap()).map(|batch| batch.rows).collect::<Vec<_>>()
        };
        assert_eq!(rows(remote.local()), rows(&there));
        remote.leave();
        assert!(!remote.local().exists());
    }
}
