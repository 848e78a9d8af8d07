//! A configuration as a config.json that transformers and this library read.

use serde_json::{Value, json};

use super::{Config, MixerConfig, NormKind};
use crate::{Error, Result};

impl Config {
    /// The config.json of transformers' `mamba` or `mamba2`; a caller may add keys of its own.
    ///
    /// # Errors
    /// When that format cannot say it: layer norms, MLPs, a norm before the gate, no gated norm, D for each channel.
    pub fn to_json(&self) -> Result<Value> {
        let refuse =
            |what: &str| Err(Error::Input(format!("{what} cannot be written to a config.json of transformers")));
        if self.norm == NormKind::Layer {
            return refuse("a layer norm");
        }
        if self.mlp_hidden > 0 {
            return refuse("an MLP");
        }
        let mut file = match self.mixer {
            MixerConfig::Mamba2 { gated_norm: false, .. } => return refuse("a gate without a norm"),
            MixerConfig::Mamba2 { norm_before_gate: true, .. } => return refuse("a norm before the gate"),
            MixerConfig::Mamba2 { d_per_channel: true, .. } => return refuse("a D for each channel"),
            MixerConfig::Mamba1 { .. } => self.mamba1_keys(),
            MixerConfig::Mamba2 { .. } => self.mamba2_keys(),
        };
        file["hidden_size"] = self.d.into();
        file["num_hidden_layers"] = self.layers.into();
        file["vocab_size"] = self.vocab.into();
        // Mamba-1 says its inner width itself; newer versions of transformers take whole numbers only.
        let d_in = self.mixer.d_in();
        if d_in.is_multiple_of(self.d) {
            file["expand"] = (d_in / self.d).into();
        } else if matches!(self.mixer, MixerConfig::Mamba2 { .. }) {
            file["expand"] = ratio(d_in, self.d).into();
        }
        file["state_size"] = self.mixer.n().into();
        file["conv_kernel"] = self.mixer.k().into();
        file["layer_norm_epsilon"] = decimal(self.norm_eps);
        file["use_bias"] = self.linear_bias.into();
        file["use_conv_bias"] = self.conv_bias.into();
        file["hidden_act"] = "silu".into();
        file["tie_word_embeddings"] = self.tie_embeddings.into();
        file["residual_in_fp32"] = true.into();
        file["torch_dtype"] = "float32".into();
        Ok(file)
    }

    fn mamba1_keys(&self) -> Value {
        let MixerConfig::Mamba1 { d_in, r, bcdt_norm_eps, .. } = self.mixer else { return Value::Null };
        let mut file = json!({
            "architectures": ["MambaForCausalLM"],
            "model_type": "mamba",
            "intermediate_size": d_in,
            "time_step_rank": r,
        });
        if let Some(eps) = bcdt_norm_eps {
            file["architectures"] = json!(["FalconMambaForCausalLM"]);
            file["model_type"] = "falcon_mamba".into();
            file["mixer_rms_eps"] = decimal(eps);
        }
        file
    }

    fn mamba2_keys(&self) -> Value {
        let MixerConfig::Mamba2 { heads, head_dim, groups, dt_limit, .. } = self.mixer else { return Value::Null };
        let high = if dt_limit.1.is_finite() { decimal(dt_limit.1) } else { json!({ "__float__": "Infinity" }) };
        json!({
            "architectures": ["Mamba2ForCausalLM"],
            "model_type": "mamba2",
            "num_heads": heads,
            "head_dim": head_dim,
            "n_groups": groups,
            "chunk_size": 256,
            "time_step_limit": [decimal(dt_limit.0), high],
        })
    }
}

/// `d_in / d`, rounded so that a reader's `expand * d`, cut to a whole number, is d_in again.
fn ratio(d_in: usize, d: usize) -> f64 {
    let ratio = d_in as f64 / d as f64;
    if (ratio * d as f64) < d_in as f64 { ratio.next_up() } else { ratio }
}

/// The shortest decimal that reads back as this number: 0.00001, not 0.000009999999747378752.
fn decimal(value: f32) -> Value {
    value.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}
