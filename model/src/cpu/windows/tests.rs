use super::*;
use crate::{
    config::{Config, MixerConfig, NormKind},
    init::scattered_windows,
    reference::ReferenceWindows,
};

/// Tokens of one vocabulary of [`configs`].
const VOCAB: usize = 12;

/// Every way of reading, of published sizes and odd ones.
fn configs() -> Vec<WindowConfig> {
    let base = Config { layers: 3, vocab: VOCAB, ..Config::mamba1(24) };
    let odd = Config {
        mixer: MixerConfig::Mamba1 { d_in: 37, n: 8, k: 3, r: 5, bcdt_norm_eps: None },
        norm: NormKind::Layer,
        linear_bias: true,
        conv_bias: false,
        ..base.clone()
    };
    let complement: Vec<u32> =
        (0..VOCAB as u32).map(|token| if (7..=10).contains(&token) { 17 - token } else { token }).collect();
    let config = |(backbone, directions, tied, strands): (&Config, _, _, _)| WindowConfig {
        backbone: backbone.clone(),
        directions,
        tied,
        strands,
        complement: complement.clone(),
        alphabet: [7, 8, 9, 10, 11],
    };
    let [plain, swapped] = [false, true].map(|swapped| Strands::Both { swapped });
    let cases = [
        (&base, Some(Join::Add), true, Strands::One),
        (&odd, Some(Join::Multiply), false, Strands::One),
        (&base, None, true, Strands::One),
        (&base, Some(Join::Add), true, swapped),
        (&odd, Some(Join::Add), false, plain),
        (&odd, Some(Join::Multiply), false, swapped),
        (&base, None, false, swapped),
    ];
    cases.map(config).into()
}

fn encoder(config: &WindowConfig, isa: Isa, threads: usize) -> CpuWindows {
    let weights = scattered_windows(config, 7).unwrap();
    CpuWindows::new(config.clone(), &weights, CpuOptions { threads, isa: Some(isa) }).unwrap()
}

/// Windows of many lengths, an empty one and one that is longer than a block.
fn windows() -> (Vec<u32>, Vec<usize>) {
    let lengths = [0, 1, 2, 5, 33, BLOCK + 9];
    let mut offsets = vec![0];
    lengths.iter().for_each(|len| offsets.push(offsets[offsets.len() - 1] + len));
    let draw = |i: usize| ((i * i + i / 7) % VOCAB) as u32;
    ((0..offsets[offsets.len() - 1]).map(draw).collect(), offsets)
}

fn bits(rows: &[f32]) -> Vec<u32> {
    rows.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn hidden_rows_are_those_of_the_reference() {
    let (tokens, offsets) = windows();
    for config in configs() {
        let taps: Vec<usize> = (0..=config.backbone.layers).collect();
        let reference = ReferenceWindows::new(config.clone(), scattered_windows(&config, 7).unwrap());
        let expected = reference.encode_window(&tokens, &offsets, &taps).unwrap();
        let found = encoder(&config, Isa::detect().unwrap(), 2).encode_window(&tokens, &offsets, &taps).unwrap();
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!((found.len(), expected.len()), (tokens.len() * config.width(), found.len()));
            let scale = expected.iter().fold(0f32, |max, v| max.max(v.abs()));
            let worst = found.iter().zip(expected).fold(0f32, |max, (a, b)| max.max((a - b).abs()));
            assert!(worst <= 1e-4 * scale, "{worst} of {scale}, {config:?}");
        }
    }
}

#[test]
fn any_batch_gives_the_same_bits() {
    let (tokens, offsets) = windows();
    for config in configs() {
        let encoder = encoder(&config, Isa::detect().unwrap(), 2);
        let (together, width) = (encoder.encode_window(&tokens, &offsets, &[3]).unwrap(), config.width());
        for ends in offsets.windows(2) {
            let window = &tokens[ends[0]..ends[1]];
            let alone = encoder.encode_window(window, &[0, window.len()], &[3]).unwrap();
            assert_eq!(bits(&alone[0]), bits(&together[0][ends[0] * width..ends[1] * width]), "{config:?}");
        }
    }
}

#[test]
fn every_instruction_set_and_any_number_of_threads_gives_the_same_bits() {
    let tokens: Vec<u32> = (0..77).map(|i| i * i % VOCAB as u32).collect();
    let run = |encoder: &CpuWindows| encoder.encode_window(&tokens, &[0, 1, 40, 77], &[2, 3]).unwrap();
    for config in configs() {
        let expected = run(&encoder(&config, Isa::Portable, 1));
        for isa in Isa::available() {
            let found = run(&encoder(&config, *isa, 2));
            assert!(found.iter().zip(&expected).all(|(a, b)| bits(a) == bits(b)), "{isa}, {config:?}");
        }
    }
}

/// The rows of the other strand are the same values with rows and columns reversed, at every layer, to the bit.
#[test]
fn a_model_of_both_strands_is_equivariant() {
    let (tokens, offsets) = windows();
    for config in configs().iter().filter(|config| config.strands != Strands::One) {
        let encoder = encoder(config, Isa::detect().unwrap(), 2);
        for ends in offsets.windows(2) {
            let window = &tokens[ends[0]..ends[1]];
            let other: Vec<u32> = config.reverse_complement(window).collect();
            let run = |tokens: &[u32]| encoder.encode_window(tokens, &[0, tokens.len()], &[0, 1, 2, 3]).unwrap();
            for (here, mut there) in run(window).into_iter().zip(run(&other)) {
                there.reverse();
                assert_eq!(bits(&here), bits(&there), "{config:?}");
            }
        }
    }
}

/// A row depends on what comes before it and on what comes after, but for one that is read forwards only.
#[test]
fn both_ends_of_a_window_reach_each_row() {
    let tokens: Vec<u32> = (0..40).map(|i| 7 + i * i % 4).collect();
    for config in configs() {
        let encoder = encoder(&config, Isa::detect().unwrap(), 1);
        let run = |tokens: &[u32]| encoder.encode_window(tokens, &[0, tokens.len()], &[3]).unwrap().remove(0);
        let row = |rows: &[f32]| bits(&rows[20 * config.width()..21 * config.width()]);
        let whole = row(&run(&tokens));
        for (place, matters) in [(0, true), (39, config.directions.is_some() || config.strands != Strands::One)] {
            let mut changed = tokens.clone();
            changed[place] = 17 - changed[place];
            assert_eq!(row(&run(&changed)) != whole, matters, "{place}, {config:?}");
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let config = &configs()[3];
    let encoder = encoder(config, Isa::detect().unwrap(), 1);
    let outside = VOCAB as u32;
    let calls: [(&[u32], &[usize], usize); 5] =
        [(&[0, outside], &[0, 2], 0), (&[0, 0], &[0, 1], 0), (&[0], &[1], 0), (&[0], &[], 0), (&[0], &[0, 1], 4)];
    for (tokens, offsets, tap) in calls {
        assert!(encoder.encode_window(tokens, offsets, &[tap]).is_err(), "{tokens:?} {offsets:?} {tap}");
    }
    assert_eq!(encoder.encode_window(&[], &[0, 0], &[1]).unwrap(), [Vec::<f32>::new()]);
}
