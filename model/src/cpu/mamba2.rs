//! The mixer of Mamba-2 (arXiv 2405.21060) on the CPU kernels.

use unspool_kernels::cpu::{
    Buffer, Conv, ConvArgs, LANES, Linear, Out, Ssd, SsdArgs, SsdShape, gated_rms_norm, padded, silu_gate,
};

use super::{On, Part, expand::Regions};
use crate::{
    config::{Config, MixerConfig},
    weights::Mixer,
};

/// One layer's mixer, packed.
pub(super) struct Mamba2 {
    in_proj: Linear,
    pub(super) conv: Conv,
    pub(super) ssd: Ssd,
    norm: Option<Vec<f32>>,
    out_proj: Linear,
    /// x, B and C as they lie in the convolution.
    channels: Regions,
    shape: SsdShape,
    k: usize,
    norm_before_gate: bool,
    eps: f32,
}

impl Mamba2 {
    pub(super) fn new(config: &Config, weights: &Mixer) -> Self {
        let (
            &MixerConfig::Mamba2 { n, k, heads, head_dim, groups, norm_before_gate, dt_limit, .. },
            Mixer::Mamba2 { in_proj, conv, dt_bias, a_log, d, norm, out_proj },
        ) = (&config.mixer, weights)
        else {
            unreachable!("the weights were checked against the configuration")
        };
        let x = vec![head_dim; heads];
        let bc = [groups * n, groups * n];
        let channels = Regions::new(&[&x[..], &bc].concat());
        let shape = SsdShape { heads, head_dim, groups, n, dt_limit };
        let bias = conv.bias.as_ref().map(|bias| channels.rows(bias, 1));
        Self {
            in_proj: Regions::new(&[&x[..], &x, &bc, &[heads]].concat()).linear_rows(in_proj),
            conv: Conv::new(&channels.rows(&conv.weight, k), k, bias.as_deref()),
            ssd: Ssd::new(shape, a_log, dt_bias, d),
            norm: norm.as_ref().map(|norm| Regions::new(&x).rows(norm, 1)),
            out_proj: Regions::new(&x).linear_columns(out_proj),
            channels,
            shape,
            k,
            norm_before_gate,
            eps: config.norm_eps,
        }
    }

    /// `residual += mixer(normed)`, rows of padded d; moves windows and states on.
    pub(super) fn forward(
        &self,
        on: On<'_>,
        (normed, residual): (&[f32], &mut [f32]),
        offsets: &[usize],
        (windows, states): (&mut [&mut [f32]], &mut [&mut [f32]]),
        buffers: &mut [Buffer; 5],
    ) {
        let t = offsets[offsets.len() - 1];
        let d = residual.len() / t.max(1);
        let SsdShape { heads, head_dim, groups, .. } = self.shape;
        let (d_in, stride) = (heads * padded(head_dim), self.in_proj.n_out());
        let [all, xbc, dt, y, decay] = buffers;
        let all = all.room(t * stride); // [t, 2 d_in + 2 groups n + heads]: z, x, B, C, dt
        self.in_proj.forward(on, (normed, d), t, Out { y: &mut *all, stride, accumulate: false });

        let xbc = xbc.room(t * self.channels.padded()); // [t, d_in + 2 groups n]: x, B, C
        let x = &all[d_in.min(all.len())..];
        self.conv.forward(on, ConvArgs { x, x_stride: stride, offsets, windows, y: xbc });

        let heads = padded(heads);
        let dt = dt.room(t * heads); // [t, heads]
        for (dt, all) in dt.chunks_exact_mut(heads).zip(all.chunks_exact(stride)) {
            dt.copy_from_slice(&all[stride - heads..]);
        }
        let y = y.room(t * d_in); // [t, d_in]
        self.ssd.forward(on, SsdArgs { dt, xbc, offsets, states, y: &mut *y }, decay);
        match &self.norm {
            Some(weight) => {
                let norm = (&weight[..], self.eps, self.shape.heads * head_dim / groups, groups, self.norm_before_gate);
                gated_rms_norm(on, y, (all, stride), norm);
            }
            None => silu_gate(on, (y, d_in), (all, stride)),
        }
        self.out_proj.forward(on, (y, d_in), t, Out { y: residual, stride: d, accumulate: true });
    }

    pub(super) fn places(&self, place: &mut dyn FnMut(Part, usize)) {
        for c in self.channels.places() {
            (0..self.k - 1).for_each(|j| place(Part::Window, j * self.conv.channels() + c));
        }
        let SsdShape { heads, head_dim, n, .. } = self.shape;
        let head_len = padded(head_dim) * n;
        for (head, p) in (0..heads).flat_map(|head| (0..head_dim).map(move |p| (head, p))) {
            (0..n).for_each(|j| place(Part::H, head * head_len + (p / LANES * n + j) * LANES + p % LANES));
        }
    }
}
