//! One record of variants, whatever its format, and what may stand in it.

use super::info::Value;

/// A record as its format's reader shows it.
#[derive(Debug)]
pub(super) struct Site<'a> {
    pub(super) contig: &'a str,
    /// 0-based; `None`: the telomere before the first base (POS 0).
    pub(super) position: Option<u64>,
    pub(super) id: Option<&'a str>,
    pub(super) reference: &'a str,
    pub(super) alternatives: Vec<&'a str>,
    pub(super) quality: Option<f32>,
    /// `None`: no filter was applied.
    pub(super) filters: Option<Vec<&'a str>>,
    /// A value for each field asked for.
    pub(super) info: Vec<Value>,
}

/// Checks a contig's name: printable ASCII without commas, quotes, backslashes and brackets (VCF specification, 1.4.7), or
/// such a name in `<>` (of an assembly file).
///
/// # Errors
/// When it is none.
pub(super) fn check_contig(name: &str) -> Result<(), String> {
    let inner = name.strip_prefix('<').and_then(|name| name.strip_suffix('>')).unwrap_or(name);
    let fits = |b: u8| b.is_ascii_graphic() && !b"\\,\"`'()[]{}<>".contains(&b);
    if !inner.is_empty() && inner.bytes().all(fits) && !inner.starts_with(['*', '=']) {
        return Ok(());
    }
    Err(format!("'{}' is no name of a contig", shown(name)))
}

/// Checks a reference allele.
///
/// # Errors
/// When it is empty or holds a letter that is no base.
pub(super) fn check_reference(allele: &str) -> Result<(), String> {
    if is_bases(allele) {
        return Ok(());
    }
    Err(format!("the reference allele '{}' is no sequence of bases", shown(allele)))
}

/// Checks an alternative allele: bases, `*`, `<ID>`, or a breakend.
///
/// # Errors
/// When it is none of them.
pub(super) fn check_alternative(allele: &str) -> Result<(), String> {
    let symbolic = || allele.len() > 2 && allele.starts_with('<') && allele.ends_with('>');
    let joined = || allele.contains(['[', ']']);
    let single = || {
        let bases = allele.strip_prefix('.').or_else(|| allele.strip_suffix('.'));
        bases.is_some_and(is_bases)
    };
    if is_bases(allele) || allele == "*" || symbolic() || joined() || single() {
        return Ok(());
    }
    Err(format!("'{}' is no alternative allele: neither bases, `*`, `<ID>` nor a breakend", shown(allele)))
}

/// Whether text is bases, with IUPAC ambiguity codes, in any case.
fn is_bases(text: &str) -> bool {
    let known = |b: u8| b"ACGTUNRYSWKMBDHV".contains(&b.to_ascii_uppercase());
    !text.is_empty() && text.bytes().all(known)
}

/// Text that a message can hold.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 40;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", text[..end].escape_debug()),
        None => text.escape_debug().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contigs() {
        for good in ["1", "chr1", "<1>", "HLA-A*01:01", "a|b", "1ABC"] {
            assert_eq!(check_contig(good), Ok(()), "{good}");
        }
        for bad in ["", "<1", "1>", "chr,1", "<>", "*", "=a", "chr 1", "a(b)", "chré"] {
            assert!(check_contig(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn alleles() {
        for good in
            ["A", "acgtn", "RYK", "*", "<DEL>", "<DUP:TANDEM>", "G]17:198982]", "]13:123456]T", "G.", ".A", "C<x[1["]
        {
            assert_eq!(check_alternative(good), Ok(()), "{good}");
        }
        for bad in ["", "A-", "<DEL", "<>", ".", "A B", "1", "é"] {
            assert!(check_alternative(bad).is_err(), "{bad}");
        }
        assert_eq!(check_reference("ACGTNR"), Ok(()));
        for bad in ["", "*", "<A>", "A.", "."] {
            assert!(check_reference(bad).is_err(), "{bad}");
        }
        assert_eq!(shown(&"é".repeat(50)), format!("{}...", "é".repeat(40)));
    }
}
