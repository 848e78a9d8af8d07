//! Files cut at any byte: clean rows and an error, never a panic, never fewer rows without a word.

use unspool_ingest::reads::{ReadFormat, ReadOptions};

use super::{Outcome, read};
use crate::samples::{Sample, bgzip, data, gzip};

/// Reads a file cut after `length` bytes.
fn cut(sample: &Sample, bytes: &[u8], length: usize, format: ReadFormat) -> Outcome {
    std::fs::write(sample.path(), &bytes[..length]).unwrap();
    read(&sample.path(), &ReadOptions { format: Some(format), bgzf_workers: length % 2, ..ReadOptions::default() })
}

/// Cuts a file at every `step`th byte. The rows must be the first ones of the whole file's, and where `told` says that
/// cuts can be told, something must be said.
fn check(name: &str, bytes: &[u8], step: usize, format: ReadFormat, told: impl Fn(usize) -> bool) {
    let sample = Sample::new(name, bytes);
    let whole = cut(&sample, bytes, bytes.len(), format).clean();
    for length in (0..bytes.len()).step_by(step) {
        let outcome = cut(&sample, bytes, length, format);
        assert!(!told(length) || outcome.is_refused(), "{name}: a cut after {length} bytes was not noticed");
        let rows = outcome.rows.num_rows();
        // A text that ends early may end with a shorter last row.
        let sure = if told(length) { rows } else { rows.saturating_sub(1) };
        assert!(rows <= whole.num_rows() && outcome.rows.slice(0, sure) == whole.slice(0, sure), "{name}: {length}");
    }
}

const FASTA: &[u8] = b">a first\nACGTACGTAC\nGTN\n>b\n>c\nACGTNNNN\nRYK\n";
const FASTQ: &[u8] = b"@a x\nACGTACGTACGT\n+\nIIIIIIIIIIII\n@b\nACGTAC\n+b\n@@@+++\n@c\nACGTN\n+\n!!~~I\n";
const SAM: &[u8] = b"@SQ\tSN:r\tLN:100\na\t0\tr\t1\t60\t8M\t*\t0\t0\tACGTACGT\tIIIIIIII\tNM:i:0\n\
    b\t4\t*\t0\t0\t*\t*\t0\t0\tACGT\tIIII\n";

#[test]
fn compressed_text() {
    for (name, text, format) in
        [("x.fa", FASTA, ReadFormat::Fasta), ("x.fq", FASTQ, ReadFormat::Fastq), ("x.sam", SAM, ReadFormat::Sam)]
    {
        let (first, second) = text.split_at(text.len() / 2);
        let members = [gzip(first), gzip(second)];
        let border = members[0].len();
        // An empty file is a valid one. Nothing tells a whole gzip member from one whose successors are lost.
        check(name, &members.concat(), 1, format, |length| length > 1 && length != border);
        check(name, &bgzip(text, 16), 1, format, |length| length > 1);
    }
}

#[test]
fn plain_text() {
    // Nothing tells that lines are missing; a line cut within is a shorter one.
    for (name, text, format) in
        [("x.fa", FASTA, ReadFormat::Fasta), ("x.fq", FASTQ, ReadFormat::Fastq), ("x.sam", SAM, ReadFormat::Sam)]
    {
        check(name, text, 1, format, |_| false);
    }
    let sample = Sample::new("x.fq", FASTQ);
    let borders = [0, 33, 53, 70];
    let cuts = (0..FASTQ.len()).filter(|n| !cut(&sample, FASTQ, *n, ReadFormat::Fastq).is_refused());
    // A record may lack the end of its last line.
    let silent: Vec<_> = cuts.filter(|n| !borders.iter().any(|b| n == b || n + 1 == *b)).collect();
    assert!(silent.is_empty(), "cuts after {silent:?} bytes were not noticed");
}

#[test]
fn bam() {
    let files =
        [("bam/mosdepth/overlapping-pairs.bam", 1), ("bam/mosdepth/ovl.bam", 1), ("bam/biopython/bam1.bam", 97)];
    for (path, step) in files {
        let Some(path) = data(&format!("genomics/{path}")) else { return };
        check("x.bam", &std::fs::read(path).unwrap(), step, ReadFormat::Bam, |_| true);
    }
}

#[test]
fn an_error_names_the_block() {
    let Some(path) = data("genomics/bam/biopython/ex1.bam") else { return };
    let bytes = std::fs::read(path).unwrap();
    let end = bytes.len() - 28;
    let second = u64::from(u16::from_le_bytes([bytes[16], bytes[17]])) + 1;
    let mut damaged = bytes.clone();
    damaged[second as usize + 100] ^= 0xff;
    let cases = [
        (bytes[..end].to_vec(), end as u64, "end-of-file block is missing"),
        (bytes[..end + 5].to_vec(), end as u64, "cut short"),
        (bytes[..second as usize + 5000].to_vec(), second, "cut short"),
        (damaged, second, "damaged"),
    ];
    for (bytes, block, expected) in cases {
        for bgzf_workers in [0, 1, 3] {
            let sample = Sample::new("x.bam", &bytes);
            let outcome = read(&sample.path(), &ReadOptions { bgzf_workers, ..ReadOptions::default() });
            let error = outcome.error.unwrap().to_string();
            assert!(error.contains(&format!("block at byte {block}, offset 0")) && error.contains(expected), "{error}");
        }
    }
}

/// What reading bytes from a pipe gives.
#[cfg(unix)]
fn piped(bytes: &[u8]) -> Outcome {
    let sample = Sample::new("unused", b"");
    let path = sample.path().with_file_name("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let (to, bytes) = (path.clone(), bytes.to_vec());
    // A reader that stops early closes the pipe: what is then left unwritten is no matter.
    let writer = std::thread::spawn(move || std::fs::write(to, bytes).is_ok());
    let outcome = read(&path, &ReadOptions { format: Some(ReadFormat::Fastq), ..ReadOptions::default() });
    writer.join().unwrap();
    outcome
}

#[cfg(unix)]
#[test]
fn pipes() {
    let whole = bgzip(FASTQ, 16);
    for bytes in [FASTQ.to_vec(), gzip(FASTQ), whole.clone()] {
        assert_eq!(piped(&bytes).clean().num_rows(), 3);
    }
    for length in [20, whole.len() / 2, whole.len() - 28, whole.len() - 20, whole.len() - 1] {
        assert!(piped(&whole[..length]).error.unwrap().to_string().contains("virtual position"), "{length}");
    }
}

#[test]
fn any_byte_may_be_wrong() {
    let Some(path) = data("genomics/bam/mosdepth/ovl.bam") else { return };
    let mut plain = vec![];
    std::io::Read::read_to_end(&mut noodles::bgzf::io::Reader::new(std::fs::File::open(&path).unwrap()), &mut plain)
        .unwrap();
    for (name, bytes, step, format) in [
        ("x.bam", &plain[..], 5, ReadFormat::Bam),
        ("x.sam", SAM, 1, ReadFormat::Sam),
        ("x.fq", FASTQ, 1, ReadFormat::Fastq),
        ("x.fa", FASTA, 1, ReadFormat::Fasta),
    ] {
        let sample = Sample::new(name, bytes);
        for at in (0..bytes.len()).step_by(step) {
            for value in [0, b'\n', b'@', b'>', 0xff] {
                let mut bytes = bytes.to_vec();
                bytes[at] = value;
                // Whatever it means now, it is read or refused.
                std::fs::write(sample.path(), bytes).unwrap();
                read(&sample.path(), &ReadOptions { format: Some(format), ..ReadOptions::default() });
            }
        }
    }
}
