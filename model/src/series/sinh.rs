//! sinh, of many values at once: half of the host's time of a thousand forecasts went into one by one.
//!
//! Without branches, so that the compiler makes vector code of it; of plain IEEE operations in one order, so that every machine
//! and every width of vectors gives the same bits.

/// Largest magnitude; beyond it the result is that of this one, 4e307.
const LARGEST: f64 = 709.0;
/// Adding it rounds to a whole number, which then stands in the lowest bits.
const ROUND: f64 = 6_755_399_441_055_744.0; // 1.5 * 2^52
/// ln 2 in two parts, the first of so few bits that its products with whole numbers are exact.
const LN2: (f64, f64) = (6.931_471_803_691_238e-1, 1.908_214_929_270_587_7e-10);

/// sinh(x), within 4 units in the last place.
///
/// With y = |x| = k ln 2 + r, |r| <= ln 2 / 2: e^y - 1 = 2^k (e^r - 1) + (2^k - 1), by a Taylor polynomial in r; and sinh(y) is half of
/// t + t / (t + 1) for t = e^y - 1, which loses nothing near 0.
#[inline]
pub(super) fn sinh(x: f64) -> f64 {
    let y = x.abs().clamp(0.0, LARGEST);
    let rounded = y * std::f64::consts::LOG2_E + ROUND;
    let k = rounded - ROUND;
    let r = (y - k * LN2.0) - k * LN2.1;
    // e^r - 1 = r + r^2 (1/2! + r/3! + .. + r^11/13!)
    let mut sum = 1.0 / 6_227_020_800.0;
    for divisor in
        [479_001_600.0, 39_916_800.0, 3_628_800.0, 362_880.0, 40_320.0, 5_040.0, 720.0, 120.0, 24.0, 6.0, 2.0]
    {
        sum = sum * r + 1.0 / divisor;
    }
    let grown = r + r * r * sum;
    let scale = f64::from_bits(rounded.to_bits().wrapping_add(1023) << 52); // 2^k
    let t = scale * grown + (scale - 1.0);
    (0.5 * (t + t / (t + 1.0))).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_sinh() {
        let check = |x: f64| {
            let (found, expected) = (sinh(x), libm::sinh(x));
            assert!((found - expected).abs() <= 1e-15 * expected.abs(), "{x}: {found:e} for {expected:e}");
            assert_eq!(sinh(-x).to_bits(), (-found).to_bits());
        };
        (0..=70_900).for_each(|i| check(f64::from(i) / 100.0));
        (0..3000).for_each(|i| check(0.99f64.powi(i)));
        (1..1000).for_each(|i| check(f64::from(i) * std::f64::consts::LN_2 / 2.0));
        assert_eq!(sinh(0.0).to_bits(), 0);
        assert_eq!(sinh(-0.0).to_bits(), (-0.0f64).to_bits());
        assert!(sinh(f64::NAN).is_nan());
        assert!(sinh(1e300) == sinh(709.0) && sinh(f64::INFINITY).is_finite() && sinh(f64::NEG_INFINITY) < -1e307);
    }
}
