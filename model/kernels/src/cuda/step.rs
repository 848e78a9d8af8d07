//! One row each of a few sequences through a layer of Mamba-1: see step.cu.

use cudarc::driver::DeviceRepr;

use super::{
    Conv, CudaError, Gpu, LayerStates, Norm, Scan,
    buffer::Buffer,
    launch::{Kernel, arg},
    linear::int,
    rows::{On, Rows, Type},
    stack::{StackLayer, Weights},
    wave::Size,
    wide::to_bf16,
};

/// Rows that these kernels are for; more go through the tiles of the products.
const MOST: usize = 64;
/// Rows of a block.
const TOKENS: usize = 8;
/// The most columns of a rank of dt.
const MOST_RANK: usize = 128;

/// The kernels' `Step`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Args {
    wave: u64,
    slots: u64,
    residual: u64,
    layer: Weights,
    slot_stride: u64,
    u: u64,
    gate: u64,
    y: u64,
    d: i32,
    d_in: i32,
    r: i32,
    eps: f32,
}
// SAFETY: addresses and numbers, laid out as in step.cu.
unsafe impl DeviceRepr for Args {}

/// A linear map: weights `[n_out, n_in]`, and a bias.
pub type Map<'a> = (&'a [f32], Option<&'a [f32]>);

/// A layer's weights once more, in the order in which lanes take them.
pub struct Step {
    d: usize,
    d_in: usize,
    r: usize,
    in_proj: Buffer,
    in_bias: Option<Buffer>,
    x_proj: Buffer,
    out_proj: Buffer,
    out_bias: Option<Buffer>,
    kernels: [Kernel; 3],
}

/// Rows that a step works on, of the bf16 route.
#[derive(Clone, Copy)]
pub struct StepRows<'a> {
    /// `[rows, d]`, f32.
    pub residual: &'a Rows,
    /// `[rows, d_in]` each.
    pub u: &'a Rows,
    /// silu(z).
    pub gate: &'a Rows,
    /// The scan's output.
    pub y: &'a Rows,
}

impl Step {
    /// Weights of a layer that the bf16 route's fused products and scan take: in `[2 d_in, d]`, x `[r + 32, d_in]`, out
    /// `[d, d_in]`. `None` for shapes that these kernels do not take.
    ///
    /// # Errors
    /// When memory does not suffice.
    pub fn new(
        gpu: &Gpu,
        (d, d_in, r): (usize, usize, usize),
        (in_proj, x_proj, out_proj): (Map<'_>, &[f32], Map<'_>),
    ) -> Result<Option<Self>, CudaError> {
        let fits = gpu.is_hopper() && d.is_multiple_of(16) && d_in.is_multiple_of(64) && r.is_multiple_of(16);
        if !fits || r > MOST_RANK || TOKENS * (d.max(d_in) + 8) * 2 > 200 << 10 {
            return Ok(None);
        }
        let put = |weight: &[f32], n_in| Buffer::of(gpu, "weights", &by_lanes(&to_bf16(weight), n_in));
        let bias = |bias: Option<&[f32]>| bias.map(|bias| Buffer::of(gpu, "weights", bias)).transpose();
        let shared = |n: usize| TOKENS * (n + 8) * 2;
        let load = |name, n| Kernel::load(gpu, "step", name, shared(n));
        Ok(Some(Self {
            d,
            d_in,
            r,
            in_proj: put(in_proj.0, d)?,
            in_bias: bias(in_proj.1)?,
            x_proj: put(x_proj, d_in)?,
            out_proj: put(out_proj.0, d_in)?,
            out_bias: bias(out_proj.1)?,
            kernels: [load("step_in", d)?, load("step_scan", d_in)?, load("step_out", d_in)?],
        }))
    }

    /// Whether waves of this size are for it.
    #[must_use]
    pub fn takes(size: Size) -> bool {
        size.segments == 0 && size.rows <= MOST
    }

