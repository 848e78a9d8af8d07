//! One variant on one strand: where its windows begin, and what stands in them.

use std::ops::Range;

use unspool_model::dna;

use super::ScoreOptions;

/// A variant: a place of a contig where other bases may stand.
#[derive(Clone, Copy, Debug)]
pub struct Variant<'a> {
    /// The reference allele's first base, 0-based.
    pub position: u64,
    /// The bases that the contig has there.
    pub reference: &'a [u8],
    /// The bases that may stand there instead.
    pub alternative: &'a [u8],
}

/// A direction of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Strand {
    /// As the contig is written.
    Forward,
    /// The complement, from the contig's end to its start.
    Reverse,
}

/// What a score on one strand compares, in the strand's own direction and coordinates (0-based from the contig's start, or
/// on the reverse strand from its end).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The strand's coordinate of the tile's first base: where the context begins.
    pub start: usize,
    /// Bases of context: the windows begin this far from `start`.
    pub context: usize,
    /// Bases of each window.
    pub len: usize,
    /// The alternative's window, as tokens.
    pub alternative: Vec<u32>,
}

impl Variant<'_> {
    /// Checks the variant against its contig.
    ///
    /// # Errors
    /// With the reason why it cannot be scored.
    pub fn check(&self, contig: &[u8], options: &ScoreOptions) -> Result<(), String> {
        let (reference, alternative) = (alleles(self.reference)?, alleles(self.alternative)?);
        let longest = reference.len().max(alternative.len());
        if longest > options.tile {
            return Err(format!("an allele of {longest} bases: at most {} are scored", options.tile));
        }
        let end = self.position.saturating_add(reference.len() as u64);
        let Some(found) = self.range().and_then(|range| contig.get(range)) else {
            return Err(format!("it ends at base {end}, and the contig has {}", contig.len()));
        };
        let known = dna::tokens(found).map_err(|bad| format!("the contig has there: {bad}"))?;
        if known != reference {
            let shown = |bases: &[u8]| String::from_utf8_lossy(&bases[..bases.len().min(40)]).into_owned();
            return Err(format!(
                "REF is {}, but the reference has {} there: is it another assembly?",
                shown(self.reference),
                shown(found)
            ));
        }
        if reference == alternative {
            return Err("the alternative is the reference allele".into());
        }
        Ok(())
    }

    /// The reference allele's place in the contig.
    fn range(&self) -> Option<Range<usize>> {
        let start = usize::try_from(self.position).ok()?;
        Some(start..start.checked_add(self.reference.len())?)
    }

    /// What is compared on a strand of a contig that the variant was checked against.
    ///
    /// # Errors
    /// When nothing is left to compare (a deletion up to the contig's end), or the contig has what is no base there.
    pub fn window(&self, contig: &[u8], strand: Strand, options: &ScoreOptions) -> Result<Window, String> {
        let (mut reference, mut alternative) = (alleles(self.reference)?, alleles(self.alternative)?);
        let range = self.range().filter(|range| range.end <= contig.len()).ok_or("it is not within the contig")?;
        // The strand's coordinate of the allele's first base.
        let first = match strand {
            Strand::Forward => range.start,
            Strand::Reverse => contig.len() - range.end,
        };
        if strand == Strand::Reverse {
            dna::reverse_complement(&mut reference);
            dna::reverse_complement(&mut alternative);
        }
        let shared = reference.iter().zip(&alternative).take_while(|(a, b)| a == b).count();
        let (fork, after) = (first + shared, first + reference.len());
        let start = tile_start(fork, contig.len(), strand, options.tile);
        let alternative = &alternative[shared..];
        // As many bases of the one as of the other.
        let of_alternative = alternative.len() + (contig.len() - after);
        let len = options.window.min(contig.len() - fork).min(of_alternative);
        if len == 0 {
            return Err("nothing is left to compare at the contig's end".into());
        }
        let mut window = alternative[..alternative.len().min(len)].to_vec();
        window.extend(strand_tokens(contig, after..after + (len - window.len()), strand)?);
        Ok(Window { start, context: fork - start, len, alternative: window })
    }
}

/// An allele's tokens; only bases that are known can be compared.
fn alleles(allele: &[u8]) -> Result<Vec<u32>, String> {
    let shown = || String::from_utf8_lossy(&allele[..allele.len().min(40)]).into_owned();
    let tokens = dna::tokens(allele).map_err(|_| format!("'{}' is no sequence of bases: it has no score", shown()))?;
    if tokens.is_empty() || tokens.iter().any(|token| dna::base(*token).is_none()) {
        return Err(format!("'{}' has bases that are not known: it has no score", shown()));
    }
    Ok(tokens)
}

