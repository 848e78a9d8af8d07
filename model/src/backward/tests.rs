use super::*;
use crate::{encoder::Encoder, init::scattered, reference::ReferenceEncoder};

/// Lengths of the ragged batch: shorter than the convolution, around a chunk's edge, several chunks, none.
const LENGTHS: [usize; 6] = [1, 2, 3, 65, 0, 130];

fn config() -> Config {
    let mixer = MixerConfig::Mamba1 { d_in: 24, n: 5, k: 4, r: 3, bcdt_norm_eps: None };
    Config { layers: 2, vocab: 7, mixer, ..Config::mamba1(12) }
}

fn offsets(lengths: &[usize]) -> Vec<usize> {
    let mut offsets = vec![0];
    lengths.iter().for_each(|l| offsets.push(offsets[offsets.len() - 1] + l));
    offsets
}

/// Numbers between -1 and 1 without a pattern.
fn numbers(len: usize, seed: u64) -> Vec<f64> {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        (x >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

fn team(threads: usize) -> Arc<Team> {
    Arc::new(Team::new(threads).unwrap())
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The derivative of `f` at 0 by central differences of the fourth order.
fn difference(mut f: impl FnMut(f64) -> f64) -> f64 {
    const STEP: f64 = 1e-3;
    (8.0 * (f(STEP) - f(-STEP)) - (f(2.0 * STEP) - f(-2.0 * STEP))) / (12.0 * STEP)
}

fn assert_close(name: &str, found: f64, expected: f64, scale: f64, tolerance: f64) {
    let error = (found - expected).abs() / scale.max(expected.abs());
    assert!(error <= tolerance, "{name}: {found} for {expected} ({error:.1e})");
}

/// Every tensor's gradient, and the rows', along random directions, against finite differences of the forward pass.
#[test]
fn gradients_are_those_of_finite_differences() {
    let biased = Config { linear_bias: true, conv_bias: false, ..config() };
    let wide = MixerConfig::Mamba1 { d_in: 40, n: 2, k: 1, r: 2, bcdt_norm_eps: None };
    let others = [biased, Config { mixer: wide, ..config() }];
    check_gradients(config(), &LENGTHS);
    others.into_iter().for_each(|config| check_gradients(config, &[3, 66, 1]));
}

fn check_gradients(config: Config, lengths: &[usize]) {
    let (offsets, d) = (offsets(lengths), config.d);
    let t = offsets[offsets.len() - 1];
    let weights = scattered(&config, 3).unwrap().map(&config, |&w| f64::from(w)).unwrap();
    let (rows, direction) = (numbers(t * d, 1), numbers(t * d, 2));
    let loss = |weights: &Backbone<f64>, rows: &[f64]| {
        let backbone = CpuBackbone::new(config.clone(), weights.clone(), team(1)).unwrap();
        dot(&backbone.forward_rows(rows.to_vec(), &offsets).unwrap().0, &direction)
    };
    let backbone = CpuBackbone::new(config.clone(), weights.clone(), team(2)).unwrap();
    let (_, tape) = backbone.forward_rows(rows.clone(), &offsets).unwrap();
    let gradients = backbone.backward_rows(&tape, &direction).unwrap();

    for (i, (spec, gradient)) in gradients.weights.tensors(&config).into_iter().enumerate() {
        if spec.name.contains("embedding") {
            assert!(gradient.iter().all(|&g| g == 0.0), "no tokens, no gradient for the embedding");
            continue;
        }
        for seed in 0..3 {
            let along = numbers(gradient.len(), 100 + seed);
            let moved = |step: f64| {
                let mut weights = weights.clone();
                let tensor = weights.tensors_mut().swap_remove(i);
                tensor.iter_mut().zip(&along).for_each(|(w, along)| *w += step * along);
                loss(&weights, &rows)
            };
            let scale = dot(gradient, gradient).sqrt();
            assert_close(&spec.name, dot(gradient, &along), difference(moved), scale, 1e-6);
        }
    }
    let sequences = offsets.windows(2).map(|range| range[0] * d..range[1] * d).enumerate();
    for (sequence, range) in sequences.filter(|(_, range)| !range.is_empty()) {
        let gradient = &gradients.rows[range.clone()];
        let along = numbers(gradient.len(), 200);
        let moved = |step: f64| {
            let mut rows = rows.clone();
            rows[range.clone()].iter_mut().zip(&along).for_each(|(x, along)| *x += step * along);
            loss(&weights, &rows)
        };
        let scale = dot(gradient, gradient).sqrt();
        assert_close(&format!("sequence {sequence}"), dot(gradient, &along), difference(moved), scale, 1e-6);
    }
}

/// The f32 gradients are those of f64, and the number of threads changes no bit of them.
#[test]
fn f32_is_f64_and_threads_change_nothing() {
    let config = Config { layers: 2, vocab: 7, ..Config::mamba1(48) };
    let offsets = offsets(&[64, 1, 129, 30, 200]);
    let t = offsets[offsets.len() - 1];
    let weights = scattered(&config, 4).unwrap();
    let tokens: Vec<u32> = numbers(t, 5).into_iter().map(|x| ((x + 1.0) * 3.5) as u32 % 7).collect();
    let batch = Packed { input: Input::Tokens(&tokens), offsets: &offsets };
    let direction = numbers(t * config.d, 6);
    let narrow: Vec<f32> = direction.iter().map(|&x| x as f32).collect();
    let run = |threads| {
        let backbone = CpuBackbone::new(config.clone(), weights.clone(), team(threads)).unwrap();
        let (hidden, tape) = backbone.forward(&batch).unwrap();
        (hidden, backbone.backward(&tape, &narrow).unwrap())
    };
    let (hidden, gradients) = run(1);
    assert!(run(3) == (hidden.clone(), gradients.clone()), "threads change bits");

    let wide = weights.map(&config, |&w| f64::from(w)).unwrap();
    let backbone = CpuBackbone::new(config.clone(), wide, team(2)).unwrap();
    let rows = backbone.embedded(&batch.input).unwrap();
    let (wide_hidden, mut tape) = backbone.forward_rows(rows, &offsets).unwrap();
    tape.tokens = tokens;
    let wide = backbone.backward_rows(&tape, &direction).unwrap();
    check_close("hidden", &hidden, &wide_hidden);
    check_close("rows", &gradients.rows, &wide.rows);
    for ((spec, narrow), (_, wide)) in gradients.weights.tensors(&config).iter().zip(wide.weights.tensors(&config)) {
        check_close(&spec.name, narrow, wide);
    }
}

fn check_close(name: &str, narrow: &[f32], wide: &[f64]) {
    assert_eq!(narrow.len(), wide.len());
    let norm = dot(wide, wide).sqrt();
    assert!(norm > 0.0, "{name} is all zero");
    let error = narrow.iter().zip(wide).map(|(&n, w)| (f64::from(n) - w).powi(2)).sum::<f64>().sqrt() / norm;
    assert!(error <= 1e-4, "{name}: {error:.1e}");
}

/// The hidden rows are the encoder's.
#[test]
fn the_forward_pass_is_the_references() {
    let (config, offsets) = (config(), offsets(&LENGTHS));
    let t = offsets[offsets.len() - 1];
    let weights = scattered(&config, 8).unwrap();
    let rows: Vec<f32> = numbers(t * config.d, 9).into_iter().map(|x| x as f32).collect();
    let batch = Packed { input: Input::Rows(&rows), offsets: &offsets };
    let backbone = CpuBackbone::new(config.clone(), weights.clone(), team(2)).unwrap();
    let (hidden, _) = backbone.forward(&batch).unwrap();
    let reference = ReferenceEncoder::new(config, weights).unwrap();
    let mut states: Vec<_> = LENGTHS.iter().map(|_| reference.fresh()).collect();
    let mut states: Vec<_> = states.iter_mut().collect();
    let expected = reference.encode(&batch, &mut states, &[2]).unwrap().remove(0);
    for (i, (found, expected)) in hidden.iter().zip(&expected).enumerate() {
        assert!((found - expected).abs() < 1e-5 * expected.abs().max(1.0), "value {i}: {found} for {expected}");
    }
}

/// Sequences of a batch do not see each other: a sequence's gradient alone is its gradient beside others.
#[test]
fn batch_mates_change_no_row() {
    let (config, offsets) = (config(), offsets(&LENGTHS));
    let weights = scattered(&config, 8).unwrap();
    let backbone = CpuBackbone::new(config.clone(), weights, team(2)).unwrap();
    let run = |rows: &[f32], d_hidden: &[f32], offsets: &[usize]| {
        let (_, tape) = backbone.forward(&Packed { input: Input::Rows(rows), offsets }).unwrap();
        backbone.backward(&tape, d_hidden).unwrap().rows
    };
    let values = |seed| -> Vec<f32> {
        numbers(offsets[offsets.len() - 1] * config.d, seed).into_iter().map(|x| x as f32).collect()
    };
    let (rows, d_hidden) = (values(1), values(2));
    let together = run(&rows, &d_hidden, &offsets);
    for range in offsets.windows(2).map(|range| range[0] * config.d..range[1] * config.d) {
        let alone = run(&rows[range.clone()], &d_hidden[range.clone()], &[0, range.len() / config.d]);
        let largest = alone.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        let differs = alone.iter().zip(&together[range]).any(|(a, b)| (a - b).abs() > 1e-5 * largest);
        assert!(!differs);
    }
}

#[test]
fn bad_calls_are_refused() {
    let check = |config: Config, expected: &str| {
        let weights = scattered(&config, 1).unwrap();
        let error = CpuBackbone::new(config, weights, team(1)).err().unwrap().to_string();
        assert_eq!(error, format!("{expected} cannot be trained: only RMS norms and Mamba-1 mixers can"));
    };
    check(Config::mamba2(16), "Mamba-2 mixers");
    check(Config { norm: NormKind::Layer, ..config() }, "layer norms");
    check(Config { mlp_hidden: 8, ..config() }, "MLPs");
    let falcon = MixerConfig::Mamba1 { d_in: 24, n: 5, k: 4, r: 3, bcdt_norm_eps: Some(1e-6) };
    check(Config { mixer: falcon, ..config() }, "norms on dt, B and C (Falcon-Mamba)");

    let weights = scattered(&config(), 1).unwrap();
    let mut backbone = CpuBackbone::new(config(), weights.clone(), team(1)).unwrap();
    let forward = |input: Input<'_>, offsets: &[usize], expected: &str| {
        let error = backbone.forward(&Packed { input, offsets }).err().unwrap();
        assert_eq!(error.to_string(), expected);
    };
    forward(Input::Tokens(&[1, 7]), &[0, 2], "token 7 is outside the vocabulary of 7");
    forward(Input::Rows(&[0.0; 13]), &[0, 1], "13 values are not rows of width 12");
    forward(Input::Tokens(&[1, 2]), &[0, 1], "offsets must grow from 0 to the number of tokens, 2");
    forward(Input::Tokens(&[1, 2]), &[], "offsets must grow from 0 to the number of tokens, 2");
    let (_, tape) = backbone.forward(&Packed { input: Input::Tokens(&[1]), offsets: &[0, 1] }).unwrap();
    let error = backbone.backward(&tape, &[0.0; 5]).unwrap_err();
    assert_eq!(error.to_string(), "gradients of 5 values for 12 hidden ones");
    let error = backbone.set_weights(&Backbone { embedding: vec![], ..weights }).unwrap_err();
    assert!(error.to_string().starts_with("tensor 'backbone.embedding.weight': expected shape [7, 12]"), "{error}");
}

#[test]
fn an_empty_batch_has_gradients_of_zero() {
    let backbone = CpuBackbone::new(config(), scattered(&config(), 1).unwrap(), team(1)).unwrap();
    for offsets in [&[0][..], &[0, 0, 0]] {
        let (hidden, tape) = backbone.forward(&Packed { input: Input::Tokens(&[]), offsets }).unwrap();
        let gradients = backbone.backward(&tape, &hidden).unwrap();
        assert!(hidden.is_empty() && gradients.rows.is_empty());
        gradients.weights.check(&config()).unwrap();
        assert!(gradients.weights.tensors(&config()).iter().all(|(_, values)| values.iter().all(|&g| g == 0.0)));
    }
}
