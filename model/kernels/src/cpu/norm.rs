//! Norms and gates over rows.

use super::{
    Isa, LANES, Team, maths, padded,
    simd::{Simd, on_isa},
};

/// Rows that one task takes.
const ROWS: usize = 32;
/// Values below which one thread is faster than two.
const WORTH: usize = 1 << 15;

/// Sixteen ones, then sixteen zeros: the load at `16 - r` keeps r lanes.
static KEEP: [f32; 32] = {
    let mut keep = [0.0; 32];
    let mut i = 0;
    while i < 16 {
        keep[i] = 1.0;
        i += 1;
    }
    keep
};

#[derive(Clone, Copy)]
struct Args<'a> {
    x: *const f32,
    x_stride: usize,
    z: *const f32,
    z_stride: usize,
    y: *mut f32,
    y_stride: usize,
    rows: usize,
    /// Values of a row (of each group of a row).
    d: usize,
    groups: usize,
    weight: &'a [f32],
    bias: &'a [f32],
    eps: f32,
    norm_before_gate: bool,
}

/// Runs a kernel over tasks of [`ROWS`] rows.
fn over_rows(team: &Team, args: Args<'_>, width: usize, kernel: impl Fn(&Args<'_>) + Sync + Send) {
    /// Lets tasks share the arguments.
    struct All<'a>(Args<'a>);
    // SAFETY: tasks read x and z, and write disjoint rows of y.
    unsafe impl Sync for All<'_> {}
    impl<'a> All<'a> {
        fn get(&self) -> Args<'a> {
            self.0
        }
    }
    let all = All(args);
    team.run(args.rows.div_ceil(ROWS), args.rows * width >= WORTH, |task| {
        let first = task * ROWS;
        let mut part = all.get();
        part.rows = ROWS.min(part.rows - first);
        // SAFETY: `first` is one of the rows.
        unsafe {
            part.x = part.x.add(first * part.x_stride);
            part.z = if part.z.is_null() { part.z } else { part.z.add(first * part.z_stride) };
            part.y = part.y.add(first * part.y_stride);
        }
        kernel(&part);
    });
}

