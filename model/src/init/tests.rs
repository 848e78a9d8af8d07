use super::*;
use crate::weights::{Mixer, specs};

fn configs() -> [Config; 3] {
    let mamba1 = Config { layers: 2, vocab: 16, ..Config::mamba1(16) };
    let mamba2 = Config { layers: 2, vocab: 16, tie_embeddings: false, ..Config::mamba2(32) };
    let mlp = Config { mlp_hidden: 24, linear_bias: true, norm: crate::config::NormKind::Layer, ..Config::mamba1(16) };
    [mamba1, mamba2, mlp]
}

#[test]
fn every_tensor_has_its_size() {
    for config in configs() {
        for make in [fresh, scattered] {
            let weights = make(&config, 1).unwrap();
            weights.check(&config).unwrap();
            assert_eq!(weights.tensors(&config).len(), specs(&config).len());
        }
    }
}

/// The digests were computed on x86-64; they must be the same everywhere.
#[test]
fn the_same_bits_everywhere() {
    let digests = configs().map(|config| {
        let mut hasher = blake3::Hasher::new();
        for (_, values) in scattered(&config, 7).unwrap().tensors(&config) {
            values.iter().for_each(|value| {
                hasher.update(&value.to_bits().to_le_bytes());
            });
        }
        hasher.finalize().to_hex()[..16].to_owned()
    });
    assert_eq!(digests, ["4c8d8ae8f7cc603c", "2cb04a7b45b05e83", "d4e0d186408662c3"]);
}

#[test]
fn dt_starts_in_its_range() {
    let config = Config { layers: 1, ..Config::mamba1(64) };
    let weights = fresh(&config, 3).unwrap();
    let Mixer::Mamba1 { dt_proj, a_log, d, .. } = &weights.layers[0].mixer else { panic!("asked for Mamba-1") };
    let dt: Vec<f64> = dt_proj.bias.iter().flatten().map(|&b| f64::from(b).exp().ln_1p()).collect();
    assert_eq!(dt.len(), 128);
    assert!(dt.iter().all(|dt| (0.999e-3..0.1001).contains(dt)), "{dt:?}");
    assert!(dt.iter().any(|&dt| dt < 3e-3) && dt.iter().any(|&dt| dt > 3e-2), "spread over the range: {dt:?}");
    assert_eq!(a_log[..3], [0.0, 2f32.ln(), 3f32.ln()]);
    assert!(d.iter().all(|&d| d == 1.0));
}
