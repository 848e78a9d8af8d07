//! On a card: the laws, the CPU's numbers, and states that come and go. Without one every test says so and ends.

use super::*;
use crate::{Pooled, config::MixerConfig, conformance, cpu::CpuEncoder, encoder::Input, init::scattered};

/// The card for one test at a time, since some fill its memory; or a line that says why these tests are skipped.
fn card() -> Option<MutexGuard<'static, ()>> {
    static CARD: Mutex<()> = Mutex::new(());
    match Gpu::open(0) {
        Ok(gpu) => {
            println!("on {} (driver {:?})", gpu.card().name, gpu.card().driver);
            Some(CARD.lock().unwrap_or_else(PoisonError::into_inner))
        }
        Err(error) => {
            println!("skipped: {error}");
            None
        }
    }
}

fn options(weights: Weights) -> RunOptions {
    RunOptions { device: Device::Cuda(0), weights, pool_bytes: Some(64 << 20), ..RunOptions::default() }
}

fn mamba1((d_in, n, k, r): (usize, usize, usize, usize)) -> MixerConfig {
    MixerConfig::Mamba1 { d_in, n, k, r, bcdt_norm_eps: None }
}

fn mamba2((heads, head_dim): (usize, usize), (groups, n, k): (usize, usize, usize), gated_norm: bool) -> MixerConfig {
    MixerConfig::Mamba2 {
        d_in: heads * head_dim,
        n,
        k,
        heads,
        head_dim,
        groups,
        gated_norm,
        norm_before_gate: groups > 1,
        dt_limit: if gated_norm { (0.0, f32::INFINITY) } else { (0.01, 0.2) },
        d_per_channel: !gated_norm,
    }
}

/// Tuned shapes, those beside them, and odd ones.
fn configs() -> Vec<Config> {
    let base = Config { layers: 2, vocab: 13, ..Config::mamba1(24) };
    let with = |mixer| Config { mixer, ..base.clone() };
    let wide = |d: usize| Config { layers: 3, vocab: 16, ..Config::mamba1(d) };
    let falcon = MixerConfig::Mamba1 { d_in: 64, n: 16, k: 4, r: 3, bcdt_norm_eps: Some(1e-6) };
    vec![
        base.clone(),
        wide(256),
        wide(64),
        wide(32),
        Config { layers: 2, ..wide(768) },
        Config { layers: 1, ..wide(1024) },
        with(mamba1((24, 16, 3, 1))),
        with(mamba1((37, 8, 2, 5))),
        with(mamba1((48, 5, 1, 2))),
        with(mamba1((128, 16, 3, 20))),
        with(mamba1((40, 32, 4, 16))),
        with(falcon),
        Config { norm: NormKind::Layer, linear_bias: true, conv_bias: false, mlp_hidden: 20, ..base.clone() },
        Config { norm: NormKind::Layer, linear_bias: true, mlp_hidden: 64, ..wide(256) },
        with(mamba2((3, 16), (1, 128, 4), true)),
        with(mamba2((8, 8), (8, 20, 4), true)),
        with(mamba2((2, 21), (1, 7, 3), true)),
        with(mamba2((4, 8), (2, 16, 4), false)),
        Config { layers: 2, vocab: 16, ..Config::mamba2(256) },
        with(mamba2((2, 8), (1, 200, 4), true)),
    ]
}

#[test]
fn cuda_laws_hold() {
    let Some(_card) = card() else { return };
    for weights in [Weights::F32, Weights::Bf16] {
        for (i, config) in configs().iter().enumerate() {
            let encoder = CudaEncoder::new(config, &scattered(config, 7).unwrap(), &options(weights)).unwrap();
            conformance::check(&encoder, i as u64);
        }
    }
}

/// All rows of every tap, and the states, of one call.
fn rows(encoder: &dyn Encoder, tokens: &[u32], offsets: &[usize]) -> (Vec<Vec<f32>>, Vec<Vec<f32>>) {
    let taps: Vec<usize> = (0..=encoder.config().layers).collect();
    let mut states: Vec<BackboneState> = (1..offsets.len()).map(|_| encoder.fresh()).collect();
    let mut each: Vec<&mut BackboneState> = states.iter_mut().collect();
    let rows = encoder.encode(&Packed { input: Input::Tokens(tokens), offsets }, &mut each, &taps).unwrap();
    (rows, states.iter().map(|state| encoder.export(state).unwrap()).collect())
}