/// Where the tile begins whose context a window has that begins at `fork`: the last boundary before it.
///
/// Boundaries are multiples of `tile` in the contig's own coordinates, on both strands, and the strand's first base.
fn tile_start(fork: usize, length: usize, strand: Strand, tile: usize) -> usize {
    let before = fork.saturating_sub(1);
    match strand {
        Strand::Forward => before / tile * tile,
        // The last base of context, in the contig's coordinates, is `length - 1 - before`; its tile ends at the boundary.
        Strand::Reverse => {
            let last = length - 1 - before.min(length - 1);
            length - ((last / tile + 1) * tile).min(length)
        }
    }
}

/// Tokens of a range of a strand.
///
/// # Errors
/// When one is no base.
pub(super) fn strand_tokens(contig: &[u8], range: Range<usize>, strand: Strand) -> Result<Vec<u32>, String> {
    let bases = match strand {
        Strand::Forward => &contig[range],
        Strand::Reverse => &contig[contig.len() - range.end..contig.len() - range.start],
    };
    let mut tokens = dna::tokens(bases).map_err(|bad| format!("the contig has near it: {bad}"))?;
    if strand == Strand::Reverse {
        dna::reverse_complement(&mut tokens);
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTIG: &[u8] = b"ACGTTGCAACGTNACGGT";

    fn options() -> ScoreOptions {
        ScoreOptions { tile: 8, window: 4, pack_tokens: 100 }
    }

    fn text(tokens: &[u32]) -> String {
        tokens.iter().map(|token| dna::base(*token).map_or('N', |base| char::from(dna::BASES[base]))).collect()
    }

    /// A variant `POS REF ALT` (1-based) and what each strand compares: `start context alternative`.
    #[test]
    fn windows_of_both_strands() {
        let cases = [
            // SNVs: in a tile, at a boundary (the tile before is its context), at both ends of the contig.
            ("6 G A", "0 5 ACAA", "10 2 TAAC"),
            ("9 A G", "0 8 GCGT", "2 7 CTGC"),
            ("10 C T", "8 1 TGTN", "2 6 ATTG"),
            ("1 A G", "0 0 GCGT", "10 7 C"),
            ("18 T C", "16 1 C", "0 0 GCCG"),
            // A deletion: what both alleles begin with is context; windows are of the same length.
            ("5 TG T", "0 5 CAAC", "10 2 AACG"),
            ("3 GTTG G", "0 3 CAAC", "10 3 GT"),
            ("3 GTT GA", "0 3 AGCA", "10 3 TCGT"),
            // An insertion.
            ("5 T TAC", "0 5 ACGC", "10 3 GTAA"),
            // At the contig's ends.
            ("16 GGT G", "nothing is left to compare at the contig's end", "0 0 CGTN"),
        ];
        for (variant, forward, reverse) in cases {
            let fields: Vec<&str> = variant.split(' ').collect();
            let position = fields[0].parse::<u64>().unwrap() - 1;
            let variant = Variant { position, reference: fields[1].as_bytes(), alternative: fields[2].as_bytes() };
            variant.check(CONTIG, &options()).unwrap();
            for (strand, expected) in [(Strand::Forward, forward), (Strand::Reverse, reverse)] {
                let found = match variant.window(CONTIG, strand, &options()) {
                    Ok(window) => {
                        assert_eq!(window.len, window.alternative.len());
                        format!("{} {} {}", window.start, window.context, text(&window.alternative))
                    }
                    Err(reason) => reason,
                };
                assert_eq!(found, expected, "{variant:?} {strand:?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_scored_is_said() {
        let cases: [(u64, &[u8], &[u8], &str); 8] = [
            (0, b"G", b"A", "REF is G, but the reference has A there"),
            (17, b"TA", b"T", "it ends at base 19, and the contig has 18"),
            (u64::MAX, b"TA", b"T", "the contig has 18"),
            (0, b"A", b"a", "the alternative is the reference allele"),
            (0, b"A", b"N", "'N' has bases that are not known"),
            (0, b"A", b"<DEL>", "'<DEL>' is no sequence of bases"),
            (0, b"A", b"*", "'*' is no sequence of bases"),
            (0, b"A", b"AAAAAAAAA", "an allele of 9 bases: at most 8"),
        ];
        for (position, reference, alternative, expected) in cases {
            let reason = Variant { position, reference, alternative }.check(CONTIG, &options()).unwrap_err();
            assert!(reason.contains(expected), "{reason}");
        }
    }
}
