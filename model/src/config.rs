//! What a backbone looks like, normalised from every published format.

use serde::{Deserialize, Serialize};

/// The shape of a backbone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Model width `d`.
    pub d: usize,
    /// Number of layers.
    pub layers: usize,
    /// Rows of the token embedding (padded as stored); 0: the front end gives embedded rows.
    pub vocab: usize,
    /// The sequence mixer of every layer.
    pub mixer: MixerConfig,
    /// The norm before every mixer and at the end.
    pub norm: NormKind,
    /// Its epsilon.
    pub norm_eps: f32,
    /// Hidden width `h` of the gated MLP after each mixer (0: none).
    pub mlp_hidden: usize,
    /// The output head is the embedding.
    pub tie_embeddings: bool,
}

/// The norm of a residual stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NormKind {
    /// Root mean square, weight only.
    Rms,
    /// Mean and variance, weight and bias.
    Layer,
}

/// The sequence mixer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MixerConfig {
    /// Selective scan with one decay per channel and state (arXiv 2312.00752).
    Mamba1 {
        /// Inner width.
        d_in: usize,
        /// State size.
        n: usize,
        /// Convolution width.
        k: usize,
        /// Rank of dt.
        r: usize,
        /// Epsilon of weightless RMS norms on dt, B and C (Falcon-Mamba).
        bcdt_norm_eps: Option<f32>,
    },
    /// State space duality: one decay per head (arXiv 2405.21060).
    Mamba2 {
        /// Inner width, `heads * head_dim`.
        d_in: usize,
        /// State size.
        n: usize,
        /// Convolution width.
        k: usize,
        /// Heads.
        heads: usize,
        /// Channels a head.
        head_dim: usize,
        /// Groups of heads that share B and C, and groups of the gated norm.
        groups: usize,
        /// A gated RMS norm before the output projection (else a plain gate).
        gated_norm: bool,
        /// Normalise, then gate (else gate, then normalise).
        norm_before_gate: bool,
        /// dt after softplus is clamped to this closed interval.
        dt_limit: (f32, f32),
    },
}
