use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::config::{Join, MixerConfig, NormKind, Strands};

fn parsed(text: &str) -> Result<ModelConfig> {
    ModelConfig::parse(text, Path::new("config.json"))
}

fn mamba2_mixer(config: &Config) -> MixerConfig {
    assert!(matches!(config.mixer, MixerConfig::Mamba2 { .. }));
    config.mixer.clone()
}

#[test]
fn format_a() {
    let published = r#"{"d_model": 768, "n_layer": 24, "vocab_size": 50277, "ssm_cfg": {}, "rms_norm": true,
        "residual_in_fp32": true, "fused_add_norm": true, "pad_vocab_size_multiple": 8}"#;
    let model = parsed(published).unwrap();
    assert_eq!(model.format, Format::MambaSsm);
    assert_eq!(model.backbone, Config { layers: 24, vocab: 50280, ..Config::mamba1(768) });

    let odd = r#"{"d_model": 20, "n_layer": 1, "vocab_size": 17, "pad_vocab_size_multiple": 4, "rms_norm": false,
        "d_intermediate": 130, "tie_embeddings": false, "attn_layer_idx": [], "attn_cfg": {}, "ssm_cfg": {"layer": "Mamba1",
        "d_state": 8, "d_conv": 3, "expand": 1.5, "dt_rank": "auto", "dt_min": 0.001, "dt_max": 0.1, "dt_init": "random",
        "dt_scale": 1.0, "dt_init_floor": 0.0001, "conv_bias": false, "bias": true, "use_fast_path": true}}"#;
    let expected = Config {
        vocab: 20,
        mixer: MixerConfig::Mamba1 { d_in: 30, n: 8, k: 3, r: 2, bcdt_norm_eps: None },
        norm: NormKind::Layer,
        mlp_hidden: 256,
        tie_embeddings: false,
        linear_bias: true,
        conv_bias: false,
        ..Config::mamba1(20)
    };
    assert_eq!(parsed(odd).unwrap().backbone, expected);
}

#[test]
fn format_b_trusts_its_own_keys() {
    let model = parsed(
        r#"{"architectures": ["MambaForCausalLM"], "model_type": "mamba", "hidden_size": 1024, "intermediate_size": 2048,
        "d_inner": 160, "d_model": 768, "n_layer": 3, "num_hidden_layers": 48, "state_size": 16, "conv_kernel": 4,
        "expand": 2, "time_step_rank": 64, "layer_norm_epsilon": 1e-05, "use_bias": false, "use_conv_bias": true,
        "hidden_act": "silu", "vocab_size": 50280, "rms_norm": false, "ssm_cfg": {"d_state": 7},
        "pad_vocab_size_multiple": 64, "torch_dtype": "float32", "pad_token_id": null}"#,
    )
    .unwrap();
    assert_eq!(model.format, Format::Mamba);
    assert_eq!(model.backbone, Config { layers: 48, vocab: 50280, ..Config::mamba1(1024) });
    assert_eq!(model.raw["d_inner"], 160);
}

#[test]
fn falcon_mamba_has_norms_in_the_mixer_and_a_wrong_expand() {
    let model = parsed(
        r#"{"model_type": "falcon_mamba", "hidden_size": 4096, "intermediate_size": 8192, "expand": 16,
        "num_hidden_layers": 64, "time_step_rank": 256, "vocab_size": 65024, "tie_word_embeddings": false}"#,
    )
    .unwrap();
    let mixer = MixerConfig::Mamba1 { d_in: 8192, n: 16, k: 4, r: 256, bcdt_norm_eps: Some(1e-6) };
    let expected = Config { layers: 64, vocab: 65024, tie_embeddings: false, mixer, ..Config::mamba1(4096) };
    assert_eq!((model.format, model.backbone), (Format::FalconMamba, expected));
}

