//! The lines of one FASTQ record.
//!
//! Quality lines may begin with `@` or `+`: only the sequence's length tells where the qualities end.

use std::ops::Range;

use memchr::memchr;

use super::super::alphabet::{check_bases, check_scores};

/// Lines read together, without their ends, one behind the other.
#[derive(Debug, Default)]
pub(super) struct Lines {
    text: Vec<u8>,
    /// Mark and first byte of each line.
    starts: Vec<(u64, usize)>,
}

impl Lines {
    /// Adds a line, which `read` appends to the text.
    pub(super) fn push(&mut self, mark: u64, read: impl FnOnce(&mut Vec<u8>)) {
        self.starts.push((mark, self.text.len()));
        read(&mut self.text);
    }

    pub(super) fn pop(&mut self) {
        if let Some((_, start)) = self.starts.pop() {
            self.text.truncate(start);
        }
    }

    pub(super) fn truncate(&mut self, lines: usize) {
        while self.len() > lines {
            self.pop();
        }
    }

    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.starts.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    /// All lines, end to end.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    pub(super) fn bytes(&self) -> usize {
        self.text.len()
    }

    fn range(&self, line: usize) -> Range<usize> {
        self.starts[line].1..self.starts.get(line + 1).map_or(self.text.len(), |(_, start)| *start)
    }

    pub(super) fn line(&self, line: usize) -> &[u8] {
        &self.text[self.range(line)]
    }

    /// The mark of a line; 0 where there is none.
    pub(super) fn mark(&self, line: usize) -> u64 {
        self.starts.get(line).map_or(0, |(mark, _)| *mark)
    }
}

/// Where the fields of a record stand in the text of its lines. Lines of one field follow each other without a gap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    /// The first word of the title.
    pub(super) id: Range<usize>,
    pub(super) bases: Range<usize>,
    pub(super) scores: Range<usize>,
}

/// The fields of a sound record of four lines that some bytes begin with, and its size; `None` for whatever else they
/// are, which [`Parser`] then takes line by line.
pub(super) fn four_lines(bytes: &[u8]) -> Option<(Fields, usize)> {
    if bytes.first() != Some(&b'@') {
        return None;
    }
    let title = 1..memchr(b'\n', bytes)?;
    let bases = title.end + 1..title.end + 1 + memchr(b'\n', &bytes[title.end + 1..])?;
    let plus = bases.end + 1..bases.end + 1 + memchr(b'\n', &bytes[bases.end + 1..])?;
    let scores = plus.end + 1..plus.end + 1 + bases.len();
    let title_text = &bytes[title.clone()];
    let sound = !bases.is_empty()
        && bytes.get(scores.end) == Some(&b'\n')
        && check_bases(&bytes[bases.clone()]).is_ok()
        && check_scores(&bytes[scores.clone()]).is_ok()
        && bytes[plus.start] == b'+'
        && (plus.len() == 1 || bytes[plus.start + 1..plus.end] == *title_text);
    let id = title_text.iter().position(u8::is_ascii_whitespace).unwrap_or(title.len());
    (sound && std::str::from_utf8(&title_text[..id]).is_ok())
        .then(|| (Fields { id: 1..1 + id, bases, scores: scores.clone() }, scores.end + 1))
}

/// What a line did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// A blank line between records.
    Blank,
    /// More lines are needed.
    Going,
    /// The record is whole.
    Whole(Fields),
}

/// Which part of a record comes next.
#[derive(Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Title,
    Bases,
    Scores,
}

/// Takes a record's lines one after the other.
#[derive(Debug, Default)]
pub(super) struct Parser {
    part: Part,
    fields: Fields,
}

impl Parser {
    /// Takes the line read last.
    ///
    /// # Errors
    /// With what is wrong, where the record is malformed.
    pub(super) fn add(&mut self, lines: &Lines) -> Result<Progress, String> {
        let range = lines.range(lines.len() - 1);
        let line = &lines.text()[range.clone()];
        match self.part {
            Part::Title => self.title(line, range),
            Part::Bases => self.bases(line, range, lines),
            Part::Scores => self.scores(line, range),
        }
    }

