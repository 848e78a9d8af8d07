//! The weights of a backbone, as published: matrices are `[out, in]`, row-major.
//!
//! In f32 everywhere but where training checks its gradients in f64; gradients have the same form.

mod layout;
mod windows;

pub use layout::{Spec, specs};
pub use windows::{WindowBackbone, WindowLayer};

/// A linear map `y = W x + b`.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear<T = f32> {
    /// Outputs.
    pub n_out: usize,
    /// Inputs.
    pub n_in: usize,
    /// `[n_out, n_in]`.
    pub weight: Vec<T>,
    /// `[n_out]`.
    pub bias: Option<Vec<T>>,
}

/// A norm's scale and shift.
#[derive(Clone, Debug, PartialEq)]
pub struct Norm<T = f32> {
    /// `[d]`.
    pub weight: Vec<T>,
    /// `[d]`, for layer norms that have one.
    pub bias: Option<Vec<T>>,
}

/// A causal depthwise convolution.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv<T = f32> {
    /// `[channels, k]`; the last tap weighs the present.
    pub weight: Vec<T>,
    /// `[channels]`.
    pub bias: Option<Vec<T>>,
}

/// The weights of one mixer.
#[derive(Clone, Debug, PartialEq)]
pub enum Mixer<T = f32> {
    /// See [`crate::config::MixerConfig::Mamba1`].
    Mamba1 {
        /// `[2 d_in, d]`: x, then z.
        in_proj: Linear<T>,
        /// Over x: `[d_in, k]`.
        conv: Conv<T>,
        /// `[r + 2 n, d_in]`: dt, B, C.
        x_proj: Linear<T>,
        /// `[d_in, r]`, with bias.
        dt_proj: Linear<T>,
        /// `[d_in, n]`: A = -exp(A_log).
        a_log: Vec<T>,
        /// `[d_in]`.
        d: Vec<T>,
        /// `[d, d_in]`.
        out_proj: Linear<T>,
    },
    /// See [`crate::config::MixerConfig::Mamba2`].
    Mamba2 {
        /// `[2 d_in + 2 groups n + heads, d]`: z, x, B, C, dt.
        in_proj: Linear<T>,
        /// Over x, B, C: `[d_in + 2 groups n, k]`.
        conv: Conv<T>,
        /// `[heads]`.
        dt_bias: Vec<T>,
        /// `[heads]`.
        a_log: Vec<T>,
        /// `[heads]`, or `[d_in]` where D has one value a channel.
        d: Vec<T>,
        /// `[d_in]`: the gated norm.
        norm: Option<Vec<T>>,
        /// `[d, d_in]`.
        out_proj: Linear<T>,
    },
}

/// A gated MLP: `fc2(y * silu(gate))`, with y and gate the halves of `fc1(x)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Mlp<T = f32> {
    /// The norm before it.
    pub norm: Norm<T>,
    /// `[2 h, d]`: y, then gate.
    pub fc1: Linear<T>,
    /// `[d, h]`.
    pub fc2: Linear<T>,
}

/// One layer: `x += mixer(norm(x))`, then `x += mlp(norm2(x))` where there is one.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer<T = f32> {
    /// The norm before the mixer.
    pub norm: Norm<T>,
    /// The mixer.
    pub mixer: Mixer<T>,
    /// The MLP after it.
    pub mlp: Option<Mlp<T>>,
}

/// The weights of a backbone.
#[derive(Clone, Debug, PartialEq)]
pub struct Backbone<T = f32> {
    /// `[vocab, d]`; empty when the front end gives embedded rows.
    pub embedding: Vec<T>,
    /// The layers, in order.
    pub layers: Vec<Layer<T>>,
    /// The norm at the end.
    pub norm_f: Norm<T>,
    /// `[vocab, d]`, where it is not the embedding.
    pub lm_head: Option<Vec<T>>,
}
