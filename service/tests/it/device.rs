//! `--device`: a card that is not there is one line, and `auto` finds a way.

use unspool_model::device::{DeviceError, cards};

use crate::command::{command, folder, unspool};

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
    for words in COMMANDS {
        let done = unspool(folder.path(), &format!("{words} --device cuda:99"));
        assert_eq!((done.code, done.stdout.as_str()), (Some(1), ""), "{words}");
        let line = done.stderr.strip_prefix("unspool: ").and_then(|line| line.strip_suffix('\n')).unwrap_or_default();
        assert!(line.starts_with(&expected) && !line.contains('\n'), "{words}: {}", done.stderr);
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
    for words in COMMANDS {
        let done = unspool(folder.path(), &format!("{words} --device auto"));
        assert_eq!(done.code, Some(0), "{words}: {}", done.stderr);
        let said = done.stderr + &done.stdout;
        match &reason {
            Some(reason) => assert!(said.contains(reason), "{words}: {said}"),
            None => assert!(!said.contains("warning"), "{words}: {said}"),
        }
    }
}

#[test]
fn the_encoder_is_timed() {
    let folder = folder();
    let done = unspool(folder.path(), "bench encoder --device cpu --threads 1 --runs 2 --case step,_B=1 --json");
    assert_eq!(
        (done.code, done.stderr.as_str()),
        (Some(2), "unspool: --case step,_B=1: no case has this in its name\n")
    );
    let arguments = ["bench", "encoder", "--device", "cpu", "--runs", "2", "--case", "d=256, 8 layers step, B=64"];
    let output = command(folder.path()).args(arguments).arg("--json").output().unwrap();
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&found["device"], &found["route"], &found["runs"]), (&"cpu".into(), &"cpu-f32-1".into(), &2.into()));
    let [case] = &found["cases"].as_array().unwrap()[..] else { panic!("{found}") };
    let ms = |name: &str| case[name].as_f64().unwrap_or_else(|| panic!("{name}: {found}"));
    assert!(0.0 < ms("least_ms") && ms("least_ms") <= ms("ms") && ms("ms") <= ms("most_ms"), "{found}");
    assert_eq!((&case["tokens"], ms("peer_ms")), (&64.into(), 0.174));
    assert!((ms("ratio") * ms("ms") / ms("peer_ms") - 1.0).abs() < 1e-9, "{found}");
    let table = command(folder.path()).args(arguments).output().unwrap();
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("mamba-ssm 2.3.2") && table.lines().count() == 6, "{table}");
}
