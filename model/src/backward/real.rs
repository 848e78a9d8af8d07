//! The numbers that training computes with: f32 to train, f64 to check gradients by finite differences.

use std::{
    fmt::Debug,
    ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub},
};

use unspool_kernels::cpu::Element;

/// A real number. Its functions are branch-free in f32, so that loops over channels become vector code.
pub trait Real:
    Element
    + Debug
    + Default
    + PartialEq
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + MulAssign
{
    /// The nearest number of this type.
    fn from_f64(value: f64) -> Self;
    /// Exact, or the nearest f32.
    fn to_f32(self) -> f32;
    /// Exact.
    fn to_f64(self) -> f64;
    /// `e^x`; in f32 to 2e-7 relative, and no less than the smallest normal number.
    fn exp(self) -> Self;
    /// `ln(1 + e^x)`, without overflow and without losing small values.
    fn softplus(self) -> Self;
    /// `sqrt(x)`.
    fn sqrt(self) -> Self;

    /// `1 / (1 + e^-x)`.
    fn sigmoid(self) -> Self {
        Self::ONE / (Self::ONE + (-self).exp())
    }
}

impl Real for f64 {
    fn from_f64(value: f64) -> Self {
        value
    }

    fn to_f32(self) -> f32 {
        self as f32
    }

    fn to_f64(self) -> f64 {
        self
    }

    fn exp(self) -> Self {
        libm::exp(self)
    }

    fn softplus(self) -> Self {
        self.max(0.0) + libm::log1p(libm::exp(-self.abs()))
    }

    fn sqrt(self) -> Self {
        libm::sqrt(self)
    }
}

impl Real for f32 {
    fn from_f64(value: f64) -> Self {
        value as f32
    }

    fn to_f32(self) -> f32 {
        self
    }

    fn to_f64(self) -> f64 {
        f64::from(self)
    }

    /// 2^(whole) by the exponent's bits times a polynomial (Taylor, degree 7) of the rest, |rest| <= ln 2 / 2.
    fn exp(self) -> Self {
        const LOWEST: f32 = -87.3;
        const HIGHEST: f32 = 88.3;
        const SHIFT: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to a whole number in the low bits
        const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4]; // the first has few bits, so that whole * it is exact
        let x = self.clamp(LOWEST, HIGHEST);
        let shifted = x * std::f32::consts::LOG2_E + SHIFT;
        let whole = shifted - SHIFT;
        let rest = x - whole * LN_2[0] - whole * LN_2[1];
        let series = [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
        let power = series.into_iter().fold(0.0, |sum, term| sum * rest + term);
        f32::from_bits(power.to_bits().wrapping_add(shifted.to_bits() << 23))
    }

    /// `ln(1 + e) = 2 artanh(e / (2 + e))`, whose argument is at most 1/3: seven terms of its series.
    fn softplus(self) -> Self {
        let e = Real::exp(-self.abs());
        let s = e / (2.0 + e);
        let series = [1.0 / 15.0, 1.0 / 13.0, 1.0 / 11.0, 1.0 / 9.0, 1.0 / 7.0, 1.0 / 5.0, 1.0 / 3.0, 1.0];
        let artanh = s * series.into_iter().fold(0.0, |sum, term| sum * (s * s) + term);
        self.max(0.0) + 2.0 * artanh
    }

    fn sqrt(self) -> Self {
        libm::sqrtf(self)
    }
}

/// The sum of `value(0..len)`, by eight partial sums that vector code can hold.
pub fn sum<T: Real>(len: usize, value: impl Fn(usize) -> T) -> T {
    const PARTS: usize = 8;
    let mut parts = [T::ZERO; PARTS];
    for first in (0..len / PARTS * PARTS).step_by(PARTS) {
        (0..PARTS).for_each(|i| parts[i] += value(first + i));
    }
    (len / PARTS * PARTS..len).for_each(|i| parts[i % PARTS] += value(i));
    parts.into_iter().fold(T::ZERO, |sum, part| sum + part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f32_functions_are_those_of_f64() {
        for i in -8700..=8800 {
            let x = i as f32 / 100.0;
            let check = |name: &str, found: f32, expected: f64, tolerance: f64| {
                let error = (f64::from(found) - expected).abs() / expected;
                assert!(error < tolerance, "{name}({x}): {found} for {expected}");
            };
            let wide = f64::from(x);
            check("exp", Real::exp(x), libm::exp(wide), 2e-7);
            check("softplus", x.softplus(), wide.softplus(), 4e-7);
            check("sigmoid", x.sigmoid(), wide.sigmoid(), 4e-7);
        }
        assert!(Real::exp(f32::NAN).is_nan() && f32::NAN.sigmoid().is_nan());
    }
}
