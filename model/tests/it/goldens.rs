//! Tiny published checkpoints give the hidden states that their publishers' code gave (see `tests/goldens/README.md`).

use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use unspool_model::{
    checkpoint::Checkpoint,
    config::Config,
    cpu::{CpuEncoder, CpuOptions},
    encoder::{Encoder, Input, Packed},
    reference::ReferenceEncoder,
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
    let Golden { tokens, hidden_states } = golden(case);
    let taps: Vec<usize> = (0..=encoder.config().layers).collect();
    assert_eq!(hidden_states.len(), taps.len(), "{case}");
    let batch = Packed { input: Input::Tokens(&tokens), offsets: &[0, tokens.len()] };
    let found = encoder.encode(&batch, &mut [&mut encoder.fresh()], &taps).unwrap();
    for (tap, (found, expected)) in found.iter().zip(&hidden_states).enumerate() {
        assert_eq!(found.len(), expected.len(), "{case}");
        let rms = (expected.iter().map(|value| value * value).sum::<f32>() / expected.len() as f32).sqrt();
        let difference = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let route = encoder.route();
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
fn every_folder_is_a_case() {
    let folders = std::fs::read_dir(dir("")).unwrap().map(Result::unwrap);
    let folders = folders.filter(|entry| entry.path().join("config.json").exists());
    let mut names: Vec<String> = folders.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, CASES);
}
