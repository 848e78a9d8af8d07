//! The mixer of Mamba-1 (arXiv 2312.00752) on the CPU kernels.

use unspool_kernels::cpu::{Buffer, Conv, ConvArgs, LANES, Linear, Out, Scan, ScanArgs, padded, rms_norm_plain};

use super::{On, Part, expand::Regions};
use crate::{config::MixerConfig, weights::Mixer};

/// One layer's mixer, packed.
pub(super) struct Mamba1 {
    in_proj: Linear,
    pub(super) conv: Conv,
    x_proj: Linear,
    dt_proj: Linear,
    pub(super) scan: Scan,
    out_proj: Linear,
    d_in: usize,
    n: usize,
    k: usize,
    r: usize,
    bcdt_norm_eps: Option<f32>,
}

impl Mamba1 {
    pub(super) fn new(config: &MixerConfig, weights: &Mixer) -> Self {
        let (
            &MixerConfig::Mamba1 { d_in, n, k, r, bcdt_norm_eps },
            Mixer::Mamba1 { in_proj, conv, x_proj, dt_proj, a_log, d, out_proj },
        ) = (config, weights)
        else {
            unreachable!("the weights were checked against the configuration")
        };
        let plain = |linear: &crate::weights::Linear| Linear::new(&linear.weight, linear.n_in, linear.bias.as_deref());
        Self {
            in_proj: Regions::new(&[d_in, d_in]).linear_rows(in_proj),
            conv: Conv::new(&conv.weight, k, conv.bias.as_deref()),
            x_proj: plain(x_proj),
            dt_proj: plain(dt_proj),
            scan: Scan::new(a_log, n, d),
            out_proj: plain(out_proj),
            d_in,
            n,
            k,
            r,
            bcdt_norm_eps,
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
        let (d, d_in) = (residual.len() / t.max(1), padded(self.d_in));
        let [xz, x, bc, dt, _] = buffers;
        let xz = xz.room(t * 2 * d_in); // [t, 2 d_in]: x, z
        let out = Out { y: &mut *xz, stride: 2 * d_in, accumulate: false };
        self.in_proj.forward(on, (normed, d), t, out);

        let x = x.room(t * d_in); // [t, d_in]
        self.conv.forward(on, ConvArgs { x: xz, x_stride: 2 * d_in, offsets, windows, y: x });

        let width = self.x_proj.n_out();
        let bc = bc.room(t * width); // [t, r + 2 n]: dt, B, C
        self.x_proj.forward(on, (x, d_in), t, Out { y: &mut *bc, stride: width, accumulate: false });
        if let Some(eps) = self.bcdt_norm_eps {
            for row in bc.chunks_exact_mut(width) {
                let (dt, rest) = row.split_at_mut(self.r);
                let (b, rest) = rest.split_at_mut(self.n);
                [dt, b, &mut rest[..self.n]].into_iter().for_each(|part| rms_norm_plain(part, eps));
            }
        }
        let dt = dt.room(t * d_in); // [t, d_in]
        self.dt_proj.forward(on, (bc, width), t, Out { y: &mut *dt, stride: d_in, accumulate: false });

        let y = dt; // the scan writes y where it has read dt
        let (bc_layout, z) = ((width, self.r, self.r + self.n), &xz[d_in.min(xz.len())..]);
        self.scan.forward(on, ScanArgs { dt: y, x, bc, bc_layout, z, z_stride: 2 * d_in, offsets, states });
        self.out_proj.forward(on, (y, d_in), t, Out { y: residual, stride: d, accumulate: true });
    }

    pub(super) fn places(&self, place: &mut dyn FnMut(Part, usize)) {
        for c in 0..self.d_in {
            (0..self.k - 1).for_each(|j| place(Part::Window, j * self.conv.channels() + c));
        }
        for c in 0..self.d_in {
            (0..self.n).for_each(|j| place(Part::H, (c / LANES * self.n + j) * LANES + c % LANES));
        }
    }
}
