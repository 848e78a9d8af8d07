//! The mixer of Mamba-2 (arXiv 2405.21060) on the card.

use unspool_kernels::cuda::{
    Columns, Conv, CudaError, GatedNorm, LayerStates, Linear, On, Out, Rows, Ssd, SsdShape, Type,
};

use super::layer::{OnCard, linear};
use crate::{
    config::{Config, MixerConfig},
    weights::Mixer,
};

/// One layer's mixer.
pub(super) struct Mamba2 {
    in_proj: Linear,
    conv: Conv,
    ssd: Ssd,
    norm: GatedNorm,
    out_proj: Linear,
    d_in: usize,
}

/// Rows between its steps.
pub(super) struct Mamba2Rows {
    /// z, x, B, C, dt, and up to seven columns more.
    zxbcdt: Rows,
    xbc: Rows,
    y: Rows,
    gated: Rows,
}

/// The input projection's outputs, filled up to whole stores.
fn width(config: &MixerConfig) -> usize {
    let &MixerConfig::Mamba2 { d_in, n, heads, groups, .. } = config else { unreachable!("a Mamba-2 configuration") };
    (2 * d_in + 2 * groups * n + heads).next_multiple_of(8)
}

impl Mamba2 {
    pub(super) fn new(on: OnCard<'_>, config: &Config, weights: &Mixer) -> Result<Self, CudaError> {
        let (gpu, kind) = on;
        let (
            &MixerConfig::Mamba2 { d_in, n, k, heads, head_dim, groups, norm_before_gate, dt_limit, .. },
            Mixer::Mamba2 { in_proj, conv, dt_bias, a_log, d, norm, out_proj },
        ) = (&config.mixer, weights)
        else {
            unreachable!("the weights were checked against the configuration")
        };
        let width = width(&config.mixer);
        let mut weight = in_proj.weight.clone();
        weight.resize(width * in_proj.n_in, 0.0);
        let bias = in_proj.bias.clone().map(|mut bias| {
            bias.resize(width, 0.0);
            bias
        });
        let shape = SsdShape { heads, head_dim, groups, n, k, dt_limit };
        Ok(Self {
            in_proj: Linear::new(gpu, kind, (&weight, in_proj.n_in), bias.as_deref())?,
            conv: Conv::new(gpu, kind, (&conv.weight, k), conv.bias.as_deref())?,
            ssd: Ssd::new(gpu, kind, shape, (a_log, dt_bias, d))?,
            norm: GatedNorm::new(gpu, kind, norm.as_deref(), (groups, config.norm_eps, norm_before_gate))?,
            out_proj: linear(on, out_proj)?,
            d_in,
        })
    }

    pub(super) fn is_tuned(&self) -> bool {
        self.in_proj.is_tuned() && self.out_proj.is_tuned()
    }

    /// `residual += mixer(normed)`; moves windows and states on.
    pub(super) fn forward(
        &self,
        on: On<'_>,
        (normed, residual): (&Rows, &Rows),
        (rows, states): (&Mamba2Rows, LayerStates),
    ) -> Result<(), CudaError> {
        let Mamba2Rows { zxbcdt, xbc, y, gated } = rows;
        self.in_proj.forward(on, normed, Out::Store(zxbcdt))?;
        self.conv.forward(on, Columns { rows: zxbcdt, from: self.d_in }, states, xbc)?;
        self.ssd.forward(on, (zxbcdt, xbc), states, y)?;
        self.norm.forward(on, y, zxbcdt.whole(), gated)?;
        self.out_proj.forward(on, gated, Out::Add(residual))
    }
}

impl Mamba2Rows {
    pub(super) fn new((gpu, kind): OnCard<'_>, config: &MixerConfig, most: usize) -> Result<Self, CudaError> {
        let rows = |kind, cols| Rows::new(gpu, kind, (most, cols));
        let d_in = config.d_in();
        Ok(Self {
            zxbcdt: rows(kind, width(config))?,
            xbc: rows(kind, config.conv_channels())?,
            y: rows(Type::F32, d_in)?,
            gated: rows(kind, d_in)?,
        })
    }
}
