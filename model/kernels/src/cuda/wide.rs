//! Rounding on the host.

/// To bfloat16, to the nearest, ties to even; its bits.
#[must_use]
pub(super) fn to_bf16(values: &[f32]) -> Vec<u16> {
    values.iter().map(|value| rounded(*value)).collect()
}

fn rounded(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_even_and_nan_stays() {
        let check = |bits: u32, expected: u16| assert_eq!(rounded(f32::from_bits(bits)), expected, "{bits:x}");
        check(0x3f80_0000, 0x3f80);
        check(0x3f80_8000, 0x3f80);
        check(0x3f81_8000, 0x3f82);
        check(0x3f80_8001, 0x3f81);
        check(0xbf80_7fff, 0xbf80);
        check(0x7f7f_ffff, 0x7f80);
        check(0x7f80_0001, 0x7fc0);
        check(0x8000_0000, 0x8000);
    }
}
