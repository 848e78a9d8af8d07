//! Configurations of state-spaces/mamba (`MambaConfig`; `ssm_cfg` holds the mixer's arguments).

use super::{COUNTS, TOKENS, WIDTHS};
use crate::{
    Result,
    config::{Config, MixerConfig, NormKind, json::Keys},
};

/// Arguments of `Mamba`; those that only matter to initialisation and to fused kernels are not read.
const MAMBA1_KEYS: [&str; 13] = [
    "layer",
    "d_state",
    "d_conv",
    "expand",
    "dt_rank",
    "dt_min",
    "dt_max",
    "dt_init",
    "dt_scale",
    "dt_init_floor",
    "conv_bias",
    "bias",
    "use_fast_path",
];
/// Arguments of `Mamba2`, likewise.
const MAMBA2_KEYS: [&str; 21] = [
    "layer",
    "d_state",
    "d_conv",
    "conv_init",
    "expand",
    "headdim",
    "d_ssm",
    "ngroups",
    "A_init_range",
    "D_has_hdim",
    "rmsnorm",
    "norm_before_gate",
    "dt_min",
    "dt_max",
    "dt_init_floor",
    "dt_limit",
    "bias",
    "conv_bias",
    "chunk_size",
    "use_mem_eff_path",
    "sequence_parallel",
];
/// `GatedMLP` rounds its hidden width up to a multiple of this.
const MLP_MULTIPLE: usize = 128;

pub fn config(keys: &Keys<'_>) -> Result<Config> {
    refuse_attention(keys)?;
    let d = keys.size("d_model", WIDTHS, None)?;
    let ssm = keys.inner("ssm_cfg")?;
    let (mixer, known) = match ssm.text("layer")?.unwrap_or("Mamba1") {
        "Mamba1" => (mamba1(&ssm, d)?, &MAMBA1_KEYS[..]),
        "Mamba2" => (mamba2(&ssm, d)?, &MAMBA2_KEYS[..]),
        other => {
            let problem = format!("'ssm_cfg.layer' {other:?} is not supported; expected \"Mamba1\" or \"Mamba2\"");
            return Err(keys.problem(problem));
        }
    };
    if let Some(key) = ssm.unknown(known) {
        return Err(keys.problem(format!("'ssm_cfg.{key}' is not known; known are {}", known.join(", "))));
    }
    let vocab = keys.size("vocab_size", TOKENS, Some(50277))?;
    Ok(Config {
        d,
        layers: keys.size("n_layer", COUNTS, None)?,
        vocab: vocab.next_multiple_of(keys.size("pad_vocab_size_multiple", COUNTS, Some(8))?),
        mixer,
        norm: if keys.flag("rms_norm", true)? { NormKind::Rms } else { NormKind::Layer },
        norm_eps: 1e-5,
        mlp_hidden: keys.whole("d_intermediate", (0, WIDTHS), Some(0))?.next_multiple_of(MLP_MULTIPLE),
        tie_embeddings: keys.flag("tie_embeddings", true)?,
        linear_bias: ssm.flag("bias", false)?,
        conv_bias: ssm.flag("conv_bias", true)?,
    })
}

fn refuse_attention(keys: &Keys<'_>) -> Result<()> {
    let Some(layers) = keys.get("attn_layer_idx") else { return Ok(()) };
    let Some(list) = layers.as_array() else {
        return Err(keys.wrong("attn_layer_idx", "a list of layers", layers));
    };
    if list.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = list.iter().map(ToString::to_string).collect();
    let layers = list.join(", ");
    Err(keys.problem(format!("'attn_layer_idx': layers {layers} are attention layers, which are not supported")))
}

fn mamba1(ssm: &Keys<'_>, d: usize) -> Result<MixerConfig> {
    Ok(MixerConfig::Mamba1 {
        d_in: ssm.expanded("expand", d, WIDTHS)?,
        n: ssm.size("d_state", COUNTS, Some(16))?,
        k: ssm.size("d_conv", COUNTS, Some(4))?,
        r: ssm.rank("dt_rank", d, WIDTHS)?,
        bcdt_norm_eps: None,
    })
}

fn mamba2(ssm: &Keys<'_>, d: usize) -> Result<MixerConfig> {
    let d_in = ssm.expanded("expand", d, WIDTHS)?;
    let d_ssm = ssm.size("d_ssm", WIDTHS, Some(d_in))?;
    if d_ssm != d_in {
        return Err(ssm.problem(format!(
            "'ssm_cfg.d_ssm' is {d_ssm}, but the inner width is {d_in}: a mixer that is partly an MLP is not supported"
        )));
    }
    let head_dim = ssm.size("headdim", WIDTHS, Some(64))?;
    Ok(MixerConfig::Mamba2 {
        d_in,
        n: ssm.size("d_state", COUNTS, Some(128))?,
        k: ssm.size("d_conv", COUNTS, Some(4))?,
        heads: d_in / head_dim,
        head_dim,
        groups: ssm.size("ngroups", COUNTS, Some(1))?,
        gated_norm: ssm.flag("rmsnorm", true)?,
        norm_before_gate: ssm.flag("norm_before_gate", false)?,
        dt_limit: ssm.limits("dt_limit")?,
        d_per_channel: ssm.flag("D_has_hdim", false)?,
    })
}
