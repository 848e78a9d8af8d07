//! The header of a TSF file: `@` lines up to `@data`.

use super::{calendar::Frequency, cursor::Cursor};
use crate::{Result, tables::columns};

/// The longest header line.
const MAX_LINE_BYTES: usize = 64 << 10;

/// What an attribute of a series holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributeKind {
    /// Text.
    String,
    /// A number.
    Numeric,
    /// A timestamp.
    Date,
}

/// The header of a TSF file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TsfHeader {
    /// The name of the set.
    pub relation: Option<String>,
    /// What stands before the values of each series.
    pub attributes: Vec<(String, AttributeKind)>,
    /// How often series are observed.
    pub frequency: Option<Frequency>,
    /// Values to forecast; the standard test set is the last so many of each series.
    pub horizon: Option<u64>,
    /// Whether values are missing.
    pub missing: Option<bool>,
    /// Whether all series are of one length.
    pub equal_length: Option<bool>,
}

impl TsfHeader {
    /// Reads the header; the cursor then stands at the first series.
    ///
    /// # Errors
    /// When the header is damaged, with the line.
    pub(super) fn read(cursor: &mut Cursor) -> Result<Self> {
        let mut header = Self::default();
        if cursor.at_byte_order_mark()? {
            cursor.advance(3);
        }
        loop {
            let line = cursor.line();
            if cursor.peek()?.is_none() {
                return Err(cursor.invalid(line, "the file ends before '@data'".into()));
            }
            cursor.read(b'\n', MAX_LINE_BYTES)?;
            let text = String::from_utf8_lossy(cursor.raw()).trim().to_owned();
            match header.add(&text) {
                Ok(true) => return Ok(header),
                Ok(false) => {}
                Err(problem) => return Err(cursor.invalid(line, problem)),
            }
        }
    }

    /// The attribute that names a series.
    pub(super) fn id(&self, named: Option<&str>) -> Result<Option<usize>, String> {
        let conventional = ["series_name", "id", "series_id", "unique_id", "item_id"];
        let found = columns::named_or(&self.names(), named, &conventional, "id")?;
        Ok(found.or_else(|| self.first(AttributeKind::String)))
    }

    /// The attribute that holds a series' start.
    pub(super) fn start(&self, named: Option<&str>) -> Result<Option<usize>, String> {
        let found = columns::named_or(&self.names(), named, &["start_timestamp"], "time")?;
        if let (Some(found), Some(name)) = (found, named)
            && self.attributes[found].1 != AttributeKind::Date
        {
            return Err(format!("the attribute '{name}' is no date"));
        }
        Ok(self.first(AttributeKind::Date).map(|first| found.unwrap_or(first)))
    }

    fn names(&self) -> Vec<String> {
        self.attributes.iter().map(|(name, _)| name.clone()).collect()
    }

    fn first(&self, kind: AttributeKind) -> Option<usize> {
        self.attributes.iter().position(|&(_, there)| there == kind)
    }

    /// Adds a line; `true` when it ends the header.
    fn add(&mut self, line: &str) -> Result<bool, String> {
        if line.is_empty() || line.starts_with('#') {
            return Ok(false);
        }
        let mut words = line.split_whitespace();
        let tag = words.next().unwrap_or_default().to_ascii_lowercase();
        let words: Vec<&str> = words.collect();
        let one = || words.first().copied().ok_or_else(|| format!("'{tag}' says nothing"));
        match tag.as_str() {
            "@data" => return Ok(true),
            "@relation" => self.relation = Some(words.join(" ")),
            "@attribute" => self.attributes.push(attribute(&words)?),
            "@frequency" => self.frequency = Some(one()?.parse()?),
            "@horizon" => {
                let text = one()?;
                self.horizon = Some(text.parse().map_err(|_| format!("the horizon '{text}' is no whole number"))?);
            }
            "@missing" => self.missing = Some(truth(one()?)?),
            "@equallength" => self.equal_length = Some(truth(one()?)?),
            _ if tag.starts_with('@') => {}
            _ => return Err("a line that begins with neither '@' nor '#' before '@data'".into()),
        }
        Ok(false)
    }
}

/// `name kind`.
fn attribute(words: &[&str]) -> Result<(String, AttributeKind), String> {
    let [name, kind] = words else {
        return Err("an attribute has a name and a type ('@attribute series_name string')".into());
    };
    let kind = match kind.to_ascii_lowercase().as_str() {
        "string" => AttributeKind::String,
        "numeric" => AttributeKind::Numeric,
        "date" => AttributeKind::Date,
        other => return Err(format!("the attribute type '{other}' is neither string, numeric nor date")),
    };
    Ok(((*name).to_owned(), kind))
}

fn truth(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("'{text}' is neither true nor false")),
    }
}
