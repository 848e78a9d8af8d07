//! What each call does and refuses.

use super::*;

#[test]
fn numbers_are_applied_once() {
    let (model, dir) = (dna_model(), tempfile::tempdir().expect("a folder"));
    let spec = embedding(&model);
    for folder in [None, Some(dir.path())] {
        let store = open_with(folder, StoreOptions::default(), &[Arc::clone(&model)]).expect("opens");
        let a = key("a");
        store.open_session(&a, &spec, Time(0)).expect("a session");
        let first = append(&store, &a, 1, b"ACGT").expect("applied");
        let second = append(&store, &a, 2, b"GG").expect("applied");
        let again = append(&store, &a, 2, b"GG").expect("again");
        assert_eq!((first.number, first.position, first.repeated), (1, 4, false));
        assert_eq!((again.number, again.position, again.repeated), (2, 6, true));
        assert_eq!(again.output, second.output);
        let (state, last) = alone(&model, &spec, &[b"ACGT", b"GG"]);
        assert_eq!((&*again.state, &*again.output), (&state, &last));
        let gap = append(&store, &a, 4, b"A").expect_err("a gap").to_string();
        assert_eq!(gap, "append 4 of session 'a' leaves a gap: 3 is expected");
        let old = append(&store, &a, 1, b"A").expect_err("old").to_string();
        assert_eq!(old, "append 1 of session 'a' was applied before; only the reply of 2, the last one, is kept");
        match folder {
            None => assert!(matches!(second.durable.wait(), Err(Error::MemoryOnly))),
            Some(_) => second.durable.wait().expect("durable"),
        }
    }
    // Opened again: the same session, the same reply.
    let store = open_with(Some(dir.path()), StoreOptions::default(), &[Arc::clone(&model)]).expect("opens");
    let (state, last) = alone(&model, &spec, &[b"ACGT", b"GG"]);
    let again = append(&store, &key("a"), 2, b"GG").expect("again");
    assert_eq!((&*again.state, &*again.output, again.repeated), (&state, &last, true));
    again.durable.wait().expect("durable");
}

/// A refused call, by its message.
fn refusal<T>(result: Result<T>) -> String {
    result.map(|_| ()).expect_err("refused").to_string()
}

#[test]
fn limits_are_told() {
    let model = dna_model();
    let spec = embedding(&model);
    let bytes = crate::state_bytes(&model, &spec.options).expect("a size") as u64;
    let check = |options: StoreOptions, expected: &str| {
        let store = open_with(None, options, &[Arc::clone(&model)]).expect("opens");
        store.open_session(&key("a"), &spec, Time(0)).expect("a session");
        store.open_session(&key("b"), &spec, Time(0)).expect("a session");
        assert_eq!(refusal(store.open_session(&key("c"), &spec, Time(0))), expected);
        assert_eq!(
            refusal(store.open_session(&key("a"), &spec, Time(0))),
            "there is a session 'a' already: choose another id, or close it"
        );
        // Others are not disturbed, and a place that is free can be taken.
        append(&store, &key("a"), 1, b"ACGT").expect("applied");
        store.close(&key("b"), Time(0)).expect("closed");
        store.open_session(&key("c"), &spec, Time(0)).expect("a session");
    };
    let all = StoreOptions::default();
    check(StoreOptions { sessions: 2, ..all }, "too many sessions are open: the limit is 2");
    check(StoreOptions { sessions_per_owner: 2, ..all }, "too many sessions of this owner are open: the limit is 2");
    let limit = 3 * bytes - 1;
    let full = format!("the sessions' states take too many bytes: the limit is {limit}");
    check(StoreOptions { state_bytes: limit, ..all }, &full);
    // In memory, all that there is room for.
    check(StoreOptions { live_bytes: bytes, memory_bytes: 2 * bytes - 1, ..all }, &full);

    let options = StoreOptions { sessions_per_owner: 1, append_bytes: 5, ..all };
    let store = open_with(None, options, &[Arc::clone(&model)]).expect("opens");
    store.open_session(&key("a"), &spec, Time(0)).expect("a session");
    store.open_session(&Key::new(b"another", "a"), &spec, Time(0)).expect("another owner's");
    assert_eq!(refusal(append(&store, &key("a"), 1, b"ACGTAC")), "an append has too many bytes: the limit is 5");
    append(&store, &key("a"), 1, b"ACGTA").expect("applied");
}

