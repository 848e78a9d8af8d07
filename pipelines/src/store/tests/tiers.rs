//! States moving between live, memory and disk; many threads; models' files.

use std::path::PathBuf;

use unspool_model::RunOptions;

use super::*;

/// Whatever the budgets, every session comes back as it was, and the budgets hold once the keeper is done.
#[test]
fn states_move_down_and_come_back() {
    let model = dna_model();
    let spec = embedding(&model);
    let bytes = crate::state_bytes(&model, &spec.options).expect("a size") as u64;
    let many: Vec<Key> = (0..40).map(|i| key(&format!("{i}"))).collect();
    for (live, memory) in [(0, 0), (3 * bytes, 0), (3 * bytes, 4 * bytes), (0, 1 << 30), (1 << 30, 0)] {
        let dir = tempfile::tempdir().expect("a folder");
        let options = StoreOptions { live_bytes: live, memory_bytes: memory, ..StoreOptions::default() };
        let store = open_with(Some(dir.path()), options, &[Arc::clone(&model)]).expect("opens");
        many.iter().for_each(|key| drop(store.open_session(key, &spec, Time(0)).expect("a session")));
        for number in 1..4 {
            for keys in many.chunks(7) {
                let batch: Vec<_> =
                    keys.iter().map(|key| Append::whole(key, number, Events::Bases(b"ACGGT"))).collect();
                store.append(&batch, Time(0)).into_iter().for_each(|applied| drop(applied.expect("applied")));
            }
        }
        store.checkpoint().expect("saves");
        let stats = settled(&store);
        assert_eq!(stats.live + stats.memory + stats.disk, 40, "{stats:?}");
        assert_eq!((stats.unsaved, stats.state_bytes), (0, 40 * bytes));
        assert!(stats.live_bytes <= live && stats.memory_bytes <= memory, "{stats:?}");
        let everything = live + memory >= 1 << 30;
        assert_eq!(stats.disk == 0, everything, "{stats:?}");
        let (state, reply) = alone(&model, &spec, &[b"ACGGT", b"ACGGT", b"ACGGT"]);
        for key in many.iter().rev() {
            let again = append(&store, key, 3, b"ACGGT").expect("again");
            assert_eq!((&*again.state, &*again.output, again.repeated), (&state, &reply, true));
        }
    }
}

/// Threads with batches that overlap, forecasts and snapshots between them, under a budget of nothing.
#[test]
fn many_threads_at_once() {
    let (model, dir) = (dna_model(), tempfile::tempdir().expect("a folder"));
    let spec = embedding(&model);
    let options = StoreOptions { live_bytes: 10_000, log_bytes: 2000, segment_bytes: 500, ..StoreOptions::default() };
    let store = open_with(Some(dir.path()), options, &[Arc::clone(&model)]).expect("opens");
    let keys: Vec<Key> = (0..8).map(|i| key(&format!("{i}"))).collect();
    keys.iter().for_each(|key| drop(store.open_session(key, &spec, Time(0)).expect("a session")));
    // Each thread appends to all sessions; the number is whatever comes next, and the events follow from it.
    let appended = |number: u64| b"ACGTTGCA"[..1 + (number % 8) as usize].to_vec();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (store, keys) = (&store, &keys);
            scope.spawn(move || {
                let mut draw = Draw(thread);
                let mut done = 0;
                while done < 60 {
                    let chosen: Vec<&Key> = keys.iter().filter(|_| draw.below(2) == 0).collect();
                    let numbers: Vec<u64> =
                        chosen.iter().map(|key| store.info(key, Time(0)).expect("there").number + 1).collect();
                    let events: Vec<Vec<u8>> = numbers.iter().map(|number| appended(*number)).collect();
                    let batch: Vec<_> = (chosen.iter().zip(&numbers).zip(&events))
                        .map(|((key, number), events)| Append::whole(key, *number, Events::Bases(events)))
                        .collect();
                    for applied in store.append(&batch, Time(0)) {
                        match applied {
                            Ok(applied) => done += u32::from(!applied.repeated),
                            Err(Error::Old { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                    if draw.below(5) == 0 {
                        store.snapshot(&keys[draw.below(8) as usize], Time(0)).expect("bytes");
                    }
                }
            });
        }
    });
    drop(store);
    let store = open_with(Some(dir.path()), options, &[Arc::clone(&model)]).expect("opens");
    for key in &keys {
        let view = store.read(key, Time(0)).expect("there");
        let appends: Vec<Vec<u8>> = (1..=view.info.number).map(appended).collect();
        let appends: Vec<&[u8]> = appends.iter().map(|bases| &bases[..]).collect();
        assert_eq!(*view.state, alone(&model, &spec, &appends).0);
    }
}

/// Models that are in a folder.
struct Folder(PathBuf, Digest);

impl Models for Folder {
    fn model(&self, digest: Digest, kept: Option<&Path>) -> Result<Arc<Model>> {
        let dir = if self.0.exists() && digest == self.1 { &self.0 } else { kept.ok_or(Error::UnknownModel(digest))? };
        Ok(Arc::new(Model::load(dir, RunOptions::cpu())?))
    }

    fn files(&self, digest: Digest) -> Option<PathBuf> {
        (digest == self.1).then(|| self.0.clone())
    }
}

/// A model's files are kept as long as a session needs them, and no longer.
#[test]
fn models_are_kept_while_sessions_need_them() {
    let (dir, source) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let path = source.path().join("model");
    crate::testing::save_dna_model(&path);
    let model = Model::load(&path, RunOptions::cpu()).expect("loads");
    let digest = model.info().digest;
    let spec = embedding(&model);
    let open = || Store::open(Some(dir.path()), StoreOptions::default(), Arc::new(Folder(path.clone(), digest)));
    let copy = dir.path().join("models").join(digest.to_string());
    let store = open().expect("opens");
    store.open_session(&key("a"), &spec, Time(0)).expect("a session");
    append(&store, &key("a"), 1, b"ACGT").expect("applied");
    assert_eq!(Digest::of_directory(&copy).expect("a copy"), digest);
    drop(store);
    // The original goes; the log's tail and the state still find their model.
    std::fs::rename(&path, source.path().join("gone")).expect("renames");
    std::fs::create_dir(copy.with_extension("partial")).expect("a copy that was never finished");
    let store = open().expect("opens");
    assert!(!copy.with_extension("partial").exists());
    assert_eq!(
        append(&store, &key("a"), 1, b"ACGT").expect("again").output.rows,
        alone(&model, &spec, &[b"ACGT"]).1.rows
    );
    store.close(&key("a"), Time(0)).expect("closed");
    store.checkpoint().expect("saves");
    settled(&store);
    assert!(!copy.exists());
    drop(store);
    open().expect("opens without it");
    // Files that changed under a loaded model are refused.
    std::fs::rename(source.path().join("gone"), &path).expect("renames");
    let store = open().expect("opens");
    let config = std::fs::read_to_string(path.join("config.json")).expect("reads");
    std::fs::write(path.join("config.json"), config.replace("tiny", "tint")).expect("writes");
    let error = store.open_session(&key("b"), &spec, Time(0)).map(|_| ()).expect_err("another model");
    assert!(error.to_string().contains("no longer those of model"), "{error}");
    assert!(!copy.exists() && store.list(b"tenant", None, 9, Time(0)).sessions.is_empty());
}
