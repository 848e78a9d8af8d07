//! One layer, `x + mixer(norm(x))`, with Mamba-1's mixer: norm, in_proj, convolution, x_proj, dt_proj, scan, out_proj.

use unspool_kernels::cpu::{Target, Team};

use super::{
    conv::Conv,
    linear, norm,
    real::Real,
    scan::{Checkpoints, Scan, ScanRows},
};
use crate::weights::{Layer, Linear, Mixer, Norm};

/// What the backward pass needs of one layer.
pub struct LayerTape<T> {
    /// The residual stream before it, `[t, d]`.
    x: Vec<T>,
    /// in_proj's output, `[t, 2 d_in]`: x, z.
    xz: Vec<T>,
    /// x_proj's output, `[t, r + 2 n]`: dt, B, C.
    dtbc: Vec<T>,
    checkpoints: Checkpoints<T>,
}

/// A mixer's weights, the convolution's and the scan's in the order of their loops.
struct Parts<'a, T> {
    in_proj: &'a Linear<T>,
    conv: Conv<T>,
    x_proj: &'a Linear<T>,
    dt_proj: &'a Linear<T>,
    scan: Scan<T>,
    out_proj: &'a Linear<T>,
    d_in: usize,
}

impl<'a, T: Real> Parts<'a, T> {
    fn new(mixer: &'a Mixer<T>) -> Self {
        let Mixer::Mamba1 { in_proj, conv, x_proj, dt_proj, a_log, d, out_proj } = mixer else {
            unreachable!("only Mamba-1 is let in")
        };
        let (d_in, conv, scan) = (d.len(), Conv::new(conv, d.len()), Scan::new(a_log, d));
        Self { in_proj, conv, x_proj, dt_proj, scan, out_proj, d_in }
    }
}

/// x: `[t, d]` → the residual stream after the layer, `[t, d]`.
pub fn forward<T: Real>(team: &Team, layer: &Layer<T>, eps: T, x: Vec<T>, offsets: &[usize]) -> (Vec<T>, LayerTape<T>) {
    let (parts, t) = (Parts::new(&layer.mixer), offsets[offsets.len() - 1]);
    let normed = norm::forward(team, &x, (&layer.norm.weight, eps)); // [t, d]
    let xz = linear::forward(team, parts.in_proj, (&normed, parts.in_proj.n_in), t); // [t, 2 d_in]
    let u = parts.conv.forward(team, (&xz, 2 * parts.d_in), offsets); // [t, d_in]
    let dtbc = linear::forward(team, parts.x_proj, (&u, parts.d_in), t); // [t, r + 2 n]
    let dt = linear::forward(team, parts.dt_proj, (&dtbc, parts.x_proj.n_out), t); // [t, d_in]
    let rows = ScanRows { dt: &dt, u: &u, xz: &xz, dtbc: &dtbc, offsets };
    let (g, checkpoints) = parts.scan.forward(team, rows); // [t, d_in]
    let mut y = linear::forward(team, parts.out_proj, (&g, parts.d_in), t); // [t, d]
    y.iter_mut().zip(&x).for_each(|(y, &x)| *y += x);
    (y, LayerTape { x, xz, dtbc, checkpoints })
}

/// Turns the gradient for the residual stream after the layer, `[t, d]`, into the one before it; returns the weights'.
pub fn backward<T: Real>(
    team: &Team,
    layer: &Layer<T>,
    eps: T,
    (tape, offsets): (&LayerTape<T>, &[usize]),
    dx: &mut [T],
) -> Layer<T> {
    let (parts, t) = (Parts::new(&layer.mixer), offsets[offsets.len() - 1]);
    let (d_in, width) = (parts.d_in, parts.x_proj.n_out);
    let zeros = |width: usize| vec![T::ZERO; t * width];
    let u = parts.conv.forward(team, (&tape.xz, 2 * d_in), offsets); // [t, d_in]
    let dt = linear::forward(team, parts.dt_proj, (&tape.dtbc, width), t); // [t, d_in]

    let mut dg = zeros(d_in);
    linear::backward_x(team, parts.out_proj, dx, write(&mut dg, d_in));
    let mut dxz = zeros(2 * d_in);
    let rows = ScanRows { dt: &dt, u: &u, xz: &tape.xz, dtbc: &tape.dtbc, offsets };
    let mut scan = parts.scan.backward(team, (rows, &tape.checkpoints), &dg, &mut dxz);
    let out_proj = linear::backward_w(team, parts.out_proj, dx, (&scan.g, d_in));

    let mut d_dtbc = zeros(width); // [t, r + 2 n]
    linear::backward_x(team, parts.dt_proj, &scan.ddt, write(&mut d_dtbc, width));
    for (row, dbc) in d_dtbc.chunks_exact_mut(width).zip(scan.dbc.chunks_exact(width - parts.dt_proj.n_in)) {
        row[parts.dt_proj.n_in..].copy_from_slice(dbc);
    }
    let dt_proj = linear::backward_w(team, parts.dt_proj, &scan.ddt, (&tape.dtbc, width));
    let x_proj = linear::backward_w(team, parts.x_proj, &d_dtbc, (&u, d_in));
    let du = Target { values: &mut scan.du, stride: d_in, accumulate: true };
    linear::backward_x(team, parts.x_proj, &d_dtbc, du);

    let conv = parts.conv.backward(team, (&tape.xz, 2 * d_in), offsets, (&mut scan.du, &mut dxz));
    let normed = norm::forward(team, &tape.x, (&layer.norm.weight, eps)); // [t, d]
    let in_proj = linear::backward_w(team, parts.in_proj, &dxz, (&normed, parts.in_proj.n_in));
    let mut d_normed = zeros(parts.in_proj.n_in);
    linear::backward_x(team, parts.in_proj, &dxz, write(&mut d_normed, parts.in_proj.n_in));
    let norm = norm::backward(team, &tape.x, (&layer.norm.weight, eps), &d_normed, dx);

    let mixer = Mixer::Mamba1 { in_proj, conv, x_proj, dt_proj, a_log: scan.da_log, d: scan.dd, out_proj };
    Layer { norm: Norm { weight: norm, bias: None }, mixer, mlp: None }
}

/// A product's target that is written, not added to.
fn write<T>(values: &mut [T], stride: usize) -> Target<'_, T> {
    Target { values, stride, accumulate: false }
}
