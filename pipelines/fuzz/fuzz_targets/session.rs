//! Any content of a session's snapshot under a sound checksum: it is refused, or is a session that goes on as any other.
#![no_main]

use std::{
    collections::HashMap,
    fs,
    path::Path,
    sync::{Arc, LazyLock},
};

use libfuzzer_sys::fuzz_target;
use unspool_model::{Events, Model, Options, RunOptions};
use unspool_pipelines::store::{Append, Error, Key, Snapshot, Spec, Store, StoreOptions, Time};

/// Bytes before the content of a snapshot, and behind it.
const AROUND: (usize, usize) = (8, 32);
const NOW: Time = Time(1000);

static MODEL: LazyLock<Arc<Model>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../model/tests/goldens/series-tiny/any");
    Arc::new(Model::load(&folder, RunOptions::cpu()).expect("the golden model loads"))
});

static STORE: LazyLock<Store> = LazyLock::new(|| {
    let models = HashMap::from([(MODEL.info().digest, Arc::clone(&MODEL))]);
    let options = StoreOptions { history_bytes: 1 << 10, ..StoreOptions::default() };
    Store::open(None, options, Arc::new(models)).expect("a store in memory opens")
});

fn key(id: &str) -> Key {
    Key::new(b"owner", id)
}

fn sealed(content: &[u8]) -> Vec<u8> {
    let mut bytes = [b"UNSPSES1", content].concat();
    let seal = blake3::hash(&bytes);
    bytes.extend_from_slice(seal.as_bytes());
    bytes
}

fn append(id: &str, number: u64, values: &[f64]) -> Result<(), Error> {
    let key = key(id);
    STORE.append(&[Append::whole(&key, number, Events::Values(values))], NOW).remove(0).map(drop)
}

/// The content of a snapshot after so many appends, as a seed.
fn seed(appends: u64, options: Options) -> Vec<u8> {
    let spec = Spec { model: MODEL.info().digest, options, ttl: None };
    STORE.open_session(&key("seed"), &spec, NOW).expect("a session opens");
    (1..=appends).for_each(|number| append("seed", number, &[1.0, f64::NAN, number as f64]).expect("it takes values"));
    let bytes = STORE.snapshot(&key("seed"), NOW).expect("a snapshot");
    STORE.close(&key("seed"), NOW).expect("it is there");
    bytes[AROUND.0..bytes.len() - AROUND.1].to_vec()
}

/// Begins session `a` anew, and gives what it is saved as; `None` where it is refused, or has no time to live.
fn saved(bytes: &[u8]) -> Option<Vec<u8>> {
    STORE.restore(&key("a"), Snapshot::read(bytes).ok()?, NOW).ok()?;
    match STORE.snapshot(&key("a"), NOW) {
        Ok(bytes) => Some(bytes),
        Err(Error::Unknown(_)) => None,
        Err(error) => panic!("a session that was restored is not saved: {error}"),
    }
}

fuzz_target!(
    init: {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/session");
        fs::create_dir_all(&corpus).expect("a folder can be made");
        let pools = Options { layers: vec![0, 1], pools: true, anomaly: true, ..Options::default() };
        for (number, (appends, options)) in [(0, Options::default()), (3, pools)].into_iter().enumerate() {
            fs::write(corpus.join(format!("seed-{number}")), seed(appends, options)).expect("a file can be written");
        }
    },
    |content: &[u8]| {
        if let Some(first) = saved(&sealed(content)) {
            STORE.close(&key("a"), NOW).expect("it is there");
            assert!(saved(&first) == Some(first), "it is saved as other bytes once it was restored");
            let info = STORE.info(&key("a"), NOW).expect("it is there");
            STORE.fork(&key("a"), &key("b"), NOW).expect("it can be copied");
            let taken = append("b", info.number.saturating_add(1), &[1.0, 2.0]);
            assert!(taken.is_ok() || info.number == u64::MAX, "it takes no values: {taken:?}");
            let _ = STORE.forecast(&[&key("b")], 5, NOW);
            let _ = STORE.migrate(&key("a"), &Spec { options: Options::default(), ..info.spec }, NOW);
        }
        for id in ["a", "b"] {
            let _ = STORE.close(&key(id), NOW);
        }
        STORE.sweep(Time(u64::MAX));
    }
);
