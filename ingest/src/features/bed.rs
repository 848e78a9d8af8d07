//! BED: contig, start, end, and up to nine columns more, of which name, score and strand are read.

use std::borrow::Cow;

use super::{
    columns, place,
    rows::{Columns, Feature},
    score, strand, value,
};
use crate::{
    Result,
    one_by_one::{OneByOne, next_line},
    reads::input::Input,
};

/// The lines of one file.
pub(super) struct Bed {
    input: Input,
    most: usize,
    line: Vec<u8>,
    mark: u64,
}

impl Bed {
    pub(super) fn new(input: Input, most: usize) -> Self {
        Self { input, most, line: vec![], mark: 0 }
    }
}

impl OneByOne for Bed {
    type Columns = Columns;

    fn advance(&mut self) -> Result<bool> {
        while let Some(mark) = next_line(&mut self.input, &mut self.line, self.most)? {
            let word = self.line.split(u8::is_ascii_whitespace).next().unwrap_or_default();
            if !matches!(word, b"track" | b"browser") {
                self.mark = mark;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn push(&self, columns: &mut Columns) -> Result<usize, String> {
        Ok(columns.push(&parse(&self.line)?))
    }

    fn mark(&self) -> u64 {
        self.mark
    }

    fn bytes(&self) -> &[u8] {
        &self.line
    }

    fn input(&self) -> &Input {
        &self.input
    }
}

fn parse(line: &[u8]) -> Result<Feature<'_>, String> {
    let columns = columns(line)?;
    let [contig, start, end, rest @ ..] = &columns[..] else {
        return Err(format!("{} columns where contig, start and end are needed", columns.len()));
    };
    if contig.is_empty() {
        return Err("the contig has no name".into());
    }
    let (start, end) = (place(start, "start")?, place(end, "end")?);
    if start > end {
        return Err(format!("it starts at {start}, after its end at {end}"));
    }
    let column = |at: usize| rest.get(at).copied().unwrap_or(".");
    Ok(Feature {
        contig: Cow::Borrowed(contig),
        start,
        end,
        name: value(column(0)).map(Cow::Borrowed),
        kind: None,
        score: score(column(1))?,
        strand: strand(column(2))?,
        phase: None,
        attributes: vec![],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Contig, start, end, name, score and strand.
    type Expected<'a> = (&'a str, u64, u64, Option<&'a str>, Option<f64>, Option<&'a str>);

    fn check(line: &str, expected: Result<Expected<'_>, &str>) {
        match (parse(line.as_bytes()), expected) {
            (Ok(f), Ok(expected)) => {
                assert_eq!((&*f.contig, f.start, f.end, f.name.as_deref(), f.score, f.strand), expected, "{line}")
            }
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{line}: {found}"),
            (found, expected) => panic!("{line}: {found:?}, not {expected:?}"),
        }
    }

    #[test]
    fn lines() {
        check("chr1\t5\t9", Ok(("chr1", 5, 9, None, None, None)));
        check("chr1 5 9 exon 3.5 -", Ok(("chr1", 5, 9, Some("exon"), Some(3.5), Some("-"))));
        check("chr1\t5\t5\t.\t.\t.\t5\t5\t0,0,0", Ok(("chr1", 5, 5, None, None, None)));
        check("MT\t2", Err("2 columns"));
        check("bad\tasdf\tasdf", Err("start 'asdf' is no number"));
        check("chr1\t-1\t5", Err("start '-1'"));
        check("chr1\t9\t5", Err("it starts at 9, after its end at 5"));
        check("chr1\t1\t5\tx\thigh", Err("score 'high'"));
        check("chr1\t1\t5\tx\t1\tforward", Err("strand 'forward'"));
        check("\t1\t5", Err("no name"));
        check("chr1\t1\t99999999999999999999", Err("end '99999999999999999999'"));
    }
}
