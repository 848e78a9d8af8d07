//! What the encoder is told of a patch.

use super::scaling::Scale;

/// Writes a patch's features: P values against mean and deviation, P against anchor and step (both through asinh, 0 where
/// missing), P observed marks, then how mean, deviation, step and anchor stand to the step and to the patch before.
///
/// `values`: `[P]` in units, NaN where missing. Source: the prototype's `reference.py`.
pub(super) fn write(values: &[f64], [now, before]: &[Scale; 2], features: &mut Vec<f32>) {
    let against = |middle: f64, width: f64| {
        move |v: &f64| if v.is_nan() { 0.0 } else { libm::asinh((v - middle) / width) as f32 }
    };
    features.extend(values.iter().map(against(now.mean, now.deviation)));
    features.extend(values.iter().map(against(now.anchor, now.step)));
    features.extend(values.iter().map(|v| f32::from(u8::from(!v.is_nan()))));
    features.push(libm::asinh((now.mean - now.anchor) / now.step) as f32);
    features.push(libm::log(now.deviation / now.step).clamp(-6.0, 6.0) as f32);
    features.push(libm::log(now.step / before.step).clamp(-5.0, 5.0) as f32);
    features.push(libm::asinh((now.anchor - before.anchor) / now.step) as f32);
}

/// Features of a patch of P values.
pub(super) const fn count(patch: usize) -> usize {
    3 * patch + 4
}