    /// This layer as one of a stack's.
    #[must_use]
    pub fn of_stack(
        &self,
        (norm, by_quads): (&Norm, bool),
        (conv, scan): (&Conv, &Scan),
        states: LayerStates,
    ) -> StackLayer {
        let address = |buffer: &Option<Buffer>| buffer.as_ref().map_or(0, |buffer| buffer.at(0));
        let (conv_weight, conv_bias) = conv.weights();
        let [a2, skip, dt_bias, dt_proj] = scan.weights((self.d_in, self.r));
        assert!(conv.width() == 4 && conv.channels() == self.d_in && states.stride >= 19 * self.d_in, "a step's shape");
        let weights = Weights {
            norm: norm.weight(self.d),
            in_bias: address(&self.in_bias),
            in_proj: self.in_proj.at(0),
            conv_weight,
            conv_bias,
            x_proj: self.x_proj.at(0),
            dt_proj,
            dt_bias,
            a2,
            skip,
            out_proj: self.out_proj.at(0),
            out_bias: address(&self.out_bias),
            states: states.address,
            by_quads: u64::from(by_quads),
        };
        StackLayer { weights, shape: (self.d, self.d_in, self.r), slot_stride: states.stride, eps: norm.eps() }
    }

    /// residual += mixer(norm(residual)); windows and states move on. With `norm` whether rows are normed as at the end of a product.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn forward(
        &self,
        on: On<'_>,
        norm: (&Norm, bool),
        (conv, scan): (&Conv, &Scan),
        (rows, states): (StepRows<'_>, LayerStates),
    ) -> Result<(), CudaError> {
        let StackLayer { weights: layer, slot_stride, eps, .. } = self.of_stack(norm, (conv, scan), states);
        let narrow = |rows: &Rows| rows.checked(on.size, Type::Bf16, self.d_in);
        let args = Args {
            wave: on.wave.head(),
            slots: on.wave.steps(),
            residual: rows.residual.checked(on.size, Type::F32, self.d),
            layer,
            slot_stride: slot_stride as u64,
            u: narrow(rows.u),
            gate: narrow(rows.gate),
            y: narrow(rows.y),
            d: int(self.d),
            d_in: int(self.d_in),
            r: int(self.r),
            eps,
        };
        let groups = on.size.steps.div_ceil(TOKENS);
        let [enter, scan, leave] = &self.kernels;
        // Each begins while the one before it runs, and fetches its weights and states: these no kernel of this wave has written.
        // SAFETY: the arguments of the kernels of step.cu, which wait; rows have been checked, slots by whoever set the wave.
        unsafe { enter.launch_early(on.lane, ([2 * self.d_in / 64, groups, 1], 128), &mut [arg(&args)])? };
        // SAFETY: as above.
        unsafe { scan.launch_early(on.lane, ([self.d_in / 64, groups, 1], 256), &mut [arg(&args)])? };
        // SAFETY: as above.
        unsafe { leave.launch_early(on.lane, ([self.d.div_ceil(32), groups, 1], 64), &mut [arg(&args)]) }
    }
}

/// `[n_out, n_in]`, multiples of 16, in tiles of 16 x 16; in each the eight values of lane 0, of lane 1, ..
fn by_lanes(weight: &[u16], n_in: usize) -> Vec<u16> {
    let n_out = weight.len() / n_in;
    let mut lanes = Vec::with_capacity(weight.len());
    for (n, k) in (0..n_out).step_by(16).flat_map(|n| (0..n_in).step_by(16).map(move |k| (n, k))) {
        for (g, q) in (0..8).flat_map(|g| (0..4).map(move |q| (g, q))) {
            for (dn, dk) in [(0, 0), (8, 0), (0, 8), (8, 8)] {
                let at = (n + g + dn) * n_in + k + 2 * q + dk;
                lanes.extend_from_slice(&weight[at..at + 2]);
            }
        }
    }
    lanes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_take_what_the_matrix_units_want_of_them() {
        let weight: Vec<u16> = (0..32 * 48).collect();
        let lanes = by_lanes(&weight, 48);
        let mut sorted = lanes.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, weight, "every weight once");
        // The tile of outputs 16 to 31 and k 32 to 47, lane 13: group 3, place 1.
        let at = ((3 + 2) * 32 + 13) * 8;
        let place = |n: u16, k: u16| n * 48 + k;
        let expected = [
            place(19, 34),
            place(19, 35),
            place(27, 34),
            place(27, 35),
            place(19, 42),
            place(19, 43),
            place(27, 42),
            place(27, 43),
        ];
        assert_eq!(&lanes[at..at + 8], expected);
    }
}
