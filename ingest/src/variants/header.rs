//! What the header of a VCF or BCF file says: contigs, INFO fields, and the names that BCF's numbers stand for.

use std::collections::HashMap;

use crate::{Place, Result, reads::input::Input};

/// The longest header, in bytes.
pub(super) const MAX_HEADER_BYTES: usize = 256 << 20;
/// The largest number that a name may have in BCF.
const MAX_INDEX: usize = 1 << 24;
/// The columns that every file has.
pub(super) const COLUMNS: [&str; 8] = ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO"];

/// The type of an INFO field's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InfoKind {
    /// 32-bit integers.
    Integer,
    /// 32-bit floating-point numbers.
    Float,
    /// There or not there.
    Flag,
    /// Text: `String` and `Character`.
    Text,
}

/// An INFO field as the header declares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InfoField {
    /// The type of its values.
    pub kind: InfoKind,
    /// Whether it may have other than one value (`Number` is not 1): its column is of lists.
    pub list: bool,
}

/// What a header says.
#[derive(Clone, Debug, Default)]
pub struct Header {
    /// Contigs as declared: name, and length where it is given. In a BCF file a record names one by its place here.
    contigs: Names<Option<u64>>,
    info: HashMap<String, InfoField>,
    /// FILTER, INFO and FORMAT names, by the numbers that BCF gives them.
    names: Names<()>,
    /// Columns of a record.
    pub(super) columns: usize,
    /// Percent signs encode (VCF 4.3 and later).
    pub(super) encoded: bool,
}

/// Names by number, each with what is known of it.
#[derive(Clone, Debug)]
struct Names<T> {
    by_number: Vec<Option<(String, T)>>,
    numbers: HashMap<String, usize>,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self { by_number: vec![], numbers: HashMap::new() }
    }
}

impl<T> Names<T> {
    /// Adds a name, at its own number or the next one; one that is known stays as it is.
    fn add(&mut self, name: &str, number: Option<usize>, about: T) -> Result<(), String> {
        if self.numbers.contains_key(name) {
            return Ok(());
        }
        let number = number.unwrap_or(self.by_number.len());
        if number > MAX_INDEX {
            return Err(format!("IDX={number} is more than {MAX_INDEX}"));
        }
        if self.by_number.len() <= number {
            self.by_number.resize_with(number + 1, || None);
        }
        if let Some((other, _)) = &self.by_number[number] {
            return Err(format!("IDX={number} is of '{other}' and of '{name}'"));
        }
        self.by_number[number] = Some((name.to_owned(), about));
        self.numbers.insert(name.to_owned(), number);
        Ok(())
    }

    fn get(&self, number: usize) -> Option<&str> {
        self.by_number.get(number)?.as_ref().map(|(name, _)| name.as_str())
    }
}

impl Header {
    /// Contigs in order, with lengths where they are declared.
    pub fn contigs(&self) -> impl Iterator<Item = (&str, Option<u64>)> {
        self.contigs.by_number.iter().flatten().map(|(name, length)| (name.as_str(), *length))
    }

    /// An INFO field's declaration.
    #[must_use]
    pub fn info(&self, name: &str) -> Option<InfoField> {
        self.info.get(name).copied()
    }

    /// The names of all INFO fields declared, sorted.
    #[must_use]
    pub fn info_names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.info.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// Samples that the records have columns of.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.columns.saturating_sub(COLUMNS.len() + 1)
    }

    /// Contigs in the order of BCF's numbers; one that no number stands for is empty.
    pub(super) fn contigs_by_number(&self) -> Vec<String> {
        let names = self.contigs.by_number.iter();
        names.map(|contig| contig.as_ref().map_or(String::new(), |(name, _)| name.clone())).collect()
    }

    /// A contig by BCF's number.
    pub(super) fn contig(&self, number: usize) -> Option<&str> {
        self.contigs.get(number)
    }

    /// A FILTER, INFO or FORMAT name by BCF's number.
    pub(super) fn name(&self, number: usize) -> Option<&str> {
        self.names.get(number)
    }

    /// An empty header: `PASS` has BCF's number 0.
    pub(super) fn begin() -> Self {
        let mut header = Self::default();
        let known = header.names.add("PASS", Some(0), ());
        debug_assert!(known.is_ok(), "the first name has its number");
        header
    }

    /// Takes one line; `true` when it was the last, which names the columns.
    ///
    /// # Errors
    /// With what is wrong.
    pub(super) fn add(&mut self, line: &[u8]) -> Result<bool, String> {
        let line = String::from_utf8_lossy(line);
        if let Some(meta) = line.strip_prefix("##") {
            self.meta(meta)?;
            return Ok(false);
        }
        let columns: Vec<&str> = line.split('\t').collect();
        let fixed = columns.len() >= COLUMNS.len() && columns[..COLUMNS.len()] == COLUMNS;
        let rest_begins = columns.get(COLUMNS.len()).is_none_or(|format| *format == "FORMAT");
        if !fixed || !rest_begins {
            return Err(format!("the line of column names must begin with `{}`, tabs between", COLUMNS.join(" ")));
        }
        if columns.len() == COLUMNS.len() + 1 {
            return Err("a column FORMAT without a sample after it".into());
        }
        self.columns = columns.len();
        Ok(true)
    }

    fn meta(&mut self, meta: &str) -> Result<(), String> {
        if let Some(version) = meta.strip_prefix("fileformat=VCFv") {
            let number =
                version.split_once('.').and_then(|(a, b)| Some((a.parse::<u32>().ok()?, b.parse::<u32>().ok()?)));
            self.encoded = number.is_some_and(|number| number >= (4, 3));
            return Ok(());
        }
        let Some((kind, fields)) = meta.split_once("=<") else { return Ok(()) };
        if !matches!(kind, "contig" | "INFO" | "FILTER" | "FORMAT") {
            return Ok(());
        }
        let field = |name: &str| field(fields, name);
        let Some(id) = field("ID").filter(|id| !id.is_empty()) else {
            return Err(format!("a line `##{kind}` without an ID"));
        };
        let number = field("IDX").map(|index| index.parse().map_err(|_| format!("'IDX={index}' is no number")));
        let number = number.transpose()?;
        if kind == "contig" {
            let length = field("length").and_then(|length| length.parse().ok());
            return self.contigs.add(id, number, length);
        }
        if kind == "INFO" {
            let kind = match field("Type") {
                Some("Integer") => InfoKind::Integer,
                Some("Float") => InfoKind::Float,
                Some("Flag") => InfoKind::Flag,
                Some("String" | "Character") => InfoKind::Text,
                other => return Err(format!("INFO field {id}: there is no type '{}'", other.unwrap_or_default())),
            };
            let list = kind != InfoKind::Flag && field("Number") != Some("1");
            self.info.entry(id.to_owned()).or_insert(InfoField { kind, list });
        }
        self.names.add(id, number, ())
    }
}

