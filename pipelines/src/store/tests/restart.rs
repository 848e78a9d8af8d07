//! What a restart costs: it does not grow with what there was before.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
};

use super::*;

const SESSIONS: u64 = 5;
const BUDGET: u64 = 300;

fn name(session: u64) -> Key {
    key(&format!("s{session}"))
}

/// Appends, some long and most short, to sessions of which some get most of them.
fn load(store: &Store, draw: &mut Draw, appends: u64) {
    for _ in 0..appends {
        let session = draw.below(SESSIONS).min(draw.below(SESSIONS));
        let number = store.info(&name(session), Time(0)).expect("there").number + 1;
        let len = if draw.below(10) == 0 { 100 } else { draw.below(6) };
        append(store, &name(session), number, &b"ACGTTGCAAC".repeat(10)[..len as usize]).expect("applied");
    }
}

/// However much was appended before, a store that is broken off runs no more events again than its budget says, or than its states have
/// KiB; and what it keeps on the disk stays within a bound.
#[test]
fn a_restart_costs_the_same_however_many_there_were() {
    let (model, dir) = (dna_model(), tempfile::tempdir().expect("a folder"));
    let spec = embedding(&model);
    let options =
        StoreOptions { replay_events: BUDGET, log_bytes: 20_000, segment_bytes: 2000, ..StoreOptions::default() };
    let open = || open_with(Some(dir.path()), options, &[Arc::clone(&model)]).expect("opens");
    let store = open();
    (0..SESSIONS).for_each(|session| drop(store.open_session(&name(session), &spec, Time(0)).expect("a session")));
    drop(store);
    let most =
        BUDGET.max(SESSIONS * (crate::state_bytes(&model, &spec.options).expect("a size") as u64).div_ceil(1024));
    let (mut draw, mut ran, mut states) = (Draw(3), u64::MAX, vec![]);
    for _ in 0..40 {
        let store = open();
        // The keeper may have saved some already.
        assert!(store.stats().replay_events <= ran, "{ran}: {:?}", store.stats());
        load(&store, &mut draw, 60);
        let stats = settled(&store);
        assert!(stats.replay_events <= most, "{stats:?}");
        assert!(stats.log_bytes <= options.log_bytes + options.segment_bytes, "{stats:?}");
        ran = stats.replay_events;
        states.push(fs::metadata(dir.path().join("states.redb")).expect("there").len());
        // Not drained: what is in the log alone stays there.
        drop(store);
    }
    assert!(states[39] <= 2 * states[9], "{states:?}");
}

/// A restart that is itself broken off has saved what it ran: the next one has less to do.
#[test]
fn a_restart_saves_what_it_ran() {
    let (model, dir) = (dna_model(), tempfile::tempdir().expect("a folder"));
    let spec = embedding(&model);
    let open = |replay_events| {
        let options = StoreOptions { replay_events, ..StoreOptions::default() };
        open_with(Some(dir.path()), options, &[Arc::clone(&model)]).expect("opens")
    };
    let store = open(u64::MAX);
    (0..SESSIONS).for_each(|session| drop(store.open_session(&name(session), &spec, Time(0)).expect("a session")));
    load(&store, &mut Draw(4), 200);
    let all = settled(&store).replay_events;
    let position = |session| store.info(&name(session), Time(0)).expect("there").position;
    assert_eq!(all, (0..SESSIONS).map(position).sum::<u64>());
    drop(store);
    let store = open(BUDGET);
    assert!(all > 2 * BUDGET && store.stats().replay_events <= BUDGET, "{all}: {:?}", store.stats());
}

/// A database that was not closed is opened without reading all of it: nothing is to be mended.
#[test]
fn a_killed_database_needs_no_repair() {
    let (model, dir) = (dna_model(), tempfile::tempdir().expect("a folder"));
    let store = open_with(Some(dir.path()), StoreOptions::default(), &[Arc::clone(&model)]).expect("opens");
    let spec = embedding(&model);
    for number in 1..4 {
        if number == 1 {
            store.open_session(&key("a"), &spec, Time(0)).expect("a session");
        }
        append(&store, &key("a"), number, b"ACGT").expect("applied");
        store.checkpoint().expect("saves");
        // As a kill would leave it.
        let copy = dir.path().join("copy.redb");
        fs::copy(dir.path().join("states.redb"), &copy).expect("copies");
        let repaired = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&repaired);
        let database = redb::Database::builder().set_repair_callback(move |_| told.store(true, SeqCst)).open(&copy);
        drop(database.expect("opens"));
        assert!(!repaired.load(SeqCst), "after append {number}");
    }
}
