//! The DNA alphabet: one token a base.
//!
//! The vocabulary of the published character-level DNA models (HyenaDNA, Caduceus): `[CLS]` 0, `[SEP]` 1, `[BOS]` 2,
//! `[MASK]` 3, `[PAD]` 4, `[RESERVED]` 5, `[UNK]` 6, A 7, C 8, G 9, T 10, N 11; rows 12 to 15 are padding.
//! Case is folded, U reads as T, the IUPAC ambiguity codes read as N. Nothing is dropped: a sequence has as many tokens
//! as bases, and runs of N keep their length.

/// Rows of the embedding of a DNA model.
pub const VOCAB: usize = 16;

/// The bases, in the order of their tokens.
pub const BASES: [u8; 4] = *b"ACGT";
/// The token of the first of [`BASES`]; the others follow it.
pub(crate) const FIRST_BASE: usize = 7;
/// The token that a classifier speaks after: `[CLS]`.
pub const CLS: u32 = 0;
/// The token of a base that stands for any other.
pub(crate) const N: u8 = 11;
/// Bases that are looked at together.
const RUN: usize = 1024;
/// Not a base.
const NONE: u8 = u8::MAX;

/// Byte → token, or `NONE`.
const TABLE: [u8; 256] = {
    let mut table = [NONE; 256];
    let codes: [(&[u8], u8); 5] = [(b"A", 7), (b"C", 8), (b"G", 9), (b"TU", 10), (b"NRYSWKMBDHV", N)];
    let mut c = 0;
    while c < codes.len() {
        let mut i = 0;
        while i < codes[c].0.len() {
            table[codes[c].0[i] as usize] = codes[c].1;
            table[codes[c].0[i].to_ascii_lowercase() as usize] = codes[c].1;
            i += 1;
        }
        c += 1;
    }
    table
};

/// A byte that is no base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{}' at base {at} is no base (A C G T U N or an IUPAC ambiguity code)", .byte.escape_ascii())]
pub struct BadBase {
    /// Its place in the sequence, 0-based.
    pub at: usize,
    /// The byte.
    pub byte: u8,
}

/// Bases → tokens, one for one.
///
/// # Errors
/// At the first byte that is no base: gaps (`-`, `.`, `*`) and amino acids are refused rather than guessed at.
pub fn tokens(bases: &[u8]) -> Result<Vec<u32>, BadBase> {
    let tokens: Vec<u32> = bases.iter().map(|&byte| u32::from(TABLE[byte as usize])).collect();
    // All at once, so that no base is waited for.
    match tokens.iter().fold(0, |most, token| most.max(*token)) == u32::from(NONE) {
        true => check(bases).map(|()| tokens),
        false => Ok(tokens),
    }
}

/// The place of a token among [`BASES`]; `None` of any other token.
#[must_use]
pub fn base(token: u32) -> Option<usize> {
    (token as usize).checked_sub(FIRST_BASE).filter(|&base| base < BASES.len())
}

/// ln p of each of [`BASES`] before a sequence's first one: all four the same.
#[must_use]
pub fn no_context() -> [f64; 4] {
    [-libm::log(4.0); 4]
}

/// The same tokens as the other strand has them, read in its direction: complements in reverse order.
pub fn reverse_complement(tokens: &mut [u32]) {
    tokens.reverse();
    let (first, last) = (FIRST_BASE as u32, (FIRST_BASE + BASES.len() - 1) as u32);
    tokens.iter_mut().filter(|token| (first..=last).contains(token)).for_each(|token| *token = first + last - *token);
}

/// Looks at bases without making tokens of them.
///
/// # Errors
/// As [`tokens`].
pub fn check(bases: &[u8]) -> Result<(), BadBase> {
    // Run by run, so that no base is waited for.
    let is_none = |byte: &u8| TABLE[*byte as usize] == NONE;
    for (run, start) in bases.chunks(RUN).zip((0..).step_by(RUN)) {
        if run.iter().fold(false, |any, byte| any | is_none(byte)) {
            let at = start + run.iter().position(is_none).unwrap_or(0);
            return Err(BadBase { at, byte: bases[at] });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bases: &[u8], expected: Result<&[u32], BadBase>) {
        assert_eq!(super::check(bases), expected.map(|_| ()));
        assert_eq!(tokens(bases), expected.map(<[u32]>::to_vec), "{}", bases.escape_ascii());
    }

    #[test]
    fn bases_become_tokens_one_for_one() {
        check(b"", Ok(&[]));
        check(b"ACGTN", Ok(&[7, 8, 9, 10, 11]));
        check(b"acgtun", Ok(&[7, 8, 9, 10, 10, 11]));
        check(b"RYSWKMBDHVryswkmbdhv", Ok(&[11; 20]));
    }

    #[test]
    fn the_other_strand_is_read_backwards() {
        let mut strand = tokens(b"AACGNTG").unwrap();
        reverse_complement(&mut strand);
        assert_eq!(strand, tokens(b"CANCGTT").unwrap());
        assert_eq!(strand.iter().map(|&t| base(t)).collect::<Vec<_>>()[..4], [Some(1), Some(0), None, Some(1)]);
        assert_eq!(tokens(&BASES).unwrap().into_iter().map(base).collect::<Vec<_>>(), [0, 1, 2, 3].map(Some));
    }

    #[test]
    fn anything_else_is_named_with_its_place() {
        check(b"AC-T", Err(BadBase { at: 2, byte: b'-' }));
        check(b"ACGE", Err(BadBase { at: 3, byte: b'E' }));
        check(b"\n", Err(BadBase { at: 0, byte: b'\n' }));
        assert_eq!(
            BadBase { at: 2, byte: 0xff }.to_string(),
            "'\\xff' at base 2 is no base (A C G T U N or an IUPAC ambiguity code)"
        );
    }
}
