//! Configurations of Hugging Face transformers: `MambaConfig`, `FalconMambaConfig` and `Mamba2Config`.
//!
//! Files converted from the original format keep its keys too (`d_model`, `d_inner`, `ssm_cfg`, `rms_norm`, ...).
//! Some of those are wrong, and transformers reads none of them; neither does this.

use super::{COUNTS, Format, TOKENS, WIDTHS};
use crate::{
    Result,
    config::{Config, MixerConfig, json::Keys},
};

/// transformers' `mamba` and `falcon_mamba`.
pub fn mamba(keys: &Keys<'_>, format: Format) -> Result<Config> {
    let d = keys.size("hidden_size", WIDTHS, None)?;
    // Falcon-Mamba says `expand` 16 and means its `intermediate_size`, which transformers lets win.
    let d_in = match keys.get("intermediate_size") {
        Some(_) => keys.size("intermediate_size", WIDTHS, None)?,
        None => keys.expanded("expand", d, WIDTHS)?,
    };
    let bcdt_norm_eps = match format {
        Format::FalconMamba => Some(keys.epsilon("mixer_rms_eps", 1e-6)?),
        _ => None,
    };
    let mixer = MixerConfig::Mamba1 {
        d_in,
        n: keys.size("state_size", COUNTS, Some(16))?,
        k: keys.size("conv_kernel", COUNTS, Some(4))?,
        r: keys.rank("time_step_rank", d, WIDTHS)?,
        bcdt_norm_eps,
    };
    common(keys, Config { mixer, ..Config::mamba1(d) })
}

/// transformers' `mamba2`. Its gated norm always comes after the gate, whatever a stale `norm_before_gate` says.
pub fn mamba2(keys: &Keys<'_>) -> Result<Config> {
    let d = keys.size("hidden_size", WIDTHS, None)?;
    let d_in = keys.expanded("expand", d, WIDTHS)?;
    let head_dim = keys.size("head_dim", WIDTHS, Some(64))?;
    let mixer = MixerConfig::Mamba2 {
        d_in,
        n: keys.size("state_size", COUNTS, Some(128))?,
        k: keys.size("conv_kernel", COUNTS, Some(4))?,
        heads: keys.size("num_heads", WIDTHS, Some(d_in / head_dim))?,
        head_dim,
        groups: keys.size("n_groups", COUNTS, Some(8))?,
        gated_norm: true,
        norm_before_gate: false,
        dt_limit: keys.limits("time_step_limit")?,
        d_per_channel: false,
    };
    common(keys, Config { mixer, tie_embeddings: false, ..Config::mamba2(d) })
}

/// What the three have in common; `config` holds their defaults.
fn common(keys: &Keys<'_>, config: Config) -> Result<Config> {
    if let Some(act) = keys.get("hidden_act")
        && !matches!(act.as_str(), Some("silu" | "swish"))
    {
        return Err(keys.wrong("hidden_act", "\"silu\"", act));
    }
    Ok(Config {
        layers: keys.size("num_hidden_layers", COUNTS, None)?,
        vocab: keys.whole("vocab_size", (0, TOKENS), None)?,
        norm_eps: keys.epsilon("layer_norm_epsilon", 1e-5)?,
        tie_embeddings: keys.flag("tie_word_embeddings", config.tie_embeddings)?,
        linear_bias: keys.flag("use_bias", false)?,
        conv_bias: keys.flag("use_conv_bias", true)?,
        ..config
    })
}
