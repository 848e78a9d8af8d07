//! A look at an index before it is parsed: every count must fit what the file holds, so that a damaged one can neither
//! ask for absurd memory nor shift numbers out of their words.

/// Bytes of a chunk: two virtual positions.
const CHUNK_BYTES: usize = 16;
/// Bytes of an entry of BAI's linear index: a virtual position.
const INTERVAL_BYTES: usize = 8;

/// Levels of BAI's bins below the top one.
const BAI_DEPTH: i32 = 5;
/// The most levels that are taken: with bins of 2^14 bases they reach far beyond 2^31.
const MAX_DEPTH: i32 = 8;

/// Checks a BAI file's bytes (SAM specification, section 5.2).
///
/// # Errors
/// With what is wrong.
pub(super) fn check_bai(bytes: &[u8]) -> Result<(), String> {
    let mut rest = Rest(bytes);
    rest.magic(b"BAI\x01")?;
    let references = rest.count("references", 8)?;
    rest.linear(references)
}

/// Checks a TBI file's bytes, decompressed (tabix specification).
///
/// # Errors
/// With what is wrong.
pub(super) fn check_tbi(bytes: &[u8]) -> Result<(), String> {
    let mut rest = Rest(bytes);
    rest.magic(b"TBI\x01")?;
    let references = rest.count("references", 8)?;
    rest.skip("the columns", 6 * 4)?;
    let names = rest.count("bytes of names", 1)?;
    rest.skip("names", names)?;
    rest.linear(references)
}

/// Checks a CSI file's bytes, decompressed (CSI specification, version 1).
///
/// # Errors
/// With what is wrong.
pub(super) fn check_csi(bytes: &[u8]) -> Result<(), String> {
    let mut rest = Rest(bytes);
    rest.magic(b"CSI\x01")?;
    let (shift, depth) = (rest.number("the smallest bin's size")?, rest.number("the depth")?);
    if !(1..=32).contains(&shift) || !(0..=MAX_DEPTH).contains(&depth) {
        return Err(format!("bins of {shift} bits in {depth} levels cannot be"));
    }
    let auxiliary = rest.count("auxiliary bytes", 1)?;
    rest.skip("auxiliary bytes", auxiliary)?;
    for _ in 0..rest.count("references", 4)? {
        for _ in 0..rest.count("bins", 16)? {
            rest.bin(depth)?;
            rest.skip("a bin's offset", 8)?;
            let chunks = rest.count("chunks", CHUNK_BYTES)?;
            rest.skip("chunks", chunks * CHUNK_BYTES)?;
        }
    }
    Ok(())
}

/// The bytes not yet looked at.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn magic(&mut self, expected: &[u8; 4]) -> Result<(), String> {
        self.0 = self.0.strip_prefix(expected).ok_or("it does not begin as an index of its kind does")?;
        Ok(())
    }

    fn number(&mut self, what: &str) -> Result<i32, String> {
        let (four, rest) = self.0.split_first_chunk().ok_or_else(|| format!("it ends before {what}"))?;
        self.0 = rest;
        Ok(i32::from_le_bytes(*four))
    }

    /// A number of things that take at least so many bytes each.
    fn count(&mut self, what: &str, bytes_each: usize) -> Result<usize, String> {
        let number = self.number(&format!("the number of {what}"))?;
        match usize::try_from(number) {
            Ok(count) if count <= self.0.len() / bytes_each => Ok(count),
            _ => Err(format!("it cannot hold {number} {what} in {} bytes", self.0.len())),
        }
    }

    /// Bins and linear index of each reference, as BAI and TBI have them.
    fn linear(&mut self, references: usize) -> Result<(), String> {
        for _ in 0..references {
            for _ in 0..self.count("bins", 8)? {
                self.bin(BAI_DEPTH)?;
                let chunks = self.count("chunks", CHUNK_BYTES)?;
                self.skip("chunks", chunks * CHUNK_BYTES)?;
            }
            let intervals = self.count("intervals", INTERVAL_BYTES)?;
            self.skip("intervals", intervals * INTERVAL_BYTES)?;
        }
        Ok(())
    }

    /// A bin's number: one of the levels', or the one that holds counts of reads.
    fn bin(&mut self, depth: i32) -> Result<(), String> {
        let number = i64::from(self.number("a bin's number")?);
        let bins = ((1_i64 << (3 * (depth + 1))) - 1) / 7;
        if (0..bins).contains(&number) || number == bins + 1 {
            Ok(())
        } else {
            Err(format!("there is no bin {number}"))
        }
    }

    fn skip(&mut self, what: &str, bytes: usize) -> Result<(), String> {
        self.0 = self.0.get(bytes..).ok_or_else(|| format!("it ends within {what}"))?;
        Ok(())
    }
}