/// The norm of the difference over that of what is expected.
fn difference(found: &[f32], expected: &[f32]) -> f64 {
    let squares = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>();
    let apart = squares(&mut found.iter().zip(expected).map(|(a, b)| f64::from(a - b)));
    (apart / squares(&mut expected.iter().map(|x| f64::from(*x))).max(1e-30)).sqrt()
}

#[test]
fn cuda_gives_the_numbers_of_the_cpu() {
    let Some(_card) = card() else { return };
    let tokens: Vec<u32> = (0..1200_u32).map(|i| i.wrapping_mul(2_654_435_761) >> 8).map(|i| i % 13).collect();
    let offsets = [0, 1, 3, 6, 22, 22, 39, 72, 700, 1200];
    for config in configs() {
        let weights = scattered(&config, 7).unwrap();
        let cpu = CpuEncoder::new(config.clone(), &weights, crate::cpu::CpuOptions::default()).unwrap();
        let (expected, expected_states) = rows(&cpu, &tokens, &offsets);
        for (kind, within) in [(Weights::F32, 1e-4), (Weights::Bf16, 0.05)] {
            let encoder = CudaEncoder::new(&config, &weights, &options(kind)).unwrap();
            let (found, states) = rows(&encoder, &tokens, &offsets);
            let worst = (found.iter().zip(&expected).chain(states.iter().zip(&expected_states)))
                .map(|(found, expected)| difference(found, expected))
                .fold(0.0, f64::max);
            println!("{:34} {:?} d={} {:?}: {worst:.1e}", encoder.route().to_string(), kind, config.d, config.mixer);
            assert!(worst < within, "{config:?} {kind:?}: {worst}");
        }
    }
}

/// What is made of rows on the card, over waves that go on with each other's pools, in one call and in three.
#[test]
fn cuda_makes_of_a_long_sequence_what_its_rows_make() {
    let Some(_card) = card() else { return };
    for (d, layers, kind) in [(256, 3, Weights::Bf16), (40, 2, Weights::F32)] {
        let config = Config { layers, vocab: 16, ..Config::mamba1(d) };
        let options = RunOptions { pool_bytes: None, ..options(kind) };
        let encoder = CudaEncoder::new(&config, &scattered(&config, 3).unwrap(), &options).unwrap();
        let tokens: Vec<u32> = (0..150_000_u32).map(|i| i.wrapping_mul(2_654_435_761) >> 28).collect();
        let (rows, states) = rows(&encoder, &tokens, &[0, tokens.len()]);
        let windows = |len: usize| (0..tokens.len()).step_by(len).map(move |from| from..(from + len).min(150_000));
        let ranges: Vec<Range<usize>> = windows(1000).chain(windows(30_001)).chain([5..149_998, 7..7]).collect();
        let head: Vec<[f64; 4]> = (0..d).map(|c| [0.5, -0.25, c as f64, 1e-3]).collect();
        for cuts in [&[0, 150_000][..], &[0, 70_001, 70_002, 150_000]] {
            for (tap, rows) in rows.iter().enumerate() {
                let mut pools: Vec<Pooled> = ranges.iter().map(|_| Pooled::new(d)).collect();
                let mut state = encoder.fresh();
                for cut in cuts.windows(2) {
                    let part = |range: &Range<usize>| {
                        let (from, to) = (range.start.max(cut[0]), range.end.min(cut[1]));
                        if from < to { from - cut[0]..to - cut[0] } else { 0..0 }
                    };
                    let spans =
                        ranges.iter().zip(pools).map(|(range, pooled)| PooledSpan { rows: part(range), pooled });
                    let mut spans: Vec<PooledSpan> = spans.collect();
                    let batch =
                        Packed { input: Input::Tokens(&tokens[cut[0]..cut[1]]), offsets: &[0, cut[1] - cut[0]] };
                    encoder.encode_pooled(&batch, &mut [&mut state], tap, &mut spans).unwrap();
                    pools = spans.into_iter().map(|span| span.pooled).collect();
                }
                for (range, found) in ranges.iter().zip(&pools) {
                    let mut expected = Pooled::new(d);
                    expected.push(&rows[range.start * d..range.end * d]);
                    assert!(found.has_bits_of(&expected), "rows {range:?} of tap {tap}, d={d}");
                }
                assert!(same(&encoder.export(&state).unwrap(), &states[0]), "the state, tap {tap}");
            }
            let (mut state, mut found) = (encoder.fresh(), vec![]);
            for cut in cuts.windows(2) {
                let batch = Packed { input: Input::Tokens(&tokens[cut[0]..cut[1]]), offsets: &[0, cut[1] - cut[0]] };
                let take = &mut |_: usize, outputs: &[[f64; 4]]| found.extend_from_slice(outputs.as_flattened());
                encoder.encode_through(&batch, &mut [&mut state], &head, take).unwrap();
            }
            let expected = rows[layers].chunks_exact(d).flat_map(|row| crate::encoder::through(row, &head));
            assert!(found.iter().copied().map(f64::to_bits).eq(expected.map(f64::to_bits)), "the head's, d={d}");
        }
    }
}

