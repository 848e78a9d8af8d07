//! Features of contigs, regions and labels: BED, GFF3 and GTF, as [`crate::schema::features`].
//!
//! The format is told by its header line or by the file's name, or named by the caller: the lines of the three are too much
//! alike to guess. Plain text, gzip and BGZF are read, and positions are exact in all of them. A line that cannot be used
//! becomes a reject. Comments, `track` and `browser` lines are passed over; a GFF ends where its `##FASTA` begins.

mod attributes;
mod bed;
mod gff;
mod rows;

use std::path::Path;

use self::rows::Columns;
use crate::{
    Decode, Error, Position, Result, Threaded,
    one_by_one::Decoder,
    reads::input::{Input, MAX_RECORD_BYTES},
};

/// Batches that may wait between the decoding thread and the reader.
const BATCHES_AHEAD: usize = 2;
/// First bytes looked at.
const FIRST_BYTES: usize = 64;

/// A format of features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureFormat {
    /// 0-based, half-open; three to twelve columns.
    Bed,
    /// 1-based, closed; attributes as `key=value`.
    Gff3,
    /// 1-based, closed; attributes as `key "value"`.
    Gtf,
}

/// How a file of features is read.
#[derive(Clone, Debug)]
pub struct FeatureOptions {
    /// The format; `None`: told by the first line or the file's name.
    pub format: Option<FeatureFormat>,
    /// Attributes that become columns `attribute_NAME`, in this order.
    pub attributes: Vec<String>,
    /// A batch ends at so many rows.
    pub batch_rows: usize,
    /// The longest line, in bytes. At most 256 MiB.
    pub max_line_bytes: usize,
    /// Where to go on; `None`: at the start.
    pub start: Option<Position>,
}

impl Default for FeatureOptions {
    fn default() -> Self {
        Self { format: None, attributes: vec![], batch_rows: 8192, max_line_bytes: 16 << 20, start: None }
    }
}

/// Opens a file of features.
///
/// # Errors
/// [`Error::Io`] when the file cannot be opened; [`Error::Request`] when its format is not known, attributes are asked of a
/// BED file, or the position is of another kind of file.
pub fn open(path: &Path, options: &FeatureOptions) -> Result<Threaded> {
    let decoder = decoder(path, options)?;
    Ok(Threaded::spawn(decoder, &path.display().to_string(), BATCHES_AHEAD))
}

/// The blocking reader behind [`open`].
///
/// # Errors
/// As [`open`].
pub fn decoder(path: &Path, options: &FeatureOptions) -> Result<Box<dyn Decode>> {
    let mut input = Input::open(path, 0)?;
    let told = match options.format {
        Some(format) => Some(format),
        None => sniff(&input.first(FIRST_BYTES)?).or_else(|| by_name(path)),
    };
    let Some(format) = told else {
        let problem = "neither its first line nor its name (.bed, .gff, .gff3, .gtf) says which format it is".into();
        return Err(Error::Request { path: path.into(), problem });
    };
    if format == FeatureFormat::Bed && !options.attributes.is_empty() {
        return Err(input.request("a BED file has no attributes".into()));
    }
    let columns = Columns::new(&options.attributes);
    let number = options.start.map_or(Ok(0), |start| input.seek(start).map(|at| at.0))?;
    let most = options.max_line_bytes.clamp(1, MAX_RECORD_BYTES);
    Ok(match format {
        FeatureFormat::Bed => Box::new(Decoder::new(bed::Bed::new(input, most), columns, (options.batch_rows, number))),
        FeatureFormat::Gff3 | FeatureFormat::Gtf => {
            let gff = gff::Gff::new(input, format, options.attributes.clone(), most);
            Box::new(Decoder::new(gff, columns, (options.batch_rows, number)))
        }
    })
}

/// The format by the first bytes.
fn sniff(first: &[u8]) -> Option<FeatureFormat> {
    let begins = |text: &str| first.starts_with(text.as_bytes());
    match () {
        () if begins("##gff-version 3") || begins("##gff-version\t3") => Some(FeatureFormat::Gff3),
        () if begins("##gff-version 2") || begins("#!genome-build") => Some(FeatureFormat::Gtf),
        () if begins("track ") || begins("browser ") => Some(FeatureFormat::Bed),
        () => None,
    }
}

/// The format that a file's name promises.
fn by_name(path: &Path) -> Option<FeatureFormat> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let name = [".gz", ".bgz", ".bgzf"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
    match name.rsplit_once('.')?.1 {
        "bed" => Some(FeatureFormat::Bed),
        "gff" | "gff3" => Some(FeatureFormat::Gff3),
        "gtf" | "gff2" => Some(FeatureFormat::Gtf),
        _ => None,
    }
}

/// Columns as text.
///
/// # Errors
/// When one is not UTF-8.
fn columns(line: &[u8]) -> Result<Vec<&str>, String> {
    let line = std::str::from_utf8(line).map_err(|_| "the line is not UTF-8")?;
    // BED allows spaces between columns, where there is no tab.
    Ok(if line.contains('\t') { line.split('\t').collect() } else { line.split_whitespace().collect() })
}

/// `.` and nothing are no value.
fn value(text: &str) -> Option<&str> {
    (!matches!(text, "." | "")).then_some(text)
}

/// A place that a column gives.
///
/// # Errors
/// When it is no number.
fn place(text: &str, what: &str) -> Result<u64, String> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = digits.then(|| text.parse().ok()).flatten();
    number.ok_or_else(|| format!("{what} '{}' is no number", text.escape_debug()))
}

/// A score.
///
/// # Errors
/// When it is no number.
fn score(text: &str) -> Result<Option<f64>, String> {
    let number = |text: &str| text.parse().map_err(|_| format!("score '{}' is no number", text.escape_debug()));
    value(text).map(number).transpose()
}

/// A strand.
///
/// # Errors
/// When it is none.
fn strand(text: &str) -> Result<Option<&str>, String> {
    match text {
        "+" | "-" => Ok(Some(text)),
        "." | "" | "?" => Ok(None),
        _ => Err(format!("strand '{}' is none of + - . ?", text.escape_debug())),
    }
}
