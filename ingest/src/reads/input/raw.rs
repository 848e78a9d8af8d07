//! The bytes of a file as they are stored.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    path::Path,
};

use super::remote::{self, Remote};

/// The empty block that ends every BGZF file (SAM specification, section 4.1.2).
pub(super) const END_BLOCK: [u8; 28] = *b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0\x1b\0\x03\0\0\0\0\0\0\0\0\0";
/// Bytes read from the file at once.
pub(super) const BUFFER_BYTES: usize = 256 << 10;

/// A file that is read in large parts.
pub(super) type Raw = BufReader<Counted>;

/// Where the bytes lie.
pub(super) enum Stored {
    /// On a disk, or in a pipe.
    Here(File),
    /// In an object store or behind HTTP.
    Elsewhere(Box<Remote>),
}

impl Stored {
    /// Opens a file, or what a URL names. Also its size, where it is not a pipe's.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Option<u64>)> {
        if let Some(url) = remote::url(path) {
            let remote = Remote::open(url)?;
            let size = remote.size();
            return Ok((Self::Elsewhere(Box::new(remote)), Some(size)));
        }
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let size = metadata.is_file().then_some(metadata.len());
        Ok((Self::Here(file), size))
    }
}

impl Read for Stored {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Here(file) => file.read(buf),
            Self::Elsewhere(remote) => remote.read(buf),
        }
    }
}

impl Seek for Stored {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::Here(file) => file.seek(to),
            Self::Elsewhere(remote) => remote.seek(to),
        }
    }
}

/// A file, or a pipe, that knows how much of it was read and what came last.
pub(super) struct Counted {
    file: Stored,
    pub(super) bytes: u64,
    /// The last bytes read, zeros before them.
    pub(super) last: [u8; END_BLOCK.len()],
}

impl Read for Counted {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buf)?;
        self.bytes += n as u64;
        let kept = n.min(self.last.len());
        self.last.rotate_left(kept);
        let from = self.last.len() - kept;
        self.last[from..].copy_from_slice(&buf[n - kept..n]);
        Ok(n)
    }
}

impl Seek for Counted {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.bytes = self.file.seek(to)?;
        Ok(self.bytes)
    }
}

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Bgzf,
}

/// Looks at a file's first bytes, without going on.
pub(super) fn open(file: Stored) -> io::Result<(Raw, Compression)> {
    let mut raw = Raw::with_capacity(BUFFER_BYTES, Counted { file, bytes: 0, last: [0; END_BLOCK.len()] });
    let first = raw.fill_buf()?;
    let compression = if is_bgzf(first) {
        Compression::Bgzf
    } else if first.starts_with(&END_BLOCK[..2]) {
        Compression::Gzip
    } else {
        Compression::None
    };
    Ok((raw, compression))
}

/// Size and last bytes of a regular file, as they are now.
pub(super) fn end_of_file(path: &Path) -> io::Result<(u64, Vec<u8>)> {
    let (mut file, _) = Stored::open(path)?;
    let size = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(size.saturating_sub(END_BLOCK.len() as u64)))?;
    let mut last = vec![];
    file.read_to_end(&mut last)?;
    Ok((size, last))
}

/// Whether a gzip member's header has BGZF's extra field, and no other.
fn is_bgzf(first: &[u8]) -> bool {
    first.len() >= 18 && first.starts_with(&END_BLOCK[..4]) && first[10..16] == END_BLOCK[10..16]
}
