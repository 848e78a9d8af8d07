//! GFF3 and GTF: nine columns, of which all but the source are read.

use std::borrow::Cow;

use super::{
    FeatureFormat,
    attributes::{self, decoded},
    place,
    rows::{Columns, Feature},
    score, strand, value,
};
use crate::{Result, one_by_one::OneByOne, reads::input::Input};

/// The lines of one file.
pub(super) struct Gff {
    input: Input,
    format: FeatureFormat,
    wanted: Vec<String>,
    most: usize,
    line: Vec<u8>,
    mark: u64,
}

impl Gff {
    pub(super) fn new(input: Input, format: FeatureFormat, wanted: Vec<String>, most: usize) -> Self {
        Self { input, format, wanted, most, line: vec![], mark: 0 }
    }
}

impl OneByOne for Gff {
    type Columns = Columns;

    fn advance(&mut self) -> Result<bool> {
        loop {
            self.line.clear();
            self.mark = self.input.mark();
            if !self.input.read_line(&mut self.line, self.most)? || self.line.starts_with(b"##FASTA") {
                return Ok(false);
            }
            if self.format == FeatureFormat::Gff3 && self.line.first() == Some(&b'>') {
                return Ok(false);
            }
            if !self.line.is_empty() && self.line[0] != b'#' {
                return Ok(true);
            }
        }
    }

    fn push(&self, columns: &mut Columns) -> Result<usize, String> {
        let text = std::str::from_utf8(&self.line).map_err(|_| "the line is not UTF-8")?;
        Ok(columns.push(&parse(text, self.format, &self.wanted)?))
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

fn parse<'a>(line: &'a str, format: FeatureFormat, wanted: &[String]) -> Result<Feature<'a>, String> {
    let columns: Vec<&str> = line.split('\t').collect();
    let [contig, _, kind, start, end, score_text, strand_text, phase, attributes] = columns[..] else {
        return Err(format!("{} columns where 9 are needed, tabs between", columns.len()));
    };
    if contig.is_empty() {
        return Err("the contig has no name".into());
    }
    let (start, end) = (place(start, "start")?, place(end, "end")?);
    if start == 0 || start > end {
        return Err(format!("bases {start} to {end}: the first base is 1, and a start is not after its end"));
    }
    let phase = match phase {
        "0" | "1" | "2" => Some(phase.as_bytes()[0] - b'0'),
        "." | "" => None,
        _ => return Err(format!("phase '{}' is none of 0 1 2 .", phase.escape_debug())),
    };
    let pairs = attributes::parse(attributes, format)?;
    let get = |name: &str| attributes::get(&pairs, name);
    let name = match format {
        FeatureFormat::Gtf => get("transcript_id").or_else(|| get("gene_id")),
        _ => get("ID").or_else(|| get("Name")),
    };
    Ok(Feature {
        contig: if format == FeatureFormat::Gff3 { decoded(contig) } else { Cow::Borrowed(contig) },
        start: start - 1,
        end,
        name,
        kind: value(kind).map(Cow::Borrowed),
        score: score(score_text)?,
        strand: strand(strand_text)?,
        phase,
        attributes: wanted.iter().map(|name| get(name)).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_both_formats() {
        let wanted = ["Parent".to_owned(), "gene_name".to_owned()];
        let line = "chr%201\tx\tCDS\t10\t20\t1e3\t-\t2\tID=cds%3B1;Parent=a,b%2Cc;Name=n";
        let found = parse(line, FeatureFormat::Gff3, &wanted).unwrap();
        assert_eq!((&*found.contig, found.start, found.end, found.phase), ("chr 1", 9, 20, Some(2)));
        assert_eq!((found.name.as_deref(), found.kind.as_deref()), (Some("cds;1"), Some("CDS")));
        assert_eq!((found.score, found.strand), (Some(1000.0), Some("-")));
        assert_eq!(found.attributes, [Some("a,b,c".into()), None]);
        let line = "chr1\tx\texon\t1\t1\t.\t+\t.\tgene_id \"g; 1\"; transcript_id \"t\"; gene_name \"n\"; tag 5";
        let found = parse(line, FeatureFormat::Gtf, &wanted).unwrap();
        assert_eq!((found.start, found.end, found.name.as_deref()), (0, 1, Some("t")));
        assert_eq!(found.attributes, [None, Some("n".into())]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            ("chr1\tx\tCDS\t10\t20\t.\t+\t.", "8 columns"),
            ("chr1\tx\tCDS\t0\t20\t.\t+\t.\t.", "bases 0 to 20"),
            ("chr1\tx\tCDS\t21\t20\t.\t+\t.\t.", "bases 21 to 20"),
            ("chr1\tx\tCDS\t1\t2\thigh\t+\t.\t.", "score 'high'"),
            ("chr1\tx\tCDS\t1\t2\t.\tx\t.\t.", "strand 'x'"),
            ("chr1\tx\tCDS\t1\t2\t.\t+\t3\t.", "phase '3'"),
            ("\tx\tCDS\t1\t2\t.\t+\t.\t.", "no name"),
            ("chr1\tx\tCDS\t1\t2\t.\t+\t.\tjust text", "attribute 'just text'"),
        ];
        for (line, expected) in cases {
            let problem = parse(line, FeatureFormat::Gff3, &[]).unwrap_err();
            assert!(problem.contains(expected), "{line}: {problem}");
        }
    }
}
