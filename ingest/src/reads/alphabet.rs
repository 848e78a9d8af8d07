//! Which bytes may stand in sequences and qualities.

/// Checks that text holds bases only.
///
/// # Errors
/// With the first other byte.
pub(super) fn check_bases(text: &[u8]) -> Result<(), String> {
    text.get(leading(text, is_base)).map_or(Ok(()), |&byte| Err(bad_base(byte)))
}

/// Checks that text holds quality characters only, `!` to `~`.
///
/// # Errors
/// With the first other byte.
pub(super) fn check_scores(text: &[u8]) -> Result<(), String> {
    match text.get(leading(text, |byte| (b'!'..=b'~').contains(&byte))) {
        None => Ok(()),
        Some(&byte) => Err(bad(byte, "among the qualities")),
    }
}

/// What is wrong with a byte that is no base.
pub(super) fn bad_base(byte: u8) -> String {
    bad(byte, "in the sequence")
}

/// What is wrong with a byte that may not stand somewhere.
pub(super) fn bad(byte: u8, place: &str) -> String {
    format!("byte {byte:#04x} ('{}') {place}", char::from(byte).escape_default())
}

/// Whether a byte may stand in a sequence: a letter, or `*`, `-`, `.`. What it means is for the alphabet to say.
pub(super) fn is_base(byte: u8) -> bool {
    (byte | 0x20).wrapping_sub(b'a') < 26 || byte == b'*' || byte == b'-' || byte == b'.'
}

/// How many bytes that pass a test text begins with.
///
/// Whole blocks are tested without a branch a byte: the compiler makes vector code of it.
pub(super) fn leading(text: &[u8], test: impl Fn(u8) -> bool) -> usize {
    let mut known = 0;
    for block in text.chunks(64) {
        if !block.iter().fold(true, |all, &byte| all & test(byte)) {
            break;
        }
        known += block.len();
    }
    known + text[known..].iter().take_while(|&&byte| test(byte)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases_end_at_the_first_other_byte() {
        for (text, expected) in [("ACGT", 4), ("acgtN*-.", 8), ("AC GT", 2), ("", 0), (">", 0), ("ACGT\r", 4)] {
            assert_eq!(leading(text.as_bytes(), is_base), expected, "{text:?}");
        }
        let mut long = vec![b'A'; 200];
        assert_eq!(leading(&long, is_base), 200);
        long[130] = b'1';
        assert_eq!(leading(&long, is_base), 130);
        assert_eq!(check_bases(&long), Err("byte 0x31 ('1') in the sequence".into()));
    }
}