#[test]
fn cuda_laws_hold_over_waves_lanes_and_steps() {
    let Some(_card) = card() else { return };
    for (d, layers, kind) in [(256, 3, Weights::Bf16), (256, 2, Weights::F32), (768, 2, Weights::Bf16)] {
        let config = Config { layers, vocab: 16, ..Config::mamba1(d) };
        let encoder = CudaEncoder::new(
            &config,
            &scattered(&config, 3).unwrap(),
            &RunOptions { pool_bytes: None, ..options(kind) },
        );
        let encoder = encoder.unwrap();
        // Long enough for every lane to go on with others' sequences.
        let lengths = [65_537, 8_193, 8_192, 8_191, 1, 2, 3, 5_000, 257, 255, 129];
        let mut offsets = vec![0];
        lengths.iter().for_each(|len| offsets.push(offsets[offsets.len() - 1] + len));
        let tokens: Vec<u32> =
            (0..offsets[lengths.len()] as u32).map(|i| i.wrapping_mul(2_654_435_761) >> 28).collect();
        let (together, states) = rows(&encoder, &tokens, &offsets);
        for (i, range) in offsets.windows(2).enumerate() {
            let (alone, state) = rows(&encoder, &tokens[range[0]..range[1]], &[0, range[1] - range[0]]);
            for (alone, together) in alone.iter().zip(&together) {
                assert!(
                    same(alone, &together[range[0] * d..range[1] * d]),
                    "sequence {i} of {} alone, d={d} {kind:?}",
                    lengths[i]
                );
            }
            assert!(same(&state[0], &states[i]), "state {i}");
        }
        // Many sequences, a token each: against all tokens in one.
        for many in [1, 2, 7, 8, 9, 17, 32, 33, 64, 65, 300, 1000, 1100, 3000] {
            steps_are_the_same(&encoder, &tokens, many);
        }
    }
}

/// `many` sequences of four tokens, step by step together, against each alone at once.
fn steps_are_the_same(encoder: &CudaEncoder, tokens: &[u32], many: usize) {
    let (d, layers) = (encoder.config().d, encoder.config().layers);
    let mut each: Vec<BackboneState> = (0..many).map(|_| encoder.fresh()).collect();
    let offsets: Vec<usize> = (0..=many).collect();
    let mut steps = vec![];
    for t in 0..4 {
        let now: Vec<u32> = (0..many).map(|i| tokens[i * 7 + t]).collect();
        let batch = Packed { input: Input::Tokens(&now), offsets: &offsets };
        let peeked = encoder.peek(&batch, &each.iter().collect::<Vec<_>>(), &[layers]).unwrap().remove(0);
        let mut states: Vec<&mut BackboneState> = each.iter_mut().collect();
        steps.push(encoder.encode(&batch, &mut states, &[layers]).unwrap().remove(0));
        assert!(same(&peeked, &steps[t]), "a peek of {many} at step {t}, d={d}");
    }
    for i in (0..many).step_by(many.div_ceil(30)) {
        let (alone, state) = rows(encoder, &tokens[i * 7..i * 7 + 4], &[0, 4]);
        for (t, step) in steps.iter().enumerate() {
            assert!(
                same(&alone[layers][t * d..(t + 1) * d], &step[i * d..(i + 1) * d]),
                "step {t} of sequence {i} of {many}, d={d} {}",
                encoder.route()
            );
        }
        assert!(same(&state[0], &encoder.export(&each[i]).unwrap()), "state {i} of {many} after steps");
    }
}

fn same(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}

