//! The sequence lines of a FASTA record, scanned in whatever chunks they come.

use memchr::memchr;

use super::super::{
    alphabet::{is_base, leading},
    input::Input,
};
use crate::Result;

/// Where in its lines a record's sequence is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// The next byte is a line's first.
    at_start: bool,
    /// The byte before was a carriage return: only a line feed may follow.
    after_return: bool,
}

impl Default for Line {
    fn default() -> Self {
        Self { at_start: true, after_return: false }
    }
}

/// What the next bytes are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Scanned {
    /// Bases, at `from..to` of the bytes.
    Bases { from: usize, to: usize },
    /// So many bytes of line ends.
    Nothing { bytes: usize },
    /// A base, but there was room for none.
    More,
    /// The record's end: the next header, or the file's end.
    End,
    /// A byte that stands in no sequence.
    Bad(u8),
}

impl Line {
    /// Says what the next bytes are; at most `room` bases are asked for.
    pub(super) fn scan(&mut self, bytes: &[u8], room: usize) -> Scanned {
        let Some(&first) = bytes.first() else { return Scanned::End };
        match first {
            b'\n' => {
                *self = Self::default();
                Scanned::Nothing { bytes: 1 }
            }
            _ if self.after_return => Scanned::Bad(b'\r'),
            b'\r' => {
                self.after_return = true;
                Scanned::Nothing { bytes: 1 }
            }
            b'>' if self.at_start => Scanned::End,
            _ if !is_base(first) => Scanned::Bad(first),
            _ if room == 0 => Scanned::More,
            _ => {
                self.at_start = false;
                let window = &bytes[..bytes.len().min(room)];
                let line = &window[..memchr(b'\n', window).unwrap_or(window.len())];
                Scanned::Bases { from: 0, to: leading(line, is_base) }
            }
        }
    }
}

/// Goes to the next line that begins with `>`, or to the end.
pub(super) fn skip_to_header(input: &mut Input) -> Result<()> {
    let mut at_start = false;
    loop {
        let bytes = input.fill()?;
        match bytes.first() {
            None => return Ok(()),
            Some(b'>') if at_start => return Ok(()),
            Some(_) => {}
        }
        let end = memchr(b'\n', bytes);
        let n = end.map_or(bytes.len(), |n| n + 1);
        at_start = end.is_some();
        input.consume(n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_in_chunks() {
        let mut line = Line::default();
        let mut steps = vec![];
        for chunk in ["AC", "\r", "\n", ">"] {
            steps.push(line.scan(chunk.as_bytes(), 9));
        }
        let nothing = || Scanned::Nothing { bytes: 1 };
        assert_eq!(steps, [Scanned::Bases { from: 0, to: 2 }, nothing(), nothing(), Scanned::End]);
        assert_eq!(Line::default().scan(b"A", 0), Scanned::More);
        assert_eq!(Line { at_start: false, after_return: false }.scan(b">", 9), Scanned::Bad(b'>'));
        assert_eq!(Line { at_start: false, after_return: true }.scan(b"A", 9), Scanned::Bad(b'\r'));
    }
}
