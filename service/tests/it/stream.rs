//! `unspool stream` without a broker of its own; `tests/kafka` has the rest.

use std::path::Path;

use crate::command::{succeed, unspool};

#[test]
fn the_demonstration_ends_by_itself() {
    let done = succeed(Path::new("."), "stream --demo --events 3000 --device cpu");
    let last = done.stderr.lines().last().unwrap();
    assert!(last.starts_with("3000 events scored exactly once in "), "{}", done.stderr);
    assert!(last.contains("the least likely: zone-"), "{last}");
    let quiet = succeed(Path::new("."), "stream --demo --events 500 --quiet --device cpu");
    assert!(quiet.stderr.lines().count() <= 2, "{}", quiet.stderr);
}

#[test]
fn wrong_use_is_one_line() {
    for (arguments, expected) in [
        ("stream", "unspool: name a job's file, JOB.toml, or say --demo (see --help)"),
        ("stream no-such.toml", "unspool: no-such.toml: No such file or directory (os error 2)"),
        ("stream --events 5", "unspool: the following required arguments were not provided: --demo (see --help)"),
    ] {
        let done = unspool(Path::new("."), arguments);
        assert_ne!(done.code, Some(0), "{arguments}");
        assert_eq!(done.stderr.trim_end(), expected, "{arguments}");
    }
}