/// `y = x / sqrt(mean(x²) + eps) * weight` for rows of `d` values padded to a multiple of [`LANES`].
///
/// # Panics
/// When the sizes do not fit.
pub fn rms_norm((isa, team): (Isa, &Team), (x, d): (&[f32], usize), (weight, eps): (&[f32], f32), y: &mut [f32]) {
    let args = plain((x, d), (weight, &[], eps), y);
    over_rows(team, args, d, |args| on_isa!(isa, rms, args, &Args<'_>));
}

/// `y = (x - mean) / sqrt(variance + eps) * weight + bias` for rows of `d` values padded to a multiple of [`LANES`].
///
/// # Panics
/// When the sizes do not fit.
pub fn layer_norm(
    (isa, team): (Isa, &Team),
    (x, d): (&[f32], usize),
    (weight, bias, eps): (&[f32], &[f32], f32),
    y: &mut [f32],
) {
    assert_eq!(bias.len(), padded(d));
    let args = plain((x, d), (weight, bias, eps), y);
    over_rows(team, args, d, |args| on_isa!(isa, layer, args, &Args<'_>));
}

fn plain<'a>((x, d): (&[f32], usize), (weight, bias, eps): (&'a [f32], &'a [f32], f32), y: &mut [f32]) -> Args<'a> {
    let stride = padded(d);
    assert!(d > 0 && x.len() == y.len() && x.len().is_multiple_of(stride) && weight.len() == stride);
    Args {
        x: x.as_ptr(),
        x_stride: stride,
        z: std::ptr::null(),
        z_stride: 0,
        y: y.as_mut_ptr(),
        y_stride: stride,
        rows: x.len() / stride,
        d,
        groups: 1,
        weight,
        bias,
        eps,
        norm_before_gate: false,
    }
}

/// The gated norm of Mamba-2, in place: `norm(y silu(z))`, or `norm(y) silu(z)`, over each of `groups` groups of `d` values.
///
/// y: `[rows][groups][padded width]`; `weight` likewise, one row; z: rows `z_stride` apart.
///
/// # Panics
/// When the sizes do not fit.
pub fn gated_rms_norm(
    (isa, team): (Isa, &Team),
    y: &mut [f32],
    (z, z_stride): (&[f32], usize),
    (weight, eps, d, groups, norm_before_gate): (&[f32], f32, usize, usize, bool),
) {
    let args = gated(y, (z, z_stride), weight.len());
    assert!(groups > 0 && weight.len().is_multiple_of(groups * LANES) && d > 0);
    let args = Args { d, groups, weight, eps, norm_before_gate, ..args };
    over_rows(team, args, weight.len(), |args| on_isa!(isa, gated_rms, args, &Args<'_>));
}

/// `y *= silu(z)`, for rows of y of `width` values and rows of z `z_stride` apart.
///
/// # Panics
/// When the sizes do not fit.
pub fn silu_gate((isa, team): (Isa, &Team), (y, width): (&mut [f32], usize), (z, z_stride): (&[f32], usize)) {
    let args = Args { d: width, ..gated(y, (z, z_stride), width) };
    over_rows(team, args, width, |args| on_isa!(isa, gate, args, &Args<'_>));
}

fn gated<'a>(y: &mut [f32], (z, z_stride): (&[f32], usize), width: usize) -> Args<'a> {
    let args = in_place(y, width);
    let rows = args.rows;
    assert!(z_stride >= width && (rows == 0 || z.len() >= (rows - 1) * z_stride + width), "z holds {rows} rows");
    Args { z: z.as_ptr(), z_stride, ..args }
}

fn in_place<'a>(y: &mut [f32], width: usize) -> Args<'a> {
    assert!(width > 0 && width.is_multiple_of(LANES) && y.len().is_multiple_of(width));
    Args {
        x: y.as_ptr(),
        x_stride: width,
        z: std::ptr::null(),
        z_stride: 0,
        y: y.as_mut_ptr(),
        y_stride: width,
        rows: y.len() / width,
        d: width,
        groups: 1,
        weight: &[],
        bias: &[],
        eps: 0.0,
        norm_before_gate: false,
    }
}

/// `x / sqrt(mean(x²) + eps)` in place, for one short run of values (dt, B or C of Falcon-Mamba).
pub fn rms_norm_plain(x: &mut [f32], eps: f32) {
    let mut lanes = [0f32; LANES];
    for chunk in x.chunks(LANES) {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane = x.mul_add(*x, *lane);
        }
    }
    // SAFETY: portable code needs no instructions.
    let sum = unsafe { maths::sum::<super::simd::Portable>(lanes) };
    let scale = 1.0 / (sum / x.len() as f32 + eps).sqrt();
    x.iter_mut().for_each(|x| *x *= scale);
}

#[inline(always)]
unsafe fn rms<S: Simd>(a: &Args<'_>) {
    for row in 0..a.rows {
        // SAFETY: rows lie in x and y; the caller has S's instructions.
        unsafe {
            let (x, y) = (a.x.add(row * a.x_stride), a.y.add(row * a.y_stride));
            let mut squares = S::splat(0.0);
            for i in (0..a.d).step_by(LANES) {
                let x = S::load(x.add(i));
                squares = S::fma(x, x, squares);
            }
            let scale = S::splat(1.0 / (maths::sum::<S>(squares) / a.d as f32 + a.eps).sqrt());
            for i in (0..a.d).step_by(LANES) {
                let w = S::load(a.weight.as_ptr().add(i));
                S::store(y.add(i), S::mul(S::mul(S::load(x.add(i)), scale), w));
            }
        }
    }
}

#[inline(always)]
unsafe fn layer<S: Simd>(a: &Args<'_>) {
    for row in 0..a.rows {
        // SAFETY: rows lie in x and y; the caller has S's instructions.
        unsafe {
            let (x, y) = (a.x.add(row * a.x_stride), a.y.add(row * a.y_stride));
            let mut sum = S::splat(0.0);
            for i in (0..a.d).step_by(LANES) {
                sum = S::add(sum, S::load(x.add(i)));
            }
            let mean = S::splat(maths::sum::<S>(sum) / a.d as f32);
            let mut squares = S::splat(0.0);
            for i in (0..a.d).step_by(LANES) {
                // the padding is no part of the variance
                let keep = S::load(KEEP.as_ptr().add(LANES - LANES.min(a.d - i)));
                let x = S::mul(S::sub(S::load(x.add(i)), mean), keep);
                squares = S::fma(x, x, squares);
            }
            let scale = S::splat(1.0 / (maths::sum::<S>(squares) / a.d as f32 + a.eps).sqrt());
            for i in (0..a.d).step_by(LANES) {
                let (w, b) = (S::load(a.weight.as_ptr().add(i)), S::load(a.bias.as_ptr().add(i)));
                S::store(y.add(i), S::fma(S::mul(S::sub(S::load(x.add(i)), mean), scale), w, b));
            }
        }
    }
}

#[inline(always)]
unsafe fn gated_rms<S: Simd>(a: &Args<'_>) {
    let width = a.weight.len() / a.groups;
    for row in 0..a.rows {
        for group in 0..a.groups {
            // SAFETY: rows lie in y and z; the caller has S's instructions.
            unsafe {
                let (y, z) = (a.y.add(row * a.y_stride + group * width), a.z.add(row * a.z_stride + group * width));
                let mut squares = S::splat(0.0);
                for i in (0..width).step_by(LANES) {
                    let mut v = S::load(y.add(i));
                    if !a.norm_before_gate {
                        v = S::mul(v, maths::silu::<S>(S::load(z.add(i))));
                        S::store(y.add(i), v);
                    }
                    squares = S::fma(v, v, squares);
                }
                let scale = S::splat(1.0 / (maths::sum::<S>(squares) / a.d as f32 + a.eps).sqrt());
                for i in (0..width).step_by(LANES) {
                    let w = S::load(a.weight.as_ptr().add(group * width + i));
                    let mut v = S::mul(S::mul(S::load(y.add(i)), scale), w);
                    if a.norm_before_gate {
                        v = S::mul(v, maths::silu::<S>(S::load(z.add(i))));
                    }
                    S::store(y.add(i), v);
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn gate<S: Simd>(a: &Args<'_>) {
    for row in 0..a.rows {
        for i in (0..a.d).step_by(LANES) {
            // SAFETY: rows lie in y and z; the caller has S's instructions.
            unsafe {
                let y = a.y.add(row * a.y_stride + i);
                S::store(y, S::mul(S::load(y), maths::silu::<S>(S::load(a.z.add(row * a.z_stride + i)))));
            }
        }
    }
}

/// `x = silu(x)`, in place, for a multiple of [`LANES`] values.
///
/// # Panics
/// When there is another number of values.
pub fn silu((isa, team): (Isa, &Team), x: &mut [f32]) {
    assert!(x.len().is_multiple_of(LANES));
    let width = LANES * 64;
    let (whole, rest) = x.split_at_mut(x.len() / width * width);
    for (part, width) in [(whole, width), (rest, LANES)] {
        over_rows(team, in_place(part, width), width, |args| on_isa!(isa, activate, args, &Args<'_>));
    }
}

#[inline(always)]
unsafe fn activate<S: Simd>(a: &Args<'_>) {
    for row in 0..a.rows {
        for i in (0..a.d).step_by(LANES) {
            // SAFETY: rows lie in y; the caller has S's instructions.
            unsafe {
                let y = a.y.add(row * a.y_stride + i);
                S::store(y, maths::silu::<S>(S::load(y)));
            }
        }
    }
}
