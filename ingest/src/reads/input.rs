//! A file as a stream of uncompressed bytes that knows where it is: plain, gzip or BGZF.

mod chunks;
mod raw;
mod remote;

use std::{
    fs,
    io::{self, BufRead, BufReader, ErrorKind, Seek, SeekFrom},
    num::NonZero,
    path::{Path, PathBuf},
};

use flate2::bufread::MultiGzDecoder;
use memchr::memchr;
use noodles::bgzf::{
    self, VirtualPosition,
    io::{MultithreadedReader, Seek as _},
};

pub(crate) use self::chunks::Chunks;
use self::raw::{BUFFER_BYTES, Compression, END_BLOCK, Raw, Stored};
use crate::{Error, Place, Position, Result};

/// The longest record that is held in memory (FASTA sequences are not: they stream).
pub(crate) const MAX_RECORD_BYTES: usize = 256 << 20;

/// For decoders of other crates; an error of this file's own is in the error's text.
impl io::Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill().map_err(|error| io::Error::other(error.to_string()))?;
        let n = bytes.len().min(buffer.len());
        buffer[..n].copy_from_slice(&bytes[..n]);
        self.consume(n);
        Ok(n)
    }
}

/// How the bytes are stored.
enum Stream {
    Plain(Raw),
    Gzip(Box<BufReader<MultiGzDecoder<Raw>>>),
    Bgzf(bgzf::io::Reader<Raw>),
    Parallel(MultithreadedReader<Raw>),
}

/// All bytes of a small file, such as an index; `None` where there is none.
pub(crate) fn read_whole(path: &Path) -> Result<Option<Vec<u8>>> {
    let read = match remote::url(path) {
        Some(url) => remote::read_whole(url),
        None => match fs::read(path) {
            Err(source) if source.kind() == ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        },
    };
    read.map_err(|source| Error::Io { path: path.into(), source })
}

/// Whether an error of reading is the system's or a store's, and not of what was read.
fn is_environment(error: &io::Error) -> bool {
    error.raw_os_error().is_some() || remote::is_refusal(error)
}

/// The path of a file that stands beside another one: `.ext` after its whole name.
pub(crate) fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    PathBuf::from(name)
}

/// An open file, here or elsewhere: a path that is a URL names one in an object store, of which only what is read is fetched.
pub(crate) struct Input {
    path: PathBuf,
    stream: Stream,
    /// Uncompressed bytes consumed.
    offset: u64,
    /// Size of a regular file; `None` for pipes.
    size: Option<u64>,
}

