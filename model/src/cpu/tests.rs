use super::*;
use crate::{conformance, init::scattered, reference::ReferenceEncoder};

fn mamba1(d_in: usize, n: usize, k: usize, r: usize) -> MixerConfig {
    MixerConfig::Mamba1 { d_in, n, k, r, bcdt_norm_eps: None }
}

fn mamba2((heads, head_dim): (usize, usize), (groups, n, k): (usize, usize, usize), before: bool) -> MixerConfig {
    MixerConfig::Mamba2 {
        d_in: heads * head_dim,
        n,
        k,
        heads,
        head_dim,
        groups,
        gated_norm: true,
        norm_before_gate: before,
        dt_limit: (0.0, f32::INFINITY),
        d_per_channel: false,
    }
}

/// Published sizes and odd ones.
fn configs() -> Vec<Config> {
    let base = Config { layers: 2, vocab: 13, ..Config::mamba1(24) };
    let with = |mixer| Config { mixer, ..base.clone() };
    let falcon = MixerConfig::Mamba1 { d_in: 32, n: 8, k: 4, r: 3, bcdt_norm_eps: Some(1e-6) };
    let MixerConfig::Mamba2 { d_in, n, k, heads, head_dim, groups, .. } = mamba2((4, 8), (2, 16, 4), false) else {
        unreachable!()
    };
    let plain = MixerConfig::Mamba2 {
        d_in,
        n,
        k,
        heads,
        head_dim,
        groups,
        gated_norm: false,
        norm_before_gate: false,
        dt_limit: (0.01, 0.2),
        d_per_channel: true,
    };
    vec![
        base.clone(),
        Config { layers: 3, ..Config { vocab: 16, ..Config::mamba1(32) } },
        with(mamba1(24, 16, 3, 1)),
        with(mamba1(37, 8, 2, 5)),
        with(mamba1(48, 5, 1, 2)),
        with(mamba1(40, 32, 4, 16)),
        with(falcon),
        Config { norm: NormKind::Layer, linear_bias: true, conv_bias: false, mlp_hidden: 20, ..base.clone() },
        with(mamba2((3, 16), (1, 128, 4), false)),
        with(mamba2((8, 8), (8, 20, 4), true)),
        with(mamba2((2, 21), (1, 7, 3), false)),
        with(plain.clone()),
        Config { norm: NormKind::Layer, linear_bias: true, mlp_hidden: 7, mixer: plain, ..base },
    ]
}

fn encoder(config: &Config, isa: Isa, threads: usize) -> CpuEncoder {
    let weights = scattered(config, 7).unwrap();
    CpuEncoder::new(config.clone(), &weights, CpuOptions { threads, isa: Some(isa) }).unwrap()
}

#[test]
fn the_laws_hold() {
    for (i, config) in configs().iter().enumerate() {
        let isa = Isa::detect().unwrap();
        conformance::check(&encoder(config, isa, 1 + i % 3), i as u64);
    }
}

#[test]
fn every_instruction_set_and_any_number_of_threads_gives_the_same_bits() {
    let tokens: Vec<u32> = (0..77).map(|i| i * i % 13).collect();
    let batch = Packed { input: Input::Tokens(&tokens), offsets: &[0, 1, 40, 77] };
    let run = |encoder: &CpuEncoder| {
        let mut states = [encoder.fresh(), encoder.fresh(), encoder.fresh()];
        let rows = encoder.encode(&batch, &mut states.each_mut(), &[1, 2]).unwrap();
        let states: Vec<u32> =
            states.iter().flat_map(|state| encoder.export(state).unwrap()).map(f32::to_bits).collect();
        (rows.concat().iter().map(|v| v.to_bits()).collect::<Vec<_>>(), states)
    };
    for config in configs() {
        let expected = run(&encoder(&config, Isa::Portable, 1));
        for isa in Isa::available() {
            assert!(run(&encoder(&config, *isa, 2)) == expected, "{isa}, {config:?}");
        }
    }
}

#[test]
fn hidden_rows_and_states_are_those_of_the_reference() {
    for config in configs() {
        let weights = scattered(&config, 7).unwrap();
        let reference = ReferenceEncoder::new(config.clone(), weights).unwrap();
        let encoder = encoder(&config, Isa::detect().unwrap(), 2);
        let tokens: Vec<u32> = (0..90).map(|i| i * i % 13).collect();
        let run = |encoder: &dyn Encoder| {
            let mut states = [encoder.fresh(), encoder.fresh()];
            let batch = Packed { input: Input::Tokens(&tokens), offsets: &[0, 70, 90] };
            let taps: Vec<usize> = (0..=config.layers).collect();
            let mut all = encoder.encode(&batch, &mut states.each_mut(), &taps).unwrap();
            all.extend(states.iter().map(|state| encoder.export(state).unwrap()));
            all
        };
        for (found, expected) in run(&encoder).iter().zip(run(&reference)) {
            let scale = expected.iter().fold(0f32, |max, v| max.max(v.abs()));
            let worst = found.iter().zip(&expected).fold(0f32, |max, (a, b)| max.max((a - b).abs()));
            assert!(found.len() == expected.len() && worst <= 1e-4 * scale, "{worst} of {scale}, {config:?}");
        }
    }
}

#[test]
fn a_long_sequence_needs_no_more_scratch() {
    let config = Config { vocab: 13, ..Config::mamba1(16) };
    let encoder = encoder(&config, Isa::detect().unwrap(), 1);
    let encode = |len: usize| {
        let batch = Packed { input: Input::Tokens(&vec![1; len]), offsets: &[0, len] };
        encoder.encode(&batch, &mut [&mut encoder.fresh()], &[]).unwrap();
        let scratch = encoder.scratch.lock().unwrap();
        assert_eq!(scratch.len(), 1);
        scratch[0].residual.len() + scratch[0].mixer.iter().map(|buffer| buffer.len()).sum::<usize>()
    };
    assert_eq!(encode(BLOCK), encode(20 * BLOCK + 3));
}
