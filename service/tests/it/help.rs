//! The help texts, as snapshots in `help/`: UNSPOOL_UPDATE_SNAPSHOTS=1 writes them anew.

use std::{env, fs, path::Path};

use crate::command::succeed;

#[test]
fn help_texts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/help");
    for (name, arguments) in [
        ("unspool", "--help"),
        ("bench", "bench --help"),
        ("bench-batch", "bench batch --help"),
        ("completions", "completions --help"),
        ("demo", "demo --help"),
        ("man", "man --help"),
        ("bench-serve", "bench serve --help"),
        ("embed", "embed --help"),
        ("eval", "eval --help"),
        ("eval-anomaly", "eval anomaly --help"),
        ("eval-embed", "eval embed --help"),
        ("eval-forecast", "eval forecast --help"),
        ("forecast", "forecast --help"),
        ("init", "init --help"),
        ("inspect", "inspect --help"),
        ("report", "report --help"),
        ("run", "run --help"),
        ("serve", "serve --help"),
        ("finetune", "finetune --help"),
        ("train", "train --help"),
        ("sql", "sql --help"),
        ("stream", "stream --help"),
        ("sessions", "sessions --help"),
        ("bench-forecast", "bench forecast --help"),
        ("bench-encoder", "bench encoder --help"),
        ("sessions-migrate", "sessions migrate --help"),
        ("sessions-import", "sessions import --help"),
        ("cluster", "cluster --help"),
        ("cluster-scheduler", "cluster scheduler --help"),
        ("cluster-executor", "cluster executor --help"),
    ] {
        let text = succeed(Path::new("."), arguments).stdout;
        let path = folder.join(format!("{name}.txt"));
        if env::var_os("UNSPOOL_UPDATE_SNAPSHOTS").is_some() {
            fs::write(&path, &text).unwrap();
        }
        assert_eq!(text, fs::read_to_string(&path).unwrap(), "{}", path.display());
    }
}

#[test]
fn the_version_names_the_route() {
    let text = succeed(Path::new("."), "--version").stdout;
    let route = text.strip_prefix(concat!("unspool ", env!("CARGO_PKG_VERSION"), " (")).unwrap();
    assert!(route.trim_end().ends_with(')') && route.len() > 4, "{text}");
}