#[test]
fn format_c() {
    let infinities = ["Infinity", r#"{"__float__": "Infinity"}"#, "1e60"];
    for infinity in infinities {
        let model = parsed(&format!(
            r#"{{"model_type": "mamba2", "hidden_size": 768, "num_heads": 24, "head_dim": 64, "n_groups": 1,
            "state_size": 128, "num_hidden_layers": 24, "expand": 2.0, "conv_kernel": 4, "chunk_size": 256,
            "rms_norm": true, "norm_before_gate": true, "time_step_limit": [0.0, {infinity}], "time_step_rank": "auto",
            "vocab_size": 50288, "tie_word_embeddings": true, "title": "-Infinity \"NaN\\" }}"#
        ))
        .unwrap();
        assert_eq!(model.format, Format::Mamba2);
        assert_eq!(model.backbone, Config { layers: 24, vocab: 50288, ..Config::mamba2(768) }, "{infinity}");
        assert_eq!(model.raw["title"], "-Infinity \"NaN\\");
    }
    let codestral = parsed(
        r#"{"model_type": "mamba2", "hidden_size": 4096, "num_heads": 128, "n_groups": 8, "num_hidden_layers": 64,
        "vocab_size": 32768, "use_conv_bias": false, "use_bias": true, "time_step_limit": [0.001, 0.1]}"#,
    )
    .unwrap()
    .backbone;
    assert!(!codestral.tie_embeddings && codestral.linear_bias && !codestral.conv_bias);
    let MixerConfig::Mamba2 { groups, heads, dt_limit, .. } = mamba2_mixer(&codestral) else { unreachable!() };
    assert_eq!((groups, heads, dt_limit), (8, 128, (0.001, 0.1)));
}

#[test]
fn format_d() {
    let model = parsed(
        r#"{"d_model": 768, "d_intermediate": 0, "n_layer": 24, "vocab_size": 50277, "ssm_cfg": {"layer": "Mamba2"},
        "attn_layer_idx": [], "attn_cfg": {}, "rms_norm": true, "pad_vocab_size_multiple": 16, "tie_embeddings": true}"#,
    )
    .unwrap();
    assert_eq!(model.backbone, Config { layers: 24, vocab: 50288, ..Config::mamba2(768) });
    let odd = parsed(
        r#"{"d_model": 32, "n_layer": 1, "vocab_size": 16, "ssm_cfg": {"layer": "Mamba2", "d_state": 32, "d_conv": 3,
        "expand": 1, "headdim": 4, "d_ssm": 32, "ngroups": 8, "D_has_hdim": true, "rmsnorm": false,
        "norm_before_gate": true, "dt_limit": [0.0, Infinity], "bias": true, "conv_bias": false, "chunk_size": 64,
        "A_init_range": [1, 16], "use_mem_eff_path": false}}"#,
    )
    .unwrap()
    .backbone;
    let expected = MixerConfig::Mamba2 {
        d_in: 32,
        n: 32,
        k: 3,
        heads: 8,
        head_dim: 4,
        groups: 8,
        gated_norm: false,
        norm_before_gate: true,
        dt_limit: (0.0, f32::INFINITY),
        d_per_channel: true,
    };
    assert_eq!(mamba2_mixer(&odd), expected);
}

#[test]
fn codestral_and_series() {
    let model = parsed(
        r#"{"dim": 4096, "n_layers": 64, "n_groups": 8, "vocab_size": 32768, "tie_embeddings": false,
        "pad_vocab_size_multiple": 1, "model_type": "mamba"}"#,
    )
    .unwrap();
    assert_eq!((model.format, model.backbone.layers, model.backbone.tie_embeddings), (Format::Codestral, 64, false));
    let MixerConfig::Mamba2 { heads: 128, groups: 8, n: 128, .. } = model.backbone.mixer else { panic!("{model:?}") };

    let model = parsed(
        r#"{"model_type": "mamba", "d_model": 256, "num_hidden_layers": 8, "state_size": 16, "conv_kernel": 4, "expand": 2,
        "time_step_rank": 16, "rms_norm_eps": 1e-05, "patch_len": 16, "horizon": 64, "alignment": "end"}"#,
    )
    .unwrap();
    assert_eq!((model.format, model.backbone), (Format::Series, Config { layers: 8, ..Config::mamba1(256) }));
    assert_eq!(model.raw["alignment"], "end");
}

#[test]
fn what_is_written_reads_back() {
    let falcon = MixerConfig::Mamba1 { d_in: 24, n: 8, k: 3, r: 5, bcdt_norm_eps: Some(1e-6) };
    let MixerConfig::Mamba2 { n, k, gated_norm, norm_before_gate, d_per_channel, .. } = Config::mamba2(32).mixer else {
        panic!("asked for Mamba-2")
    };
    let (d_in, heads, head_dim, groups, dt_limit) = (48, 8, 6, 4, (0.001, 0.1));
    let limited = MixerConfig::Mamba2 {
        d_in,
        n,
        k,
        heads,
        head_dim,
        groups,
        gated_norm,
        norm_before_gate,
        dt_limit,
        d_per_channel,
    };
    let configs = [
        Config { layers: 2, vocab: 16, norm_eps: 1e-6, ..Config::mamba1(32) },
        Config { vocab: 16, mixer: falcon, tie_embeddings: false, linear_bias: true, ..Config::mamba1(16) },
        Config { vocab: 0, ..Config::mamba2(768) },
        Config { vocab: 5, mixer: limited, conv_bias: false, ..Config::mamba2(32) },
    ];
    for config in configs {
        let text = config.to_json().unwrap().to_string();
        assert_eq!(parsed(&text).unwrap().backbone, config, "{text}");
    }
    let error = Config { mlp_hidden: 8, ..Config::mamba1(16) }.to_json().unwrap_err();
    assert_eq!(error.to_string(), "an MLP cannot be written to a config.json of transformers");
}

