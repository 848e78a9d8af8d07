//! What a CSV file holds, for a person.

use super::Opened;
use crate::{Result, format::fact, reads::input::Input, schema::TimeKind, tables::paths::MAX_COUNTED_BYTES};

/// The delimiter, the columns with what their first rows hold, and the number of rows.
pub(crate) fn facts(input: Input) -> Result<Vec<(String, String)>> {
    let Opened { mut input, mut reader, names, dialect } = Opened::new(input)?;
    let delimiter = match dialect.delimiter {
        b'\t' => "tab".to_owned(),
        other => format!("'{}'", char::from(other)),
    };
    let header = if dialect.header { "first row" } else { "none: columns are numbered" };
    let mut facts = vec![fact("delimiter", delimiter), fact("header", header)];
    let numeric = dialect.numeric(names.len());
    for (column, name) in names.iter().enumerate() {
        let kind = match (numeric[column], dialect.time(column)) {
            (true, _) => "numbers",
            (false, Ok(Some(TimeKind::Timestamp))) => "times",
            _ => "text",
        };
        facts.push(fact(format!("column {name}"), kind));
    }
    if input.progress().is_some_and(|(_, size)| size <= MAX_COUNTED_BYTES) {
        let mut rows = u64::from(!dialect.header);
        while reader.read(&mut input)? {
            rows += 1;
        }
        facts.push(fact("rows", rows));
    }
    Ok(facts)
}
