//! What a Parquet file holds, for a person.

use std::{collections::BTreeSet, path::Path};

use super::table::metadata;
use crate::{Result, format::fact};

/// What the footer says.
pub(crate) fn facts(path: &Path) -> Result<Vec<(String, String)>> {
    let (_, metadata) = metadata(path)?;
    let file = metadata.metadata().file_metadata();
    let mut facts = vec![fact("rows", file.num_rows()), fact("row groups", metadata.metadata().num_row_groups())];
    facts.extend(file.created_by().map(|by| fact("created by", by)));
    let chunks = metadata.metadata().row_groups().iter().flat_map(|group| group.columns());
    let codecs: BTreeSet<String> = chunks.map(|chunk| chunk.compression().to_string()).collect();
    facts.push(fact("compression", codecs.into_iter().collect::<Vec<_>>().join(", ")));
    let columns = metadata.schema().fields().iter();
    facts.extend(columns.map(|field| fact(format!("column {}", field.name()), field.data_type())));
    Ok(facts)
}
