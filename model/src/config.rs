//! What a backbone looks like, normalised from every published format.

mod json;
mod parse;
mod windows;
mod write;

pub use parse::{Format, ModelConfig};
use serde::{Deserialize, Serialize};
pub use windows::{Join, Strands, WindowConfig};

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
    /// The mixers' input and output projections have biases.
    pub linear_bias: bool,
    /// The mixers' convolutions have biases.
    pub conv_bias: bool,
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
        /// dt after softplus is clamped to this closed interval; the upper end may be infinite.
        #[serde(with = "open_interval")]
        dt_limit: (f32, f32),
        /// D has one value a channel (else one a head).
        d_per_channel: bool,
    },
}

impl Config {
    /// Mamba-1 with the published defaults: expand 2, n 16, k 4, r = ceil(d / 16), no vocabulary.
    ///
    /// ```
    /// use unspool_model::config::Config;
    /// let tiny = Config { layers: 2, vocab: 16, ..Config::mamba1(32) };
    /// # assert_eq!(tiny.mixer.d_in(), 64);
    /// ```
    pub fn mamba1(d: usize) -> Self {
        let mixer = MixerConfig::Mamba1 { d_in: 2 * d, n: 16, k: 4, r: d.div_ceil(16), bcdt_norm_eps: None };
        Self::with_mixer(d, mixer)
    }

    /// Mamba-2 with the published defaults: expand 2, n 128, k 4, heads of 64 channels (of `2 d` where that is less, so
    /// that small models exist), one group, gated norm after the gate, no limit on dt, no vocabulary.
    pub fn mamba2(d: usize) -> Self {
        let d_in = 2 * d;
        let head_dim = if d_in.is_multiple_of(64) { 64 } else { d_in };
        let mixer = MixerConfig::Mamba2 {
            d_in,
            n: 128,
            k: 4,
            heads: d_in / head_dim.max(1),
            head_dim,
            groups: 1,
            gated_norm: true,
            norm_before_gate: false,
            dt_limit: (0.0, f32::INFINITY),
            d_per_channel: false,
        };
        Self::with_mixer(d, mixer)
    }

    fn with_mixer(d: usize, mixer: MixerConfig) -> Self {
        Self {
            d,
            layers: 1,
            vocab: 0,
            mixer,
            norm: NormKind::Rms,
            norm_eps: 1e-5,
            mlp_hidden: 0,
            tie_embeddings: true,
            linear_bias: false,
            conv_bias: true,
        }
    }

    /// Checks that the sizes go together.
    ///
    /// # Errors
    /// Says which do not.
    pub fn check(&self) -> Result<(), String> {
        let sizes = [self.d, self.layers, self.mixer.d_in(), self.mixer.n(), self.mixer.k()];
        if sizes.contains(&0) {
            return Err("width, layers, inner width, state size and convolution width must all be at least 1".into());
        }
        let MixerConfig::Mamba2 { d_in, heads, head_dim, groups, .. } = self.mixer else { return Ok(()) };
        if heads.checked_mul(head_dim) != Some(d_in) || heads == 0 {
            return Err(format!("{heads} heads of {head_dim} channels do not make up the inner width {d_in}"));
        }
        if groups == 0 || !heads.is_multiple_of(groups) {
            return Err(format!("{heads} heads cannot be shared out evenly among {groups} groups"));
        }
        Ok(())
    }

    /// Values in the state of one sequence: for each layer the convolution's window and h.
    pub fn state_len(&self) -> usize {
        self.layers * (self.mixer.window_len() + self.mixer.h_len())
    }
}

impl MixerConfig {
    /// Inner width.
    pub fn d_in(&self) -> usize {
        match *self {
            Self::Mamba1 { d_in, .. } | Self::Mamba2 { d_in, .. } => d_in,
        }
    }

    /// State size.
    pub fn n(&self) -> usize {
        match *self {
            Self::Mamba1 { n, .. } | Self::Mamba2 { n, .. } => n,
        }
    }

    /// Convolution width.
    pub fn k(&self) -> usize {
        match *self {
            Self::Mamba1 { k, .. } | Self::Mamba2 { k, .. } => k,
        }
    }

    /// Channels that the convolution runs over: x (Mamba-1), or x, B and C (Mamba-2).
    pub fn conv_channels(&self) -> usize {
        match *self {
            Self::Mamba1 { d_in, .. } => d_in,
            Self::Mamba2 { d_in, n, groups, .. } => d_in + 2 * groups * n,
        }
    }

    /// Values of one layer's convolution window, `[conv_channels, k - 1]`.
    pub fn window_len(&self) -> usize {
        self.conv_channels() * (self.k() - 1)
    }

    /// Values of one layer's h: `[d_in, n]`, or `[heads, head_dim, n]`.
    pub(crate) fn h_len(&self) -> usize {
        self.d_in() * self.n()
    }
}

/// JSON has no infinity: an end without a limit is `null`.
mod open_interval {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(limit: &(f32, f32), to: S) -> Result<S::Ok, S::Error> {
        (limit.0, limit.1.is_finite().then_some(limit.1)).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<(f32, f32), D::Error> {
        let (low, high) = <(f32, Option<f32>)>::deserialize(from)?;
        Ok((low, high.unwrap_or(f32::INFINITY)))
    }
}
