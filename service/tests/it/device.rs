//! `--device`: a card that is not there is one line, and `auto` finds a way.

use unspool_model::device::{DeviceError, cards};

use crate::command::{folder, unspool};

/// The commands that load a model.
const COMMANDS: [&str; 4] = [
    "forecast nyc_taxi.csv --horizon 1 --value value",
    "embed lambda_reads.fq.gz --model dna -o out.parquet --overwrite",
    "inspect dna",
    "serve --check --model dna",
];

#[test]
fn a_card_that_is_not_there_is_one_line() {
    let folder = folder();
    // No machine has so many.
    let expected = match cards() {
        Err(DeviceError::NotBuilt(_)) => {
            "cuda:99: this program was built without GPUs: build it with --features cuda, or use --device cpu"
                .to_owned()
        }
        Err(problem) => problem.to_string(),
        Ok(_) => "cuda:99: no such card, ".to_owned(),
    };
    for command in COMMANDS {
        let done = unspool(folder.path(), &format!("{command} --device cuda:99"));
        assert_eq!((done.code, done.stdout.as_str()), (Some(1), ""), "{command}");
        let line = done.stderr.strip_prefix("unspool: ").and_then(|line| line.strip_suffix('\n')).unwrap_or_default();
        assert!(line.starts_with(&expected) && !line.contains('\n'), "{command}: {}", done.stderr);
    }
}

#[test]
fn auto_computes_everywhere_and_says_where_if_that_is_not_what_was_hoped_for() {
    let folder = folder();
    // The reason that the line ends with, where this program could use a card and there is none.
    let reason = match cards() {
        Err(DeviceError::NotBuilt(_)) => None,
        Err(problem) => Some(problem.to_string()),
        Ok(cards) if cards.is_empty() => Some("there is none here: use --device cpu".to_owned()),
        Ok(_) => return,
    };
    for command in COMMANDS {
        let done = unspool(folder.path(), &format!("{command} --device auto"));
        assert_eq!(done.code, Some(0), "{command}: {}", done.stderr);
        let said = done.stderr + &done.stdout;
        match &reason {
            Some(reason) => assert!(said.contains(reason), "{command}: {said}"),
            None => assert!(!said.contains("warning"), "{command}: {said}"),
        }
    }
}
