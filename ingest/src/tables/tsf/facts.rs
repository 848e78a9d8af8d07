//! What a TSF file holds, for a person.

use super::{AttributeKind, TsfHeader, cursor::Cursor};
use crate::{Result, format::fact, reads::input::Input, tables::paths::MAX_COUNTED_BYTES};

/// What the header says, and the number of series.
pub(crate) fn facts(input: Input) -> Result<Vec<(String, String)>> {
    let mut cursor = Cursor::new(input);
    let header = TsfHeader::read(&mut cursor)?;
    let mut facts: Vec<(String, String)> = header.relation.iter().map(|name| fact("relation", name)).collect();
    for (name, kind) in &header.attributes {
        let kind = match kind {
            AttributeKind::String => "text",
            AttributeKind::Numeric => "numbers",
            AttributeKind::Date => "times",
        };
        facts.push(fact(format!("attribute {name}"), kind));
    }
    facts.extend(header.frequency.map(|frequency| fact("frequency", frequency)));
    facts.extend(header.horizon.map(|horizon| fact("horizon", horizon)));
    facts.extend(header.missing.map(|missing| fact("missing values", missing)));
    facts.extend(header.equal_length.map(|equal| fact("equal lengths", equal)));
    if cursor.input().progress().is_some_and(|(_, size)| size <= MAX_COUNTED_BYTES) {
        let mut series = 0_u64;
        while cursor.next_series()? {
            cursor.read(b'\n', 0)?;
            series += 1;
        }
        facts.push(fact("series", series));
    }
    Ok(facts)
}
