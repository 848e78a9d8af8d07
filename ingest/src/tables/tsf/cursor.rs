//! A text read in pieces that end at given bytes, so that no line need fit in memory.

use memchr::memchr3;

use crate::{Error, Place, Result, reads::input::Input};

/// What ended a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The byte asked for.
    Separator,
    /// The end of the line or of the file.
    Line,
}

/// A file, with the piece at hand.
pub(super) struct Cursor {
    input: Input,
    piece: Vec<u8>,
    /// Whether the piece was longer than is kept.
    too_long: bool,
    /// The line of the next byte, 1-based.
    line: u64,
    /// Uncompressed offset of the next byte.
    offset: u64,
}

impl Cursor {
    /// A file at its start.
    pub(super) fn new(input: Input) -> Self {
        Self { input, piece: vec![], too_long: false, line: 1, offset: 0 }
    }

    /// The next byte; `None` at the end of the file.
    pub(super) fn peek(&mut self) -> Result<Option<u8>> {
        Ok(self.input.fill()?.first().copied())
    }

    /// Whether the next bytes are a byte order mark.
    pub(super) fn at_byte_order_mark(&mut self) -> Result<bool> {
        Ok(self.input.fill()?.starts_with(b"\xef\xbb\xbf"))
    }

    /// Goes on by bytes at hand that are no line ends.
    pub(super) fn advance(&mut self, n: usize) {
        self.offset += n as u64;
        self.input.consume(n);
    }

    /// Goes to the next line that holds a series; `false` at the end of the file.
    pub(super) fn next_series(&mut self) -> Result<bool> {
        loop {
            match self.peek()? {
                None => return Ok(false),
                Some(b'\n' | b'\r' | b'#' | b' ') => self.read(b'\n', 0)?,
                Some(_) => return Ok(true),
            };
        }
    }

    /// Reads up to a separator or the end of the line; of the piece `limit` bytes are kept. `separator` may be `\n`.
    pub(super) fn read(&mut self, separator: u8, limit: usize) -> Result<End> {
        self.piece.clear();
        self.too_long = false;
        loop {
            let bytes = self.input.fill()?;
            if bytes.is_empty() {
                return Ok(End::Line);
            }
            let found = memchr3(separator, b'\n', b'\n', bytes).map(|at| (at, bytes[at]));
            let n = found.map_or(bytes.len(), |(at, _)| at);
            let kept = n.min(limit - self.piece.len());
            self.too_long |= kept < n;
            self.piece.extend_from_slice(&bytes[..kept]);
            self.advance(n + usize::from(found.is_some()));
            match found {
                Some((_, b'\n')) => {
                    self.line += 1;
                    return Ok(End::Line);
                }
                Some(_) => return Ok(End::Separator),
                None => {}
            }
        }
    }

    /// The piece read last, trimmed.
    ///
    /// # Errors
    /// What is wrong, when it is too long or no text.
    pub(super) fn piece(&self) -> Result<&str, String> {
        let text = std::str::from_utf8(self.piece.trim_ascii());
        match text {
            Ok(text) if !self.too_long => Ok(text),
            Ok(_) => Err(format!("a field of more than {} bytes", self.piece.len())),
            Err(_) => Err("the text is not UTF-8".into()),
        }
    }

    /// The piece read last, as written.
    pub(super) fn raw(&self) -> &[u8] {
        &self.piece
    }

    /// The line of the next byte, 1-based.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// Uncompressed offset of the next byte.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The file.
    pub(super) fn input(&self) -> &Input {
        &self.input
    }

    /// An error at a line.
    pub(super) fn invalid(&self, line: u64, problem: String) -> Error {
        self.input.invalid(Place::Line(line), problem)
    }
}
