//! Tiny published checkpoints give the hidden states that their publishers' code gave (see `tests/goldens/README.md`).

use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use unspool_model::{
    checkpoint::{Checkpoint, WindowCheckpoint},
    config::Config,
    cpu::{CpuEncoder, CpuOptions, CpuWindows},
    encoder::{Encoder, Input, Packed, Route, WindowEncoder},
    reference::{ReferenceEncoder, ReferenceWindows},
    weights::Backbone,
};

/// The largest difference within one layer's hidden states, relative to their root mean square.
const TOLERANCE: f32 = 1e-4;

type Build = fn(Config, Backbone) -> Box<dyn Encoder>;

/// Every route.
const ENCODERS: [Build; 2] = [
    |config, weights| Box::new(ReferenceEncoder::new(config, weights).unwrap()),
    |config, weights| Box::new(CpuEncoder::new(config, &weights, CpuOptions::default()).unwrap()),
];

const CASES: [&str; 12] = [
    "a-mamba1",
    "a-mamba1-mlp",
    "a-mamba1-odd",
    "b-falcon-mamba",
    "b-mamba",
    "b-mamba-bf16",
    "b-mamba-odd",
    "c-mamba2",
    "c-mamba2-groups",
    "d-mamba2",
    "d-mamba2-no-norm",
    "d-mamba2-norm-first",
];

/// Models that read whole windows.
const WINDOW_CASES: [&str; 5] =
    ["f-caduceus-ph", "f-caduceus-ph-odd", "f-caduceus-ps", "f-caduceus-ps-forward", "f-caduceus-ps-odd"];

/// What the published implementation made of the tokens.
struct Golden {
    tokens: Vec<u32>,
    /// `[layers + 1][t, d]`
    hidden_states: Vec<Vec<f32>>,
}

fn dir(case: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens")).join(case)
}

fn golden(case: &str) -> Golden {
    let bytes = std::fs::read(dir(case).join("golden.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tokens = file.tensor("tokens").unwrap();
    let hidden = file.tensor("hidden_states").unwrap();
    let values: Vec<f32> = hidden.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    Golden {
        tokens: tokens.data().as_chunks().0.iter().map(|&bytes| i64::from_le_bytes(bytes) as u32).collect(),
        hidden_states: values.chunks(values.len() / hidden.shape()[0]).map(<[f32]>::to_vec).collect(),
    }
}

fn check(encoder: &dyn Encoder, case: &str) {
    let golden = golden(case);
    let taps: Vec<usize> = (0..=encoder.config().layers).collect();
    let batch = Packed { input: Input::Tokens(&golden.tokens), offsets: &[0, golden.tokens.len()] };
    let found = encoder.encode(&batch, &mut [&mut encoder.fresh()], &taps).unwrap();
    agree(&found, &golden, (case, encoder.route()));
}

fn check_windows(encoder: &dyn WindowEncoder, case: &str) {
    let golden = golden(case);
    let taps: Vec<usize> = (0..=encoder.config().backbone.layers).collect();
    let found = encoder.encode_window(&golden.tokens, &[0, golden.tokens.len()], &taps).unwrap();
    agree(&found, &golden, (case, encoder.route()));
}

fn agree(found: &[Vec<f32>], golden: &Golden, (case, route): (&str, &Route)) {
    assert_eq!(golden.hidden_states.len(), found.len(), "{case}");
    for (tap, (found, expected)) in found.iter().zip(&golden.hidden_states).enumerate() {
        assert_eq!(found.len(), expected.len(), "{case}");
        let rms = (expected.iter().map(|value| value * value).sum::<f32>() / expected.len() as f32).sqrt();
        let difference = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(difference <= TOLERANCE * rms, "{case}, layer {tap} on {route}: {difference} of {rms}");
        eprintln!("{case}, layer {tap} on {route}: {:.1e}", difference / rms);
    }
}

#[test]
fn every_format_agrees_with_its_publisher() {
    for case in CASES {
        let mut checkpoint = Checkpoint::open(&dir(case)).unwrap();
        let weights = checkpoint.backbone().unwrap();
        let config = checkpoint.config.backbone.clone();
        checkpoint.tensors.finish().unwrap();
        for make in ENCODERS {
            check(&*make(config.clone(), weights.clone()), case);
        }
    }
}

#[test]
fn models_of_whole_windows_agree_with_their_publisher() {
    for case in WINDOW_CASES {
        let open = || WindowCheckpoint::open(&dir(case)).unwrap();
        let (config, weights) = (open().config, open().backbone().unwrap());
        let fast = CpuWindows::new(config.clone(), &weights, CpuOptions::default()).unwrap();
        check_windows(&fast, case);
        check_windows(&ReferenceWindows::new(config, weights), case);
    }
}

#[test]
fn every_folder_is_a_case() {
    let folders = std::fs::read_dir(dir("")).unwrap().map(Result::unwrap);
    let folders = folders.filter(|entry| entry.path().join("config.json").exists());
    let mut names: Vec<String> = folders.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, [&CASES[..], &WINDOW_CASES].concat());
}
