//! Completions and man pages: made from the command line, and understood by whom they are for.

use std::{fs, path::Path, process::Command};

use crate::command::{names, succeed, unspool};

#[test]
fn every_shell_gets_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let text = succeed(Path::new("."), &format!("completions {shell}")).stdout;
        for word in ["forecast", "demo", "executor", "horizon", "metrics-listen", "both-strands"] {
            assert!(text.contains(word), "{shell}: {word}");
        }
    }
    let done = unspool(Path::new("."), "completions csh");
    assert_eq!(done.code, Some(2));
    assert!(done.stderr.contains("[possible values: bash, zsh, fish]"), "{}", done.stderr);
}

#[test]
fn bash_completes_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let script = succeed(folder.path(), "completions bash").stdout;
    fs::write(folder.path().join("unspool.bash"), script).unwrap();
    let check = |words: &str, expected: &str| {
        let count = words.split(' ').count() - 1;
        let ask = format!(
            "source ./unspool.bash; COMP_WORDS=({words}); COMP_CWORD={count}; \
             _unspool unspool \"${{COMP_WORDS[$COMP_CWORD]}}\" \"${{COMP_WORDS[$((COMP_CWORD - 1))]}}\"; echo \"${{COMPREPLY[@]}}\""
        );
        let output = Command::new("bash").args(["--norc", "-c", &ask]).current_dir(folder.path()).output().unwrap();
        let found = String::from_utf8(output.stdout).unwrap();
        assert_eq!(found.trim_end(), expected, "{words}: {}", String::from_utf8_lossy(&output.stderr));
    };
    check("unspool fore", "forecast");
    check("unspool forecast --hor", "--horizon");
    check("unspool sessions mig", "migrate");
}

#[test]
fn a_man_page_for_each_command() {
    let folder = tempfile::tempdir().unwrap();
    succeed(folder.path(), "man pages/man1");
    let dir = folder.path().join("pages/man1");
    let all = names(&dir, "unspool");
    for name in [
        "unspool.1",
        "unspool-forecast.1",
        "unspool-stream.1",
        "unspool-sessions-migrate.1",
        "unspool-cluster-executor.1",
    ] {
        assert!(all.iter().any(|one| one == name), "{name}: {all:?}");
    }
    let page = fs::read_to_string(dir.join("unspool-forecast.1")).unwrap();
    for part in [".TH unspool-forecast 1", ".SH SYNOPSIS", "\\-\\-horizon", "forecast taxi.csv"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let done = unspool(folder.path(), "man pages/man1/unspool.1");
    assert_eq!((done.code, done.stderr.contains("pages/man1/unspool.1: ")), (Some(1), true), "{}", done.stderr);
}