/// The value of a key in `ID=..,Number=..,Description="..">`. Text in quotes hides what is within it.
fn field<'a>(fields: &'a str, wanted: &str) -> Option<&'a str> {
    let mut rest = fields.strip_suffix('>').unwrap_or(fields);
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=')?;
        let end = match after.strip_prefix('"') {
            Some(quoted) => 1 + closing_quote(quoted)? + 1,
            None => after.find(',').unwrap_or(after.len()),
        };
        if key.trim() == wanted {
            return Some(&after[..end]);
        }
        rest = after[end..].strip_prefix(',').unwrap_or("");
    }
    None
}

/// Where quoted text ends: at a quote that no backslash stands before.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let end = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        end
    })
}

/// Reads lines from `next_line` up to the one that names the columns.
///
/// # Errors
/// When one is wrong, or the lines end before.
pub(super) fn read(
    input: &mut Input,
    mut next_line: impl FnMut(&mut Input, &mut Vec<u8>) -> Result<bool>,
) -> Result<Header> {
    let (mut header, mut line, mut number) = (Header::begin(), vec![], 0);
    loop {
        line.clear();
        number += 1;
        let more = next_line(input, &mut line)?;
        if !more || line.first() != Some(&b'#') {
            let problem = format!("the header has no line of column names (`{}`)", COLUMNS.join(" "));
            return Err(input.invalid(Place::Line(number), problem));
        }
        if header.add(&line).map_err(|problem| input.invalid(Place::Line(number), problem))? {
            return Ok(header);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_what_they_say() {
        let mut header = Header::begin();
        let lines = [
            "##fileformat=VCFv4.3",
            "##contig=<ID=chr1,length=100>",
            "##contig=<ID=chr2>",
            "##INFO=<ID=AF,Number=A,Type=Float,Description=\"ID=x, \\\"quoted\\\", Number=1\">",
            "##INFO=<ID=DP,Number=1,Type=Integer,Description=\"Depth\">",
            "##FILTER=<ID=q10,Description=\"low\">",
            "##INFO=<ID=DB,Number=0,Type=Flag,Description=\"x\",IDX=9>",
            "##anything=<x",
        ];
        assert!(lines.iter().all(|line| header.add(line.as_bytes()) == Ok(false)));
        assert_eq!(header.add(b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ta\tb"), Ok(true));
        assert_eq!(header.contigs().collect::<Vec<_>>(), [("chr1", Some(100)), ("chr2", None)]);
        assert_eq!(header.info("AF"), Some(InfoField { kind: InfoKind::Float, list: true }));
        assert_eq!(header.info("DP"), Some(InfoField { kind: InfoKind::Integer, list: false }));
        assert_eq!(header.info_names(), ["AF", "DB", "DP"]);
        let names: Vec<_> = (0..11).map(|number| header.name(number)).collect();
        let none = [None; 5];
        assert_eq!(names[..4], [Some("PASS"), Some("AF"), Some("DP"), Some("q10")]);
        assert_eq!((&names[4..9], &names[9..]), (&none[..], &[Some("DB"), None][..]));
        assert_eq!((header.samples(), header.encoded), (2, true));
    }

    #[test]
    fn what_cannot_be_is_named() {
        let cases = [
            ("##INFO=<Number=1,Type=Integer>", "without an ID"),
            ("##INFO=<ID=X,Number=1,Type=Number>", "no type 'Number'"),
            ("##INFO=<ID=X,Number=1,Type=Integer,IDX=99999999>", "more than"),
            ("##INFO=<ID=X,Number=1,Type=Integer,IDX=0>", "IDX=0 is of 'PASS' and of 'X'"),
            ("##INFO=<ID=X,Number=1,Type=Integer,IDX=-1>", "no number"),
            ("#CHROM\tPOS\tID\tREF\tALT", "column names"),
            ("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT", "without a sample"),
            ("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tx", "column names"),
        ];
        for (line, expected) in cases {
            let problem = Header::begin().add(line.as_bytes()).expect_err(line);
            assert!(problem.contains(expected), "{line}: {problem}");
        }
    }
}
