//! `unspool train` and `finetune`: a run, interrupted and gone on with; what they refuse.

use std::{fs, path::Path};

use crate::command::{folder, succeed, unspool};

/// A model that is trained in seconds.
const TINY: &str = r#"
name = "tiny"
[model]
d = 16
layers = 1
n = 4
patch = 8
horizon = 16
levels = [0.1, 0.5, 0.9]
[data]
lengths = [[8, 0.5], [4, 0.5]]
[train]
steps = 12
patches = 64
warmup = 2
checkpoint_steps = 4
log_steps = 2
"#;

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).unwrap();
}

#[test]
fn a_run_leaves_a_model_that_forecasts_and_can_be_trained_on() {
    let folder = folder();
    write(folder.path(), "tiny.toml", TINY);
    let done = succeed(folder.path(), "train tiny.toml --output run --device cpu");
    assert_eq!(done.stdout, "run/model: trained in 12 steps\n");
    for part in ["tiny on cpu: 12 steps of 64 patches", "step     12 of 12", " patches/s"] {
        assert!(done.stderr.contains(part), "{part}: {}", done.stderr);
    }
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(read("run/log.jsonl").lines().count(), 6);
    assert!(read("run/loss.svg").starts_with("<svg") && read("run/loss.svg").contains("tiny: loss"));
    assert!(read("run/model/README.md").contains("12 steps of 64 patches"));
    let again = unspool(folder.path(), "train tiny.toml --output run --device cpu");
    assert_eq!((again.code, again.stderr.contains("this run is done")), (Some(2), true), "{}", again.stderr);

    let series: String = (0..90).map(|i| format!("{i},{}\n", f64::from(i % 7) + 0.01 * f64::from(i))).collect();
    write(folder.path(), "series.csv", &format!("time,value\n{series}"));
    let forecast = succeed(folder.path(), "forecast series.csv --horizon 3 --model run/model");
    assert_eq!(forecast.stdout.lines().count(), 4, "{}", forecast.stdout);
    let tune = "finetune series.csv --model run/model --steps 4 --patches 32 --output tuned --name mine --device cpu";
    assert_eq!(succeed(folder.path(), tune).stdout, "tuned/model: trained in 4 steps\n");
    assert!(succeed(folder.path(), "inspect tuned/model").stdout.contains("mine"));
}

/// The same bits, whether it ran through or stopped at every checkpoint; and whatever the threads.
#[test]
fn a_run_goes_on_where_it_stopped() {
    let folder = folder();
    write(folder.path(), "tiny.toml", TINY);
    succeed(folder.path(), "train tiny.toml --output whole --device cpu -q");
    let part = "train tiny.toml --output parts --device cpu --stop-after 0 --threads 2";
    for (stdout, going_on) in
        [("parts: 4 of 12 steps; start it again to go on\n", ""), ("parts: 8 of 12", "after step 4")]
    {
        let done = succeed(folder.path(), part);
        assert!(done.stdout.starts_with(stdout.trim_end()) && done.stderr.contains(going_on), "{}", done.stderr);
    }
    succeed(folder.path(), part);
    let model = |run: &str| fs::read(folder.path().join(run).join("model/model.safetensors")).unwrap();
    assert_eq!(model("parts"), model("whole"));
}

#[test]
fn what_makes_no_sense_is_refused_with_a_line() {
    let folder = folder();
    let check = |name: &str, text: &str, code: i32, expected: &str| {
        write(folder.path(), name, text);
        let refused = unspool(folder.path(), &format!("train {name} --output run-{name} --device cpu"));
        assert_eq!(refused.code, Some(code), "{}", refused.stderr);
        assert!(refused.stderr.contains(expected), "{expected}: {}", refused.stderr);
    };
    check("empty.toml", "", 2, "missing field `name`");
    check("unknown.toml", &TINY.replace("warmup", "warm_up"), 2, "unknown field `warm_up`");
    check("zero.toml", &TINY.replace("steps = 12", "steps = 0"), 2, "train.steps is 0: it must be 1 or more");
    check("levels.toml", &TINY.replace("[0.1, 0.5, 0.9]", "[0.5]"), 2, "an odd number of growing levels");
    check("lengths.toml", &TINY.replace("[8, 0.5]", "[0, 0.5]"), 2, "lengths of the training data");
    check(
        "from.toml",
        &TINY.replace("[model]", "from = \"nowhere\"\n[model]"),
        2,
        "the model to begin from has a shape",
    );
    let folder_missing = TINY.replace("[data]", "[data]\nreal = \"nowhere\"\nreal_share = 0.5");
    check("real.toml", &folder_missing, 1, "nowhere");
    write(folder.path(), "tiny.toml", TINY);
    succeed(folder.path(), "train tiny.toml --output run --device cpu -q --stop-after 0");
    write(folder.path(), "other.toml", &TINY.replace("warmup = 2", "warmup = 3"));
    let other = unspool(folder.path(), "train other.toml --output run --device cpu");
    assert_eq!((other.code, other.stderr.contains("a run with other settings")), (Some(2), true), "{}", other.stderr);
    write(folder.path(), "short.csv", "time,value\n1,2\n2,3\n");
    let short = unspool(folder.path(), "finetune short.csv --output short --device cpu");
    assert_eq!((short.code, short.stderr.contains("24 values")), (Some(1), true), "{}", short.stderr);
}