impl Input {
    /// Opens a file; `workers` threads inflate BGZF blocks (0: the caller's own).
    pub(crate) fn open(path: &Path, workers: usize) -> Result<Self> {
        let io = |source| Error::Io { path: path.into(), source };
        let (file, size) = Stored::open(path).map_err(|source| match source.kind() {
            ErrorKind::IsADirectory => {
                Error::Request { path: path.into(), problem: "is a directory, not a file".into() }
            }
            _ => io(source),
        })?;
        let (raw, compression) = raw::open(file).map_err(io)?;
        // Of a pipe, only a reader in this thread can tell how much came.
        let workers = NonZero::new(workers).filter(|_| size.is_some());
        let stream = match (compression, workers) {
            (Compression::Bgzf, Some(workers)) => {
                Stream::Parallel(MultithreadedReader::with_worker_count(workers, raw))
            }
            (Compression::Bgzf, None) => Stream::Bgzf(bgzf::io::Reader::new(raw)),
            (Compression::Gzip, _) => {
                Stream::Gzip(Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(raw))))
            }
            (Compression::None, _) => Stream::Plain(raw),
        };
        Ok(Self { path: path.into(), stream, offset: 0, size })
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file is BGZF: whether its marks are virtual positions.
    pub(crate) fn is_bgzf(&self) -> bool {
        matches!(self.stream, Stream::Bgzf(_) | Stream::Parallel(_))
    }

    /// Whether any byte can be reached without reading those before it.
    pub(crate) fn is_seekable(&self) -> bool {
        !matches!(self.stream, Stream::Gzip(_))
    }

    /// The bytes at hand, at least one unless the file ends here.
    ///
    /// # Errors
    /// When the file is damaged or cut short; the place is where the damaged block begins.
    pub(crate) fn fill(&mut self) -> Result<&[u8]> {
        let filled = match &mut self.stream {
            Stream::Plain(r) => r.fill_buf(),
            Stream::Gzip(r) => r.fill_buf(),
            Stream::Bgzf(r) => r.fill_buf(),
            Stream::Parallel(r) => r.fill_buf(),
        };
        match filled.map(<[u8]>::is_empty) {
            Ok(false) => {}
            Ok(true) => self.check_end()?,
            Err(source) => return Err(self.broken(source)),
        }
        Ok(self.at_hand())
    }

    /// Up to `limit` first bytes, without going on: fewer from a pipe, which cannot be read twice.
    ///
    /// # Errors
    /// When the file is damaged there.
    pub(crate) fn first(&mut self, limit: usize) -> Result<Vec<u8>> {
        if self.size.is_none() || matches!(self.stream, Stream::Plain(_)) {
            let bytes = self.fill()?;
            return Ok(bytes[..bytes.len().min(limit)].to_vec());
        }
        let mut bytes = Vec::new();
        self.read_into(&mut bytes, limit)?;
        self.seek_to(0)?;
        Ok(bytes)
    }

    /// What [`Self::fill`] read and nobody consumed yet.
    fn at_hand(&mut self) -> &[u8] {
        let filled = match &mut self.stream {
            Stream::Plain(r) => r.fill_buf(),
            Stream::Gzip(r) => r.fill_buf(),
            Stream::Bgzf(r) => r.fill_buf(),
            Stream::Parallel(r) => r.fill_buf(),
        };
        filled.unwrap_or_default()
    }

    /// Goes on by `n` bytes of those at hand.
    pub(crate) fn consume(&mut self, n: usize) {
        self.offset += n as u64;
        match &mut self.stream {
            Stream::Plain(r) => r.consume(n),
            Stream::Gzip(r) => r.consume(n),
            Stream::Bgzf(r) => r.consume(n),
            Stream::Parallel(r) => r.consume(n),
        }
    }

    /// Appends the rest of the line, without its end (`\n` or `\r\n`); `false` at the end of the file.
    ///
    /// # Errors
    /// When the file is damaged, or the line is longer than `limit` bytes.
    pub(crate) fn read_line(&mut self, line: &mut Vec<u8>, limit: usize) -> Result<bool> {
        let (before, place) = (line.len(), self.place());
        let mut any = false;
        loop {
            let bytes = self.fill()?;
            if bytes.is_empty() {
                break;
            }
            any = true;
            let end = memchr(b'\n', bytes);
            let n = end.unwrap_or(bytes.len());
            if line.len() - before + n > limit {
                return Err(self.invalid(place, format!("a line of more than {limit} bytes")));
            }
            line.extend_from_slice(&bytes[..n]);
            self.consume(n + usize::from(end.is_some()));
            if end.is_some() {
                break;
            }
        }
        if line.len() > before && line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(any)
    }

    /// Appends up to `n` bytes, fewer only at the end of the file; returns how many.
    ///
    /// # Errors
    /// When the file is damaged.
    pub(crate) fn read_into(&mut self, buffer: &mut Vec<u8>, n: usize) -> Result<usize> {
        let mut missing = n;
        while missing > 0 {
            let bytes = self.fill()?;
            if bytes.is_empty() {
                break;
            }
            let take = bytes.len().min(missing);
            buffer.extend_from_slice(&bytes[..take]);
            self.consume(take);
            missing -= take;
        }
        Ok(n - missing)
    }

    /// Where the next byte stands: a virtual position in BGZF files, else an uncompressed offset.
    pub(crate) fn mark(&self) -> u64 {
        match &self.stream {
            Stream::Plain(_) | Stream::Gzip(_) => self.offset,
            Stream::Bgzf(r) => r.virtual_position().into(),
            Stream::Parallel(r) => r.virtual_position().into(),
        }
    }

    /// The place of a mark, for errors.
    pub(crate) fn place_of(&self, mark: u64) -> Place {
        if self.is_bgzf() { Place::Virtual(mark) } else { Place::Byte(mark) }
    }

    /// The place of the next byte, for errors.
    pub(crate) fn place(&self) -> Place {
        self.place_of(self.mark())
    }

    /// The position of a record that begins at a mark.
    pub(crate) fn position(&self, mark: u64, record: u64, within: u64) -> Position {
        if self.is_bgzf() {
            Position::Bgzf { virtual_position: mark, record, within }
        } else {
            Position::Text { offset: mark, record, within }
        }
    }

    /// Goes to the record at a position; returns its number and the bases of it already read.
    ///
    /// # Errors
    /// When the position is of another kind of file or does not lie in this one.
    pub(crate) fn seek(&mut self, position: Position) -> Result<(u64, u64)> {
        match position {
            Position::Bgzf { virtual_position, record, within } if self.is_bgzf() => {
                self.seek_to(virtual_position)?;
                Ok((record, within))
            }
            Position::Text { offset, record, within } if !self.is_bgzf() => {
                self.seek_to(offset)?;
                Ok((record, within))
            }
            _ => Err(self.request(format!("cannot go on at {position:?}: it is a position in another kind of file"))),
        }
    }

    /// Goes to a mark.
    ///
    /// # Errors
    /// When it does not lie in this file.
    pub(crate) fn seek_to(&mut self, mark: u64) -> Result<()> {
        let virtual_position = VirtualPosition::from(mark);
        let sought = match &mut self.stream {
            Stream::Plain(r) => r.seek(SeekFrom::Start(mark)).map(drop),
            Stream::Gzip(_) => return self.skip_to(mark),
            Stream::Bgzf(r) => r.seek(virtual_position).map(drop),
            Stream::Parallel(r) => r.seek_to_virtual_position(virtual_position).map(drop),
        };
        let within = self.size.is_none_or(|size| if self.is_bgzf() { mark >> 16 <= size } else { mark <= size });
        match sought {
            Ok(()) if within => {}
            Err(source) if is_environment(&source) || (within && source.kind() == ErrorKind::UnexpectedEof) => {
                return Err(self.broken(source));
            }
            _ => return Err(self.request(format!("there is nothing at{}", &self.place_of(mark).to_string()[1..]))),
        }
        self.offset = mark;
        Ok(())
    }

    /// Reads on, or again from the start, to an uncompressed offset.
    fn skip_to(&mut self, offset: u64) -> Result<()> {
        if offset < self.offset {
            *self = Self::open(&self.path, 0)?;
        }
        while self.offset < offset {
            let at_hand = self.fill()?.len();
            if at_hand == 0 {
                return Err(self.request(format!("there is nothing at byte {offset}")));
            }
            self.consume(usize::try_from(offset - self.offset).unwrap_or(at_hand).min(at_hand));
        }
        Ok(())
    }

    /// Bytes of the file as it is stored; `None` for pipes.
    pub(crate) fn size(&self) -> Option<u64> {
        self.size
    }

    /// Bytes of the file read, of how many.
    pub(crate) fn progress(&self) -> Option<(u64, u64)> {
        let read = match &self.stream {
            Stream::Plain(_) => self.offset,
            Stream::Gzip(r) => r.get_ref().get_ref().get_ref().bytes,
            Stream::Bgzf(r) => r.position(),
            Stream::Parallel(r) => r.position(),
        };
        self.size.map(|size| (read.min(size), size))
    }

    /// An error at a place of this file.
    pub(crate) fn invalid(&self, place: Place, problem: String) -> Error {
        Error::Invalid { path: self.path.clone(), place, problem }
    }

    /// A request that does not fit this file.
    pub(crate) fn request(&self, problem: String) -> Error {
        Error::Request { path: self.path.clone(), problem }
    }

    /// The error of a failed read: the system's, or a damaged block named by where it begins.
    fn broken(&self, source: io::Error) -> Error {
        if is_environment(&source) {
            return Error::Io { path: self.path.clone(), source };
        }
        let (kind, place) = match &self.stream {
            Stream::Plain(_) => return Error::Io { path: self.path.clone(), source },
            Stream::Gzip(_) => ("gzip stream", Place::Byte(self.offset)),
            Stream::Bgzf(r) => ("BGZF block", Place::Virtual(r.position() << 16)),
            Stream::Parallel(r) => ("BGZF block", Place::Virtual(r.position() << 16)),
        };
        let how = if source.kind() == ErrorKind::UnexpectedEof { "is cut short" } else { "is damaged" };
        self.invalid(place, format!("the {kind} {how} ({source}): restore the file from its source"))
    }

    /// Checks, where a BGZF file's blocks end, that the file ends too and with the block that marks its end.
    fn check_end(&self) -> Result<()> {
        let from_file = || raw::end_of_file(&self.path).map_err(|source| Error::Io { path: self.path.clone(), source });
        let (read, (size, last)) = match (&self.stream, self.size) {
            (Stream::Plain(_) | Stream::Gzip(_), _) => return Ok(()),
            (Stream::Bgzf(r), None) => {
                (r.position(), (r.get_ref().get_ref().bytes, r.get_ref().get_ref().last.to_vec()))
            }
            (Stream::Bgzf(r), Some(_)) => (r.position(), from_file()?),
            (Stream::Parallel(r), _) => (r.position(), from_file()?),
        };
        let problem = if read < size {
            format!("the file is cut short: a BGZF block's header has only {} bytes", size - read)
        } else if last != END_BLOCK {
            "the BGZF end-of-file block is missing: the file was probably cut short".into()
        } else {
            return Ok(());
        };
        Err(self.invalid(Place::Virtual(read << 16), problem))
    }
}