#[test]
fn sessions_expire_by_the_given_clock() {
    let model = dna_model();
    let spec = Spec { ttl: Some(std::time::Duration::from_secs(1)), ..embedding(&model) };
    let dir = tempfile::tempdir().expect("a folder");
    let store = open_with(Some(dir.path()), StoreOptions::default(), &[Arc::clone(&model)]).expect("opens");
    for id in ["a", "b", "c"] {
        store.open_session(&key(id), &spec, Time(0)).expect("a session");
    }
    let at = |id: &str, number, time| {
        store.append(&[Append::whole(&key(id), number, Events::Bases(b"ACG"))], Time(time)).remove(0)
    };
    at("a", 1, 500).expect("applied");
    store.read(&key("b"), Time(700)).expect("reading is a use");
    assert_eq!(store.sweep(Time(999)), 0);
    // Gone at its time, swept or not; and its name is free.
    assert!(refusal(at("c", 1, 1000)).starts_with("there is no session 'c'"));
    store.open_session(&key("c"), &spec, Time(1000)).expect("a new session");
    assert_eq!(store.sweep(Time(1500)), 1);
    assert!(at("a", 2, 1500).is_err());
    at("b", 1, 1600).expect("alive");
    store.checkpoint().expect("saves");
    drop(store);
    let store = open_with(Some(dir.path()), StoreOptions::default(), &[Arc::clone(&model)]).expect("opens");
    let ids = |now| {
        store.list(b"tenant", None, 9, Time(now)).sessions.iter().map(|i| i.key.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(ids(1700), ["b", "c"]);
    assert_eq!(store.sweep(Time(2000)), 1);
    assert_eq!(ids(2000), ["b"]);
}

#[test]
fn a_folder_is_opened_once() {
    let (model, dir) = (dna_model(), tempfile::tempdir().expect("a folder"));
    let open = || open_with(Some(dir.path()), StoreOptions::default(), &[Arc::clone(&model)]);
    let store = open().expect("opens");
    let busy = format!("{} is in use by another process: stop it, or name another folder", dir.path().display());
    assert_eq!(refusal(open()), busy);
    drop(store);
    open().expect("opens again");
}

#[test]
fn bad_folders_are_told() {
    let dir = tempfile::tempdir().expect("a folder");
    let check = |path: &Path, expected: &str| {
        let error = refusal(open_with(Some(path), StoreOptions::default(), &[]));
        assert!(error.contains(expected), "{error}");
    };
    let file = dir.path().join("file");
    std::fs::write(&file, "x").expect("writes");
    check(&file, "file: ");
    check(&file.join("store"), "Not a directory");
    check(Path::new("/sys/unspool"), "/sys/unspool: ");
    // Another program's file under our name.
    let foreign = dir.path().join("foreign");
    std::fs::create_dir(&foreign).expect("a folder");
    std::fs::write(foreign.join("states.redb"), vec![7; 5000]).expect("writes");
    check(&foreign, "states.redb: ");
}

#[test]
fn snapshots_that_are_none_are_refused() {
    let model = dna_model();
    let store = open_with(None, StoreOptions::default(), &[Arc::clone(&model)]).expect("opens");
    store.open_session(&key("a"), &embedding(&model), Time(0)).expect("a session");
    append(&store, &key("a"), 1, b"ACGT").expect("applied");
    let bytes = store.snapshot(&key("a"), Time(0)).expect("bytes");
    let restore = |store: &Store, bytes: &[u8]| store.restore(&key("b"), Snapshot::read(bytes)?, Time(0));
    for cut in 0..bytes.len() {
        assert!(matches!(restore(&store, &bytes[..cut]), Err(Error::Snapshot(_))), "{cut} bytes");
    }
    for at in (0..bytes.len()).step_by(7) {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(matches!(restore(&store, &changed), Err(Error::Snapshot(_))), "byte {at}");
    }
    let other = open_with(None, StoreOptions::default(), &[]).expect("opens");
    assert!(refusal(restore(&other, &bytes)).contains("load it first"));
    restore(&store, &bytes).expect("the bytes as they were");
}

/// One refusal in a batch is no other's, and parts are taken back with their append.
#[test]
fn refusals_in_a_batch() {
    let model = dna_model();
    let store = open_with(None, StoreOptions::default(), &[Arc::clone(&model)]).expect("opens");
    let spec = embedding(&model);
    let keys: Vec<Key> = ["a", "b", "c"].into_iter().map(key).collect();
    keys.iter().for_each(|key| drop(store.open_session(key, &spec, Time(0)).expect("a session")));
    let none = key("none");
    let batch = [
        Append::whole(&keys[0], 1, Events::Bases(b"AC")),
        Append::whole(&keys[1], 1, Events::Bases(b"A!")),
        Append::whole(&none, 1, Events::Bases(b"A")),
        Append::whole(&keys[2], 1, Events::Values(&[1.0])),
        Append::whole(&keys[0], 2, Events::Bases(b"GT")),
    ];
    let results = store.append(&batch, Time(0));
    let (state, reply) = alone(&model, &spec, &[b"AC"]);
    let applied = results[0].as_ref().expect("applied");
    assert_eq!((&*applied.state, &*applied.output), (&state, &reply));
    let errors: Vec<String> = results.into_iter().skip(1).map(refusal).collect();
    assert!(errors[0].contains('!'), "{errors:?}");
    assert_eq!(errors[1], "there is no session 'none': it was never opened, was closed, or has expired");
    assert_eq!(errors[2], "tiny takes bases, not values");
    assert_eq!(errors[3], "session 'a' stands in one batch twice");
    assert_eq!(store.info(&keys[1], Time(0)).expect("there").number, 0);

    let part = |number, offset, events, last| {
        let append = Append { key: &keys[1], number, offset, events: Events::Bases(events), last };
        store.append(&[append], Time(0)).remove(0)
    };
    part(1, 0, b"ACG", false).expect("a part");
    let expected = "append 1 of session 'b' goes on at event 3, not 2: begin it again with its first event";
    assert_eq!(refusal(part(1, 2, b"T", true)), expected);
    part(1, 3, b"T", false).expect("the part still fits");
    assert!(part(1, 4, b"!", false).is_err());
    assert!(refusal(part(1, 5, b"A", true)).contains("goes on at event 0"), "nothing is left of it");
    part(1, 0, b"GG", false).expect("begun again");
    store.abandon(&keys[1], Time(0));
    assert!(part(1, 2, b"A", true).is_err());
    let applied = part(1, 0, b"TTT", true).expect("applied");
    let (state, reply) = alone(&model, &spec, &[b"TTT"]);
    assert_eq!((&*applied.state, &*applied.output), (&state, &reply));
}

#[test]
fn series_are_forecast_and_moved() {
    let model = crate::testing::series_model();
    let dir = tempfile::tempdir().expect("a folder");
    let options = StoreOptions { history_bytes: 8000, live_bytes: 0, ..StoreOptions::default() };
    let store = open_with(Some(dir.path()), options, &[Arc::clone(&model)]).expect("opens");
    let spec = |anomaly| {
        let options = Options { anomaly, ..Options::default() };
        Spec { model: model.info().digest, options, ttl: None }
    };
    let values: Vec<f64> = (0..1700).map(|i| f64::from(i % 24) + f64::from(i * i % 7) / 3.0).collect();
    let (a, b) = (key("a"), key("b"));
    let mut states =
        [model.open(&spec(false).options).expect("opens"), model.open(&spec(true).options).expect("opens")];
    for (key, state, anomaly) in [(&a, 0, false), (&b, 1, true)] {
        store.open_session(key, &spec(anomaly), Time(0)).expect("a session");
        for (number, values) in (1..).zip(values[..1000].chunks(300)) {
            let applied = store
                .append(&[Append::whole(key, number, Events::Values(values))], Time(0))
                .remove(0)
                .expect("applied");
            let items = &mut [Item { state: &mut states[state], events: Events::Values(values) }];
            assert_eq!(format!("{:?}", *applied.output), format!("{:?}", model.append(items).expect("appends")[0]));
        }
    }
    let none = key("none");
    let expected = model.forecast(&[&states[0], &states[1]], 30).expect("forecasts");
    let mut found = store.forecast(&[&a, &none, &b, &a], 30, Time(0)).into_iter();
    let mut next = || found.next().expect("one each");
    assert_eq!(next().expect("a forecast"), expected[0]);
    assert!(matches!(next(), Err(Error::Unknown(_))));
    assert_eq!(next().expect("a forecast"), expected[1]);
    assert_eq!(next().expect("a forecast"), expected[0]);
    // From one set of options to another, by replay of the raw values: the same as if it had been so from the start.
    store.checkpoint().expect("saves");
    store.migrate(&a, &spec(true), Time(0)).expect("moved");
    assert_eq!(*store.read(&a, Time(0)).expect("there").state, states[1]);
    let more =
        store.append(&[Append::whole(&a, 5, Events::Values(&values[1000..]))], Time(0)).remove(0).expect("applied");
    let items = &mut [Item { state: &mut states[1], events: Events::Values(&values[1000..]) }];
    model.append(items).expect("appends");
    assert_eq!(*more.state, states[1]);
    // 1,700 values are more than 8,000 bytes: the first ones are kept no more.
    store.checkpoint().expect("saves");
    let error = refusal(store.migrate(&a, &spec(false), Time(0)));
    assert!(error.contains("session 'a' has 1700 events, of which the first 600 are"), "{error}");
    drop(store);
    let store = open_with(Some(dir.path()), options, &[Arc::clone(&model)]).expect("opens");
    assert_eq!(*store.read(&a, Time(0)).expect("there").state, states[1]);
    assert!(store.migrate(&a, &spec(false), Time(0)).is_err());
}

#[tokio::test]
async fn tickets_can_be_awaited() {
    let (model, dir) = (dna_model(), tempfile::tempdir().expect("a folder"));
    let store = open_with(Some(dir.path()), StoreOptions::default(), &[Arc::clone(&model)]).expect("opens");
    let spec = embedding(&model);
    let tickets: Vec<Durable> =
        (0..50).map(|i| store.open_session(&key(&i.to_string()), &spec, Time(0)).expect("a session")).collect();
    for ticket in tickets.iter().rev() {
        ticket.clone().await.expect("durable");
        assert!(ticket.is_done());
    }
    let memory = open_with(None, StoreOptions::default(), &[Arc::clone(&model)]).expect("opens");
    let ticket = memory.open_session(&key("a"), &spec, Time(0)).expect("a session");
    assert!(matches!(ticket.await, Err(Error::MemoryOnly)));
}