#[test]
fn cuda_states_come_and_go() {
    let Some(_card) = card() else { return };
    let config = Config { layers: 2, vocab: 16, ..Config::mamba1(64) };
    let each = 2 * 128 * 19 * 4;
    let small = RunOptions { pool_bytes: Some(5 * each + 100), ..options(Weights::Bf16) };
    let encoder = CudaEncoder::new(&config, &scattered(&config, 3).unwrap(), &small).unwrap();
    assert_eq!(encoder.slots(), 5);
    let tokens: Vec<u32> = (0..23 * 6).map(|i| i * i % 16).collect();
    let sequence = |i: usize| &tokens[i * 6..(i + 1) * 6];
    let (all, states) = rows(&encoder, &tokens, &(0..=23).map(|i| i * 6).collect::<Vec<_>>());
    // One by one, with forks and copies in between, and far more sequences than slots.
    let mut each: Vec<BackboneState> = (0..23).map(|_| encoder.fresh()).collect();
    for t in 0..6 {
        for (i, state) in each.iter_mut().enumerate() {
            let fork = state.clone();
            let batch = Packed { input: Input::Tokens(&sequence(i)[t..=t]), offsets: &[0, 1] };
            let row = encoder.encode(&batch, &mut [&mut *state], &[2]).unwrap();
            assert!(same(&row[0], &all[2][(i * 6 + t) * 64..][..64]), "row {t} of {i}");
            if t % 2 == 0 {
                let mut again = fork;
                assert_eq!(encoder.encode(&batch, &mut [&mut again], &[2]).unwrap(), row, "the fork of {i} at {t}");
                assert_eq!(&again, state);
            } else {
                *state = encoder.import(&encoder.export(state).unwrap()).unwrap();
            }
        }
    }
    each.iter().zip(&states).for_each(|(state, expected)| assert!(same(&encoder.export(state).unwrap(), expected)));
    // A refusal moves nothing; another encoder's state is refused.
    let before = encoder.export(&each[0]).unwrap();
    let bad = Packed { input: Input::Tokens(&[99]), offsets: &[0, 1] };
    assert!(encoder.encode(&bad, &mut [&mut each[0]], &[]).is_err());
    assert!(same(&encoder.export(&each[0]).unwrap(), &before));
    let other = CudaEncoder::new(&config, &scattered(&config, 4).unwrap(), &small).unwrap();
    let good = Packed { input: Input::Tokens(&[1]), offsets: &[0, 1] };
    assert!(other.encode(&good, &mut [&mut each[0]], &[]).is_err());
    let tiny = RunOptions { pool_bytes: Some(100), ..small };
    assert!(CudaEncoder::new(&config, &scattered(&config, 3).unwrap(), &tiny).is_err());
}

#[test]
fn cuda_two_hundred_thousand_sessions_live_on_one_card() {
    const SESSIONS: usize = 200_000;
    let Some(_card) = card() else { return };
    let gpu = Gpu::open(0).unwrap();
    if gpu.memory().unwrap().0 < 76 << 30 {
        println!("skipped: the card has less than 76 GiB free");
        return;
    }
    drop(gpu);
    let config = Config { layers: 8, vocab: 16, ..Config::mamba1(256) };
    let weights = scattered(&config, 3).unwrap();
    let encoder =
        CudaEncoder::new(&config, &weights, &RunOptions { pool_bytes: None, ..options(Weights::Bf16) }).unwrap();
    println!("{} slots of {} bytes", encoder.slots(), config.state_len() * 4);
    assert!(encoder.slots() >= SESSIONS);
    let mut states: Vec<BackboneState> = (0..SESSIONS).map(|_| encoder.fresh()).collect();
    let offsets: Vec<usize> = (0..=SESSIONS).collect();
    let token = |i: usize, t: usize| (i * 7 + t * 5) as u32 % 16;
    for t in 0..3 {
        let tokens: Vec<u32> = (0..SESSIONS).map(|i| token(i, t)).collect();
        let mut each: Vec<&mut BackboneState> = states.iter_mut().collect();
        let start = std::time::Instant::now();
        encoder.encode(&Packed { input: Input::Tokens(&tokens), offsets: &offsets }, &mut each, &[]).unwrap();
        println!("a step of all: {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    }
    assert!(states.iter().all(|state| format!("{state:?}").contains("Slot")), "all are on the card");
    for i in (0..SESSIONS).step_by(SESSIONS / 20) {
        let tokens: Vec<u32> = (0..3).map(|t| token(i, t)).collect();
        let mut alone = encoder.fresh();
        encoder.encode(&Packed { input: Input::Tokens(&tokens), offsets: &[0, 3] }, &mut [&mut alone], &[]).unwrap();
        assert!(same(&encoder.export(&alone).unwrap(), &encoder.export(&states[i]).unwrap()), "session {i}");
    }
}
