//! The weights of a backbone, in f32, as published: matrices are `[out, in]`, row-major.

mod layout;

pub use layout::{Spec, specs};

/// A linear map `y = W x + b`.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    /// Outputs.
    pub n_out: usize,
    /// Inputs.
    pub n_in: usize,
    /// `[n_out, n_in]`.
    pub weight: Vec<f32>,
    /// `[n_out]`.
    pub bias: Option<Vec<f32>>,
}

/// A norm's scale and shift.
#[derive(Clone, Debug, PartialEq)]
pub struct Norm {
    /// `[d]`.
    pub weight: Vec<f32>,
    /// `[d]`, for layer norms that have one.
    pub bias: Option<Vec<f32>>,
}

/// A causal depthwise convolution.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv {
    /// `[channels, k]`; the last tap weighs the present.
    pub weight: Vec<f32>,
    /// `[channels]`.
    pub bias: Option<Vec<f32>>,
}

/// The weights of one mixer.
#[derive(Clone, Debug, PartialEq)]
pub enum Mixer {
    /// See [`crate::config::MixerConfig::Mamba1`].
    Mamba1 {
        /// `[2 d_in, d]`: x, then z.
        in_proj: Linear,
        /// Over x: `[d_in, k]`.
        conv: Conv,
        /// `[r + 2 n, d_in]`: dt, B, C.
        x_proj: Linear,
        /// `[d_in, r]`, with bias.
        dt_proj: Linear,
        /// `[d_in, n]`: A = -exp(A_log).
        a_log: Vec<f32>,
        /// `[d_in]`.
        d: Vec<f32>,
        /// `[d, d_in]`.
        out_proj: Linear,
    },
    /// See [`crate::config::MixerConfig::Mamba2`].
    Mamba2 {
        /// `[2 d_in + 2 groups n + heads, d]`: z, x, B, C, dt.
        in_proj: Linear,
        /// Over x, B, C: `[d_in + 2 groups n, k]`.
        conv: Conv,
        /// `[heads]`.
        dt_bias: Vec<f32>,
        /// `[heads]`.
        a_log: Vec<f32>,
        /// `[heads]`, or `[d_in]` where D has one value a channel.
        d: Vec<f32>,
        /// `[d_in]`: the gated norm.
        norm: Option<Vec<f32>>,
        /// `[d, d_in]`.
        out_proj: Linear,
    },
}

/// A gated MLP: `fc2(y * silu(gate))`, with y and gate the halves of `fc1(x)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Mlp {
    /// The norm before it.
    pub norm: Norm,
    /// `[2 h, d]`: y, then gate.
    pub fc1: Linear,
    /// `[d, h]`.
    pub fc2: Linear,
}

/// One layer: `x += mixer(norm(x))`, then `x += mlp(norm2(x))` where there is one.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// The norm before the mixer.
    pub norm: Norm,
    /// The mixer.
    pub mixer: Mixer,
    /// The MLP after it.
    pub mlp: Option<Mlp>,
}

/// The weights of a backbone.
#[derive(Clone, Debug, PartialEq)]
pub struct Backbone {
    /// `[vocab, d]`; empty when the front end gives embedded rows.
    pub embedding: Vec<f32>,
    /// The layers, in order.
    pub layers: Vec<Layer>,
    /// The norm at the end.
    pub norm_f: Norm,
    /// `[vocab, d]`, where it is not the embedding.
    pub lm_head: Option<Vec<f32>>,
}