fn check(text: &str, expected: &str) {
    assert_eq!(parsed(text).unwrap_err().to_string(), format!("config.json: {expected}"), "{text}");
}

#[test]
fn bad_files_are_refused() {
    check("", "not valid JSON: EOF while parsing a value at line 1 column 0");
    check("{", "not valid JSON: EOF while parsing an object at line 1 column 1");
    check("[]", "expected a JSON object, found a list");
    check("NaN", "not a model's configuration that is known here: it has neither 'model_type' nor 'd_model' nor 'dim'");
    check(r#"{"model_type": 3}"#, "'model_type': expected a text, found 3");
    check(
        r#"{"model_type": "jamba"}"#,
        r#"'model_type' "jamba" is not supported; expected "mamba", "falcon_mamba" or "mamba2""#,
    );
    check(
        r#"{"model_type": "caduceus", "d_model": 256}"#,
        "a Caduceus model reads whole windows, both ways: it cannot carry a state, stream, score or forecast; \
         `unspool embed --pool mean` or `--pool window:N` runs it",
    );
    let deep = "[".repeat(100_000);
    assert!(parsed(&deep).unwrap_err().to_string().contains("recursion limit exceeded"));
    let error = parsed(r#"{"d_model": 32, "n_layer": 1, "ssm_cfg": {"d_stat": 8}}"#).unwrap_err().to_string();
    assert!(error.starts_with("config.json: 'ssm_cfg.d_stat' is not known; known are layer, d_state,"), "{error}");
}

/// How files begin: of `mamba`, of the original package, of `mamba2`.
const MAMBA: &str = r#"{"model_type": "mamba", "hidden_size": 32"#;
const ORIGINAL: &str = r#"{"d_model": 32, "n_layer": 1"#;
const MAMBA2: &str =
    r#"{"model_type": "mamba2", "hidden_size": 32, "num_hidden_layers": 1, "vocab_size": 8, "head_dim": 8"#;

/// How a file begins and goes on, and what is wrong with it.
const BAD_FIELDS: &[(&str, &str, &str)] = &[
    (r#"{"model_type": "mamba""#, "", "'hidden_size' is missing: expected a whole number from 1 to 1048576"),
    (MAMBA, "", "'num_hidden_layers' is missing: expected a whole number from 1 to 4096"),
    (MAMBA, r#", "num_hidden_layers": 0"#, "'num_hidden_layers': expected a whole number from 1 to 4096, found 0"),
    (MAMBA, r#", "num_hidden_layers": -1"#, "'num_hidden_layers': expected a whole number from 1 to 4096, found -1"),
    (MAMBA, r#", "state_size": 1e99"#, "'state_size': expected a whole number from 1 to 4096, found 1e+99"),
    (MAMBA, r#", "state_size": 16.5"#, "'state_size': expected a whole number from 1 to 4096, found 16.5"),
    (MAMBA, r#", "expand": Infinity"#, r#"'expand': expected a number greater than 0, found {"__float__":"Infinity"}"#),
    (MAMBA, r#", "expand": 1e-9"#, "'expand': the inner width 0.000000032 = expand * 32 is not from 1 to 1048576"),
    (MAMBA, r#", "expand": 1e9"#, "'expand': the inner width 32000000000 = expand * 32 is not from 1 to 1048576"),
    (MAMBA, r#", "time_step_rank": "many""#, r#"'time_step_rank': expected a whole number or "auto", found "many""#),
    (MAMBA, r#", "hidden_act": "gelu""#, r#"'hidden_act': expected "silu", found "gelu""#),
    (
        MAMBA,
        r#", "num_hidden_layers": 1, "vocab_size": "x""#,
        "'vocab_size': expected a whole number from 0 to 268435456, found \"x\"",
    ),
    (
        ORIGINAL,
        r#", "attn_layer_idx": [9, 18]"#,
        "'attn_layer_idx': layers 9, 18 are attention layers, which are not supported",
    ),
    (ORIGINAL, r#", "ssm_cfg": []"#, "'ssm_cfg': expected an object, found []"),
    (
        ORIGINAL,
        r#", "ssm_cfg": {"layer": "Mamba3"}"#,
        r#"'ssm_cfg.layer' "Mamba3" is not supported; expected "Mamba1" or "Mamba2""#,
    ),
    (ORIGINAL, r#", "ssm_cfg": {"bias": 1}"#, "'ssm_cfg.bias': expected true or false, found 1"),
    (
        ORIGINAL,
        r#", "ssm_cfg": {"layer": "Mamba2", "d_ssm": 48}"#,
        "'ssm_cfg.d_ssm' is 48, but the inner width is 64: a mixer that is partly an MLP is not supported",
    ),
    (
        ORIGINAL,
        r#", "ssm_cfg": {"layer": "Mamba2", "headdim": 60}"#,
        "1 heads of 60 channels do not make up the inner width 64",
    ),
    (
        ORIGINAL,
        r#", "ssm_cfg": {"layer": "Mamba2", "ngroups": 2}"#,
        "1 heads cannot be shared out evenly among 2 groups",
    ),
    (MAMBA2, r#", "num_heads": 9"#, "9 heads of 8 channels do not make up the inner width 64"),
    (
        MAMBA2,
        r#", "time_step_limit": [1, 0]"#,
        "'time_step_limit': expected two numbers, 0 <= low <= high, found [1,0]",
    ),
    (
        MAMBA2,
        r#", "time_step_limit": [NaN, 1]"#,
        "'time_step_limit': expected two numbers, 0 <= low <= high, found [{\"__float__\":\"NaN\"},1]",
    ),
    (MAMBA2, r#", "layer_norm_epsilon": 0"#, "'layer_norm_epsilon': expected a number greater than 0, found 0"),
];

#[test]
fn bad_fields_are_refused_by_name() {
    for (begin, key, expected) in BAD_FIELDS {
        check(&format!("{begin}{key}}}"), expected);
    }
}

#[test]
fn our_own_object_is_kept() {
    let model = parsed(&format!(
        r#"{{"unspool": {{"name": "n", "front_end": "dna"}}, {}"#,
        &Config { vocab: 16, ..Config::mamba1(16) }.to_json().unwrap().to_string()[1..]
    ))
    .unwrap();
    assert_eq!(model.raw["unspool"], json!({"name": "n", "front_end": "dna"}));
}

fn any_config() -> impl Strategy<Value = Config> {
    let mamba1 = (1..200usize, 1..9usize, any::<bool>()).prop_map(|(d_in, r, falcon)| (d_in, r, 0, falcon));
    let mamba2 = (1..5usize, 1..9usize, 1..9usize).prop_map(|(groups, each, head_dim)| (groups, each, head_dim, false));
    let sizes = (1..40usize, 1..6usize, 0..50usize, 1..40usize, 2..6usize);
    (sizes, prop_oneof![mamba1, mamba2], any::<[bool; 3]>(), 1e-9f32..1.0).prop_map(|(sizes, mixer, flags, eps)| {
        let (d, layers, vocab, n, k) = sizes;
        let mixer = match mixer {
            (d_in, r, 0, falcon) => MixerConfig::Mamba1 { d_in, n, k, r, bcdt_norm_eps: falcon.then_some(eps) },
            (groups, each, head_dim, _) => MixerConfig::Mamba2 {
                d_in: groups * each * head_dim,
                n,
                k,
                heads: groups * each,
                head_dim,
                groups,
                gated_norm: true,
                norm_before_gate: false,
                dt_limit: (0.0, if flags[0] { f32::INFINITY } else { eps }),
                d_per_channel: false,
            },
        };
        let [tie_embeddings, linear_bias, conv_bias] = flags;
        Config { layers, vocab, mixer, norm_eps: eps, tie_embeddings, linear_bias, conv_bias, ..Config::mamba1(d) }
    })
}

proptest! {
    #[test]
    fn any_configuration_reads_back(config in any_config()) {
        let text = config.to_json().unwrap().to_string();
        prop_assert_eq!(&parsed(&text).unwrap().backbone, &config, "{}", text);
        prop_assert_eq!(serde_json::from_value::<Config>(serde_json::to_value(&config).unwrap()).unwrap(), config);
    }

    #[test]
    fn damage_never_panics(
        config in any_config(),
        at: prop::sample::Index,
        with in prop_oneof!["[\\[{}\":,0-9eInftyNa\\\\ -]{0,6}", "\\PC{0,3}"],
    ) {
        let text: Vec<char> = config.to_json().unwrap().to_string().chars().collect();
        let at = at.index(text.len());
        let damaged: String = text[..at].iter().copied().chain(with.chars()).chain(text[at + 1..].iter().copied()).collect();
        let _ = parsed(&damaged);
    }
}

/// The published ones, with the traps of some: a flag that is a text, a complement map whose keys are sorted as texts.
#[test]
fn format_f() {
    let parse = |text: &str| WindowConfig::parse(text, Path::new("config.json"));
    let ssm = r#""ssm_cfg": {"d_state": 16, "d_conv": 4, "expand": 2, "dt_rank": "auto", "dt_min": 0.001, "dt_max": 0.1,
        "dt_init": "random", "dt_scale": 1.0, "dt_init_floor": 0.0001, "conv_bias": true, "bias": false, "use_fast_path": true}"#;
    let ph = format!(
        r#"{{"model_type": "caduceus", "d_model": 256, "n_layer": 16, "vocab_size": 12, {ssm}, "rms_norm": true,
        "residual_in_fp32": false, "fused_add_norm": true, "pad_vocab_size_multiple": 8, "norm_epsilon": 1e-05,
        "initializer_cfg": {{"initializer_range": 0.02}}, "bidirectional": "true,", "bidirectional_strategy": "add",
        "bidirectional_weight_tie": true, "rcps": false, "complement_map": null}}"#
    );
    let complement = vec![0, 1, 2, 3, 4, 5, 6, 10, 9, 8, 7, 11, 12, 13, 14, 15];
    let expected = WindowConfig {
        backbone: Config { layers: 16, vocab: 16, ..Config::mamba1(256) },
        directions: Some(Join::Add),
        tied: true,
        strands: Strands::One,
        complement,
        alphabet: [7, 8, 9, 10, 11],
    };
    assert_eq!(parse(&ph).unwrap(), expected);
    let map = r#""rcps": true, "complement_map": {"0": 0, "1": 1, "10": 7, "11": 11, "7": 10, "8": 9, "9": 8}"#;
    let ps = ph.replace(r#""rcps": false, "complement_map": null"#, map);
    let both = |swapped| WindowConfig { strands: Strands::Both { swapped }, ..expected.clone() };
    assert_eq!(parse(&ps).unwrap(), both(true));
    assert_eq!(parse(&ps.replace(r#""fused_add_norm": true"#, r#""fused_add_norm": false"#)).unwrap(), both(false));
    let plant = r#"{"model_type": "caduceus", "d_model": 384, "n_layer": 20, "vocab_size": 8, "rcps": true,
        "bidirectional_strategy": "ew_multiply", "complement_map": {"3": 6, "4": 5, "5": 4, "6": 3}}"#;
    let plant = parse(plant).unwrap();
    assert_eq!((plant.alphabet, plant.width(), plant.directions), ([3, 4, 5, 6, 2], 768, Some(Join::Multiply)));
    let one_way = ph.replace(r#""true,""#, "false");
    assert_eq!(parse(&one_way).unwrap().directions, None);
    let wrong = [
        (ph.replace("caduceus", "mamba"), "'model_type' \"caduceus\" is expected, found Some(\"mamba\")"),
        (ph.replace(r#""true,""#, r#""yes""#), "'bidirectional': expected true or false, found \"yes\""),
        (
            ph.replace(r#""add""#, r#""mean""#),
            "'bidirectional_strategy' \"mean\" is not known; known are add, ew_multiply",
        ),
        (
            ph.replace("\"rcps\": false", "\"rcps\": true"),
            "'complement_map' is missing: a model of both strands ('rcps') has one",
        ),
        (ps.replace(r#""7": 10"#, r#""7": 11"#), "'complement_map': a complement's complement is another token"),
        (ps.replace(r#""7": 10"#, r#""7": 16"#), "expected pairs of tokens below 16"),
        (
            ps.replace(r#""10": 7, "#, "").replace(r#""7": 10, "#, ""),
            "'complement_map' does not tell which tokens are A, C, G and T",
        ),
        (ph.replace("\"vocab_size\": 12", "\"vocab_size\": 8"), "'complement_map' does not tell which tokens"),
        (ph.replace("\"vocab_size\": 12", "\"vocab_size\": 9000"), "a vocabulary of 9000 tokens is not one of bases"),
        (
            ph.replace("\"d_state\": 16", "\"layer\": \"Mamba2\"")
                .replace(r#""dt_rank": "auto", "#, "")
                .replace(r#""dt_scale": 1.0, "#, "")
                .replace(r#""dt_init": "random","#, "")
                .replace(r#", "use_fast_path": true"#, ""),
            "a Caduceus model of other layers than Mamba-1 is not supported",
        ),
    ];
    for (text, expected) in wrong {
        let error = parse(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