    /// What is wrong when the file ends here; `None` between records.
    pub(super) fn end(&self) -> Option<String> {
        let what = match self.part {
            Part::Title => return None,
            Part::Bases => "in its sequence, before the line with '+'".into(),
            Part::Scores => format!("after {} of {} qualities", self.fields.scores.len(), self.fields.bases.len()),
        };
        Some(format!("the file ends within the record, {what}"))
    }

    fn title(&mut self, line: &[u8], range: Range<usize>) -> Result<Progress, String> {
        let Some((&first, title)) = line.split_first() else { return Ok(Progress::Blank) };
        if first != b'@' {
            return Err(format!("expected a title line (`@name`), found '{}'", char::from(first).escape_default()));
        }
        let id = title.iter().position(u8::is_ascii_whitespace).unwrap_or(title.len());
        std::str::from_utf8(&title[..id]).map_err(|_| "the name is not UTF-8")?;
        self.fields.id = range.start + 1..range.start + 1 + id;
        (self.fields.bases, self.part) = (range.end..range.end, Part::Bases);
        Ok(Progress::Going)
    }

    fn bases(&mut self, line: &[u8], range: Range<usize>, lines: &Lines) -> Result<Progress, String> {
        if let Some(title) = line.strip_prefix(b"+") {
            if !title.is_empty() && title != &lines.line(0)[1..] {
                return Err("the line with '+' repeats another title".into());
            }
            (self.fields.scores, self.part) = (range.end..range.end, Part::Scores);
            // A record without bases: its quality line is empty, and may be missing.
            return Ok(self.whole());
        }
        check_bases(line)?;
        self.fields.bases.end = range.end;
        Ok(Progress::Going)
    }

    fn scores(&mut self, line: &[u8], range: Range<usize>) -> Result<Progress, String> {
        check_scores(line)?;
        self.fields.scores.end = range.end;
        let (bases, scores) = (self.fields.bases.len(), self.fields.scores.len());
        if scores > bases {
            return Err(format!("{scores} qualities or more for {bases} bases"));
        }
        Ok(self.whole())
    }

    /// Whether there is a quality for each base.
    fn whole(&mut self) -> Progress {
        if self.fields.scores.len() == self.fields.bases.len() {
            Progress::Whole(self.fields.clone())
        } else {
            Progress::Going
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the parser makes of the lines of a text: a first record's fields and lines.
    fn by_lines(text: &[u8]) -> Option<(Vec<u8>, Vec<u8>, Vec<u8>)> {
        let (mut lines, mut parser) = (Lines::default(), Parser::default());
        for line in text.split(|&b| b == b'\n') {
            lines.push(0, |text| text.extend_from_slice(line));
            if let Progress::Whole(fields) = parser.add(&lines).ok()? {
                let text = |range: Range<usize>| lines.text()[range].to_vec();
                return Some((text(fields.id), text(fields.bases), text(fields.scores)));
            }
        }
        None
    }

    #[test]
    fn four_lines_at_once_are_what_the_parser_makes_of_them() {
        let sound = ["@a\nAC\n+\nII\n", "@a b\nAC\n+a b\n@+\n@c\n", "@\nA\n+\n~\n", "@a\tb\nACGT\n+\n!!!!\n\n\n"];
        for text in sound.map(str::as_bytes) {
            let (fields, size) = four_lines(text).expect("is sound");
            let part = |range: Range<usize>| text[range].to_vec();
            assert_eq!(by_lines(text), Some((part(fields.id), part(fields.bases), part(fields.scores))));
            assert_eq!(text[..size].iter().filter(|&&b| b == b'\n').count(), 4);
            assert_eq!(text[size - 1], b'\n');
        }
        let other = [
            "",
            "@a",
            "@a\nAC\n+\nII",
            "@a\nAC\n+\nI\n",
            "@a\nAC\n+\nIII\n",
            "@a\nA\nC\n+\nII\n",
            "@a\n\n+\n\n",
            "\n@a\nA\n+\nI\n",
            "@a\r\nA\r\n+\r\nI\r\n",
            "@a\nA\n+b\nI\n",
            "@a\nA\n-\nI\n",
            "@a\nA1\n+\nII\n",
            "@a\nAC\n+\nI \n",
            "a\nA\n+\nI\n",
        ];
        for text in other {
            assert_eq!(four_lines(text.as_bytes()), None, "{text:?}");
        }
    }
}
