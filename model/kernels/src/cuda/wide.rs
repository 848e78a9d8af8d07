//! Rounding on the host.

/// To bfloat16, to the nearest, ties to even; its bits.
#[must_use]
pub(super) fn to_bf16(values: &[f32]) -> Vec<u16> {
    values.iter().map(|value| half::bf16::from_f32(*value).to_bits()).collect()
}
