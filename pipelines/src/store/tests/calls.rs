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
