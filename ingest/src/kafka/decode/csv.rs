//! Lines of CSV without a header.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::{Cell, Payload, RowFn};

/// The reader.
pub(super) struct Csv {
    reader: Reader,
    /// The column of each wanted field.
    columns: Vec<usize>,
    /// Columns in a line.
    count: usize,
}

impl Csv {
    pub(super) fn new(paths: &[String], columns: &[String], delimiter: char) -> Result<Self, String> {
        let delimiter = u8::try_from(delimiter).map_err(|_| format!("delimiter '{delimiter}' is not ASCII"))?;
        let find = |path: &String| {
            let at = columns.iter().position(|column| column == path);
            at.ok_or_else(|| format!("field '{path}' is not among the columns: {}", columns.join(", ")))
        };
        let found = paths.iter().map(find).collect::<Result<_, _>>()?;
        Ok(Self { reader: ReaderBuilder::new().delimiter(delimiter).build(), columns: found, count: columns.len() })
    }
}

impl Payload for Csv {
    fn read<'a>(&mut self, payload: &'a [u8], row: &mut RowFn<'_, 'a>) -> Result<(), String> {
        self.reader.reset();
        let (mut text, mut ends) = (vec![0; payload.len() + 1], vec![0; self.count + 1]);
        let (mut rest, mut lines) = (payload, 0);
        loop {
            // The output has room for the whole payload, so a record comes in one piece, or with the end of input.
            let (mut written, mut fields) = (0, 0);
            let done = loop {
                let (result, read, wrote, ended) =
                    self.reader.read_record(rest, &mut text[written..], &mut ends[fields..]);
                rest = &rest[read..];
                written += wrote;
                fields += ended;
                match result {
                    ReadRecordResult::InputEmpty => (),
                    ReadRecordResult::Record => break true,
                    ReadRecordResult::End => break false,
                    ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                        return Err(format!("line {}: more than {} columns", lines + 1, self.count));
                    }
                }
            };
            if !done {
                return if lines > 0 { Ok(()) } else { Err("an empty payload".into()) };
            }
            lines += 1;
            if fields != self.count {
                return Err(format!("line {lines}: {} columns expected, found {fields}", self.count));
            }
            let cells = self.columns.iter().map(|&at| cell(&text, &ends, at));
            let cells =
                cells.collect::<Result<Vec<_>, _>>().map_err(|at| format!("line {lines}: column {at} is not UTF-8"))?;
            row(&cells).map_err(|fault| fault.1)?;
        }
    }
}

/// A column's text, or its 1-based number where it is none.
fn cell<'a>(text: &[u8], ends: &[usize], at: usize) -> Result<Cell<'a>, usize> {
    let start = if at == 0 { 0 } else { ends[at - 1] };
    let text = std::str::from_utf8(&text[start..ends[at]]).map_err(|_| at + 1)?;
    Ok(if text.is_empty() { Cell::Missing } else { Cell::Text(text.to_owned().into()) })
}
