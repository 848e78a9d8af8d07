//! Telling the formats apart by their first bytes.

use std::path::Path;

/// A format of reads or contigs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFormat {
    /// Sequences with names.
    Fasta,
    /// Sequences with qualities (Phred + 33).
    Fastq,
    /// Alignments as text.
    Sam,
    /// Alignments, binary.
    Bam,
    /// Alignments, as differences from a reference.
    Cram,
}

/// The format of a file by its first bytes after decompression; `None` when it is none of them.
#[must_use]
pub fn sniff(first: &[u8]) -> Option<ReadFormat> {
    if first.starts_with(b"BAM\x01") {
        return Some(ReadFormat::Bam);
    }
    if first.starts_with(b"CRAM") {
        return Some(ReadFormat::Cram);
    }
    let blank = first.iter().take_while(|b| matches!(b, b'\n' | b'\r')).count();
    let text = &first[blank..];
    match text {
        [b'>', ..] => Some(ReadFormat::Fasta),
        [b'@', a, b, b'\t' | b'\n' | b'\r', ..] if is_header_type([*a, *b]) => Some(ReadFormat::Sam),
        [b'@', ..] => Some(ReadFormat::Fastq),
        _ if is_alignment_line(text) => Some(ReadFormat::Sam),
        _ => None,
    }
}

/// The format that a file's name promises: the only way for empty files.
pub(crate) fn by_name(path: &Path) -> Option<ReadFormat> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let name = [".gz", ".bgz", ".bgzf"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
    match name.rsplit_once('.')?.1 {
        "fa" | "fasta" | "fna" | "ffn" | "fas" => Some(ReadFormat::Fasta),
        "fq" | "fastq" => Some(ReadFormat::Fastq),
        "sam" => Some(ReadFormat::Sam),
        "bam" => Some(ReadFormat::Bam),
        "cram" => Some(ReadFormat::Cram),
        _ => None,
    }
}

/// Whether a SAM header line may begin with `@` and these two letters.
fn is_header_type(letters: [u8; 2]) -> bool {
    matches!(&letters, b"HD" | b"SQ" | b"RG" | b"PG" | b"CO")
}

/// Whether the first line has a SAM record's columns, with numbers where it has numbers.
fn is_alignment_line(text: &[u8]) -> bool {
    let line = text.split(|&b| b == b'\n').next().unwrap_or_default();
    let columns: Vec<&[u8]> = line.split(|&b| b == b'\t').take(11).collect();
    let is_number = |c: &[u8]| !c.is_empty() && c.iter().all(u8::is_ascii_digit);
    columns.len() == 11 && [1, 3, 4, 7].iter().all(|&i| is_number(columns[i]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_by_their_first_bytes() {
        let cases: &[(&[u8], Option<ReadFormat>)] = &[
            (b"BAM\x01\0\0", Some(ReadFormat::Bam)),
            (b">chr1 a description\nACGT\n", Some(ReadFormat::Fasta)),
            (b"\r\n>chr1\n", Some(ReadFormat::Fasta)),
            (b"@read1\nACGT\n+\nIIII\n", Some(ReadFormat::Fastq)),
            (b"@SQR read\nACGT\n+\nIIII\n", Some(ReadFormat::Fastq)),
            (b"@SQ\tSN:a\tLN:1\n", Some(ReadFormat::Sam)),
            (b"@CO\tfree\n", Some(ReadFormat::Sam)),
            (b"r\t4\t*\t0\t0\t*\t*\t0\t0\tACGT\tIIII\n", Some(ReadFormat::Sam)),
            (b"id,time,value\n", None),
            (b"PAR1", None),
            (b"CRAM\x03\0", Some(ReadFormat::Cram)),
            (b"", None),
        ];
        for (first, expected) in cases {
            assert_eq!(sniff(first), *expected, "{}", String::from_utf8_lossy(first));
        }
    }
}
