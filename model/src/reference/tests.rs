use super::*;
use crate::{config::MixerConfig, init::scattered};

fn configs() -> Vec<Config> {
    let mamba2 = |config: Config| {
        let mixer = MixerConfig::Mamba2 {
            d_in: 32,
            n: 8,
            k: 3,
            heads: 4,
            head_dim: 8,
            groups: 2,
            gated_norm: true,
            norm_before_gate: true,
            dt_limit: (0.01, 0.2),
            d_per_channel: true,
        };
        Config { mixer, ..config }
    };
    vec![
        Config { layers: 2, vocab: 16, ..Config::mamba1(16) },
        Config { layers: 2, vocab: 16, norm: NormKind::Layer, mlp_hidden: 8, ..mamba2(Config::mamba2(16)) },
        Config { layers: 2, vocab: 16, linear_bias: true, conv_bias: false, ..mamba2(Config::mamba2(16)) },
    ]
}

fn encoder(config: Config) -> ReferenceEncoder {
    let weights = scattered(&config, 5).unwrap();
    ReferenceEncoder::new(config, weights).unwrap()
}

#[test]
fn a_cut_changes_nothing() {
    for config in configs() {
        let encoder = encoder(config);
        let tokens = [1, 5, 3, 0, 15, 2, 2, 9];
        let encode = |state: &mut BackboneState, tokens: &[u32]| {
            let batch = Packed { input: Input::Tokens(tokens), offsets: &[0, tokens.len()] };
            encoder.encode(&batch, &mut [state], &[2]).unwrap().remove(0)
        };
        let mut whole_state = encoder.fresh();
        let whole = encode(&mut whole_state, &tokens);
        for cut in 0..=tokens.len() {
            let mut state = encoder.fresh();
            let mut rows = encode(&mut state, &tokens[..cut]);
            state = encoder.import(&encoder.export(&state).unwrap()).unwrap();
            rows.extend(encode(&mut state, &tokens[cut..]));
            assert_eq!((rows, state), (whole.clone(), whole_state.clone()), "cut at {cut}");
        }
    }
}

#[test]
fn tokens_and_their_embedded_rows_are_the_same() {
    for config in configs() {
        let encoder = encoder(config);
        let tokens = [3u32, 0, 15];
        let rows: Vec<f32> =
            tokens.iter().flat_map(|&t| encoder.weights.embedding[t as usize * 16..][..16].to_vec()).collect();
        let encode = |input| {
            let batch = Packed { input, offsets: &[0, 1, 3] };
            encoder.encode(&batch, &mut [&mut encoder.fresh(), &mut encoder.fresh()], &[0, 1, 2]).unwrap()
        };
        let taps = encode(Input::Tokens(&tokens));
        assert_eq!(taps[0], rows);
        assert_eq!(taps, encode(Input::Rows(&rows)));
    }
}

#[test]
fn bad_calls_are_refused() {
    let encoder = encoder(configs().remove(0));
    let check = |input: Input<'_>, offsets: &[usize], tap: usize, expected: &str| {
        let mut state = encoder.fresh();
        let error = encoder.encode(&Packed { input, offsets }, &mut [&mut state], &[tap]).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert_eq!(state, encoder.fresh(), "the state has not moved");
    };
    check(Input::Tokens(&[1, 16]), &[0, 2], 0, "token 16 is outside the vocabulary of 16");
    check(Input::Rows(&[0.0; 17]), &[0, 1], 0, "17 values are not rows of width 16");
    check(Input::Tokens(&[1, 2]), &[0, 1], 0, "offsets must grow from 0 to the number of tokens, 2");
    check(Input::Tokens(&[1, 2]), &[0, 3, 2], 0, "offsets must grow from 0 to the number of tokens, 2");
    check(Input::Tokens(&[1, 2]), &[0, 1, 2], 0, "2 sequences, but 1 states");
    check(Input::Tokens(&[1, 2]), &[], 0, "offsets must grow from 0 to the number of tokens, 2");
    check(Input::Tokens(&[1, 2]), &[0, 2], 3, "layer 3: this backbone has layers 0 to 2");
    let mut short = BackboneState::in_memory([0.0; 3]);
    let batch = Packed { input: Input::Tokens(&[]), offsets: &[0, 0] };
    let error = encoder.encode(&batch, &mut [&mut short], &[]).unwrap_err();
    assert_eq!(error.to_string(), "a state of 3 values; this backbone's has 1216");
    assert!(encoder.import(&[0.0; 5]).unwrap_err().to_string().contains("this backbone's state has 1216"));
}

#[test]
fn weights_of_another_shape_are_refused() {
    let config = configs().remove(0);
    let mut weights = scattered(&config, 5).unwrap();
    weights.layers[1].norm.weight.pop();
    let error = ReferenceEncoder::new(config, weights).err().unwrap();
    assert_eq!(error.to_string(), "tensor 'backbone.layers.1.norm.weight': expected shape [16], found 15 values");
}