/// A DNA model that is trained in seconds.
const TINY_DNA: &str = r#"
name = "tiny-dna"
[model]
d = 16
layers = 2
n = 4
[dna]
lengths = [[64, 0.5], [200, 0.5]]
hidden = 0.02
validation_bases = [200, 2000]
[[dna.sources]]
path = "a.fa"
take = [0.0, 0.8]
[[dna.validation]]
path = "a.fa"
take = [0.8, 1.0]
[train]
steps = 12
bases = 1000
rate = 1e-2
warmup = 2
checkpoint_steps = 4
log_steps = 2
"#;

#[test]
fn a_run_leaves_a_dna_model_that_embeds() {
    let folder = folder();
    let genome: String = (0..1500_usize).map(|i| ["ACG", "TTGCA", "GATTACA"][(i * i + i / 7) % 3]).collect();
    write(folder.path(), "a.fa", &format!(">one\n{genome}\n"));
    write(folder.path(), "tiny.toml", TINY_DNA);
    let done = succeed(folder.path(), "train tiny.toml --output run --device cpu");
    assert_eq!(done.stdout, "run/model: trained in 12 steps\n");
    for part in ["tiny-dna on cpu: 12 steps of 1000 bases", "step     12 of 12", "held out ", " bases/s"] {
        assert!(done.stderr.contains(part), "{part}: {}", done.stderr);
    }
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert!(read("run/loss.svg").contains("tiny-dna: loss (bits per base)"));
    let card = read("run/model/README.md");
    for part in ["a causal DNA model", "a.fa from 0 to 0.8", "12 steps of 1000 bases", "bits per held-out base"] {
        assert!(card.to_lowercase().contains(&part.to_lowercase()), "{part}: {card}");
    }
    for model in ["run/model", "run/best"] {
        assert!(succeed(folder.path(), &format!("inspect {model}")).stdout.contains("tiny-dna"));
        succeed(folder.path(), &format!("embed a.fa --model {model} --output {}.parquet", model.replace('/', "-")));
    }
    write(folder.path(), "bad.toml", &TINY_DNA.replace("[0.0, 0.8]", "[0.8, 0.8]"));
    let bad = unspool(folder.path(), "train bad.toml --output bad --device cpu");
    assert_eq!((bad.code, bad.stderr.contains("two growing shares")), (Some(2), true), "{}", bad.stderr);
    write(folder.path(), "from.toml", &TINY_DNA.replace("[model]\nd = 16\nlayers = 2\nn = 4", "from = \"run/best\""));
    succeed(folder.path(), "train from.toml --output more --device cpu -q");
}

/// Sequences with one word or another are told apart after a few steps, and judged on others.
#[test]
fn a_dna_model_becomes_a_classifier() {
    let folder = folder();
    let table = |seed: usize, count: usize| {
        let case = |i: usize| {
            let base = |k: usize| char::from(b"ACGT"[(i * 7919 + seed * 104_729 + k * k * 31 + k) / 5 % 4]);
            let filler: String = (0..12).map(base).collect();
            let (word, label) = if i.is_multiple_of(2) { ("CGCGCG", "island") } else { ("ATATAT", "sea") };
            format!("{filler}{word},{label}\n")
        };
        format!("sequence,label\n{}", (0..count).map(case).collect::<String>())
    };
    for (name, seed) in [("train.csv", 0), ("dev.csv", 1), ("test.csv", 2)] {
        write(folder.path(), name, &table(seed, 60));
    }
    let tune = "finetune train.csv --classify --model dna --dev dev.csv --test test.csv --output run --device cpu -q";
    let done = succeed(folder.path(), &format!("{tune} --steps 60 --patches 600 --rate 1e-2"));
    let said = done.stdout.lines().last().unwrap();
    assert!(said.starts_with("run/best: AUC ") && said.ends_with(" on 60 of test.csv"), "{said}");
    let mcc: f64 = said.split("MCC ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(mcc > 0.8, "{said}");
    let test = fs::read_to_string(folder.path().join("run/test.csv")).unwrap();
    assert!(test.starts_with("label,island,sea\nisland,0.") && test.lines().count() == 61, "{test}");
    assert!(fs::read_to_string(folder.path().join("run/best/config.json")).unwrap().contains("\"island\""));
    let check = |arguments: &str, expected: &str| {
        let refused = unspool(folder.path(), &format!("finetune train.csv --classify --output more {arguments}"));
        assert!(refused.code != Some(0) && refused.stderr.contains(expected), "{}", refused.stderr);
    };
    // Without a model to begin from it is the built-in one.
    succeed(folder.path(), "finetune train.csv --classify --output tuned --device cpu -q --steps 1 --patches 600");
    assert!(fs::read_to_string(folder.path().join("tuned/train.toml")).unwrap().contains("from = \"dna-1\""));
    assert!(fs::read_to_string(folder.path().join("tuned/model/config.json")).unwrap().contains("\"island\""));
    check("--model nowhere", "nowhere");
    write(folder.path(), "other.csv", "sequence,label\nACGT,lake\n");
    check("--model dna --test other.csv", "'lake' is none of the classes island, sea");
}
