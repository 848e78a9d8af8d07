//! Exponentials, in one order of operations on every instruction set.

use super::simd::Simd;

/// 2^r on [-1/2, 1/2], relative error 2.5e-9 before rounding (Chebyshev interpolation).
const EXP2: [f32; 7] =
    [1.0, std::f32::consts::LN_2, 0.240_226_5, 0.055_503_27, 0.009_618_057, 0.001_340_042_8, 0.000_154_614_45];
/// atanh(s) / s in s^2 on [0, 1/9], relative error 4e-9 before rounding (Chebyshev interpolation).
const ATANH: [f32; 5] = [1.0, 0.333_331_6, 0.200_122_98, 0.139_825_79, 0.140_788_9];
/// Adding it rounds to a whole number, which then stands in the lowest bits.
const MAGIC: f32 = 12_582_912.0;

/// 2^v, for v clamped to [-125, 127]; NaN stays NaN.
#[inline(always)]
pub(super) unsafe fn exp2<S: Simd>(v: S::V) -> S::V {
    // SAFETY: the caller has S's instructions.
    unsafe {
        let v = S::min(S::splat(127.0), S::max(S::splat(-125.0), v));
        let t = S::add(v, S::splat(MAGIC));
        let r = S::sub(v, S::sub(t, S::splat(MAGIC)));
        S::scale(polynomial::<S, 7>(r, &EXP2), t)
    }
}

/// e^x.
#[inline(always)]
pub(super) unsafe fn exp<S: Simd>(x: S::V) -> S::V {
    // SAFETY: the caller has S's instructions.
    unsafe { exp2::<S>(S::mul(x, S::splat(std::f32::consts::LOG2_E))) }
}

/// x / (1 + e^-x).
#[inline(always)]
pub(super) unsafe fn silu<S: Simd>(x: S::V) -> S::V {
    // SAFETY: the caller has S's instructions.
    unsafe { S::div(x, S::add(S::splat(1.0), exp::<S>(S::sub(S::splat(0.0), x)))) }
}

/// ln(1 + e^x) as max(x, 0) + log1p(e^-|x|): safe for every x.
#[inline(always)]
pub(super) unsafe fn softplus<S: Simd>(x: S::V) -> S::V {
    // SAFETY: the caller has S's instructions.
    unsafe {
        let zero = S::splat(0.0);
        let minus = S::sub(zero, x);
        let u = exp::<S>(S::min(x, minus));
        // log1p(u) = 2 atanh(u / (2 + u))
        let s = S::div(u, S::add(S::splat(2.0), u));
        let twice = S::add(s, s);
        S::fma(twice, polynomial::<S, 5>(S::mul(s, s), &ATANH), S::max(zero, x))
    }
}

/// Horner's rule.
#[inline(always)]
unsafe fn polynomial<S: Simd, const N: usize>(x: S::V, coefficients: &[f32; N]) -> S::V {
    // SAFETY: the caller has S's instructions.
    unsafe {
        let mut sum = S::splat(coefficients[N - 1]);
        let mut i = N - 1;
        while i > 0 {
            i -= 1;
            sum = S::fma(sum, x, S::splat(coefficients[i]));
        }
        sum
    }
}

/// The sum of 16 lanes, as a fixed tree.
#[inline(always)]
pub(super) unsafe fn sum<S: Simd>(v: S::V) -> f32 {
    let mut lanes = [0f32; 16];
    // SAFETY: the caller has S's instructions; there is room for 16 values.
    unsafe { S::store(lanes.as_mut_ptr(), v) };
    let mut width = 8;
    while width > 0 {
        let mut i = 0;
        while i < width {
            lanes[i] += lanes[i + width];
            i += 1;
        }
        width /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::super::{Isa, simd::on_isa};
    use super::*;

    struct Args<'a> {
        x: &'a [f32],
        y: &'a mut [[f32; 4]],
    }

    #[inline(always)]
    unsafe fn all<S: Simd>(args: &mut Args<'_>) {
        for (x, y) in args.x.iter().zip(args.y.iter_mut()) {
            let mut lanes = [0f32; 16];
            // SAFETY: the caller has S's instructions; there is room for 16 values.
            unsafe {
                let x = S::splat(*x);
                for (f, y) in [exp2::<S>(x), exp::<S>(x), silu::<S>(x), softplus::<S>(x)].into_iter().zip(y) {
                    S::store(lanes.as_mut_ptr(), f);
                    *y = lanes[7];
                }
            }
        }
    }

    fn values(isa: Isa, x: &[f32]) -> Vec<[f32; 4]> {
        let mut y = vec![[0f32; 4]; x.len()];
        on_isa!(isa, all, &mut Args { x, y: &mut y }, &mut Args<'_>);
        y
    }

    #[test]
    fn within_two_units_of_f64() {
        let x: Vec<f32> = (-8000..8000).map(|i| i as f32 / 100.0).collect();
        for (x, y) in x.iter().zip(values(Isa::available()[0], &x)) {
            let v = f64::from(*x);
            let expected = [v.exp2(), v.exp(), v / (1.0 + (-v).exp()), v.max(0.0) + (-v.abs()).exp().ln_1p()];
            for (name, (found, expected)) in ["exp2", "exp", "silu", "softplus"].iter().zip(y.iter().zip(expected)) {
                // e^x carries the roundings of log2(e) and of x log2(e)
                let tolerance = 2.5e-7 + 1.2e-7 * v.abs();
                assert!(
                    (f64::from(*found) - expected).abs() <= tolerance * expected.abs() + 1e-37,
                    "{name}({x}): {found} {expected}"
                );
            }
        }
    }

    #[test]
    fn extremes_are_safe_and_nan_stays() {
        let y = values(Isa::available()[0], &[f32::MAX, -1e4, f32::INFINITY, f32::NEG_INFINITY, 0.0, f32::NAN]);
        assert!(y[..5].iter().flatten().enumerate().all(|(i, v)| !v.is_nan() || i == 14), "{y:?}");
        assert_eq!((y[0][3], y[2][3], y[4][0], y[4][2]), (f32::MAX, f32::INFINITY, 1.0, 0.0));
        assert!(y[1][2].abs() < 1e-30 && y[1][3] < 1e-30, "{y:?}");
        assert!(y[5].iter().all(|v| v.is_nan()), "{y:?}");
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        let x: Vec<f32> =
            (0..20_000u32).map(|i| f32::from_bits(i.wrapping_mul(0x9e37_79b9))).filter(|x| !x.is_nan()).collect();
        let bits = |isa| values(isa, &x).into_iter().map(|y| y.map(f32::to_bits)).collect::<Vec<_>>();
        let portable = bits(Isa::Portable);
        for isa in Isa::available() {
            for ((x, a), b) in x.iter().zip(bits(*isa)).zip(&portable) {
                assert_eq!(a, *b, "{isa} at {x}");
            }
        }
    }
}
