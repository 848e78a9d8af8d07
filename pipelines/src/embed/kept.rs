//! Columns of reads that go along with their embeddings.

use std::sync::Arc;

use arrow::{
    array::RecordBatch,
    datatypes::{Field, FieldRef},
};
use unspool_ingest::{
    reads::{self, ReadOptions, TagColumn},
    schema,
};

use crate::{Error, Result};

/// Columns that say where a row begins and what it holds: they differ from piece to piece of a record, or are in the output anyway.
const OWN: [&str; 5] = ["id", "start", "last", "sequence", "quality"];

/// Columns of the reads schema, and optional fields of SAM, BAM and CRAM files, that stand in each row of a record's embeddings too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptColumns {
    fields: Vec<FieldRef>,
    tags: Vec<TagColumn>,
}

impl KeptColumns {
    /// Columns by name (`reference`), and tags with their types (`CB:Z`, which becomes the column `tag_CB`), in the order of the output.
    ///
    /// # Errors
    /// What is wrong with a name.
    pub fn parse<S: AsRef<str>>(names: &[S]) -> Result<Self, String> {
        let mut kept = Self::default();
        for name in names.iter().map(AsRef::as_ref) {
            let field = match TagColumn::parse(name) {
                Ok(tag) => {
                    kept.tags.push(tag);
                    reads::schema(&[tag]).fields().iter().next_back().map(Arc::clone)
                }
                Err(_) => columns().find(|field| field.name() == name),
            };
            let Some(field) = field else {
                let there: Vec<String> = columns().map(|field| field.name().clone()).collect();
                return Err(format!(
                    "'{name}' is no column of reads that can be kept: {}, or a tag with its type, such as CB:Z",
                    there.join(", ")
                ));
            };
            if kept.fields.iter().any(|other| other.name() == field.name()) {
                return Err(format!("'{name}' stands there twice"));
            }
            kept.fields.push(field);
        }
        Ok(kept)
    }

    /// The same way of reading a file, with these columns.
    #[must_use]
    pub fn read(&self, mut options: ReadOptions) -> ReadOptions {
        options.tags.clone_from(&self.tags);
        if let Some(columns) = &mut options.columns {
            let plain = columns_of(&self.fields).filter(|name| schema::reads().column_with_name(name).is_some());
            columns.extend(plain.map(str::to_owned));
        }
        options
    }

    /// The columns of the output.
    pub(crate) fn fields(&self) -> &[FieldRef] {
        &self.fields
    }

    /// These columns of rows; `None` where there are none.
    pub(crate) fn of(&self, rows: &RecordBatch) -> Result<Option<RecordBatch>> {
        if self.fields.is_empty() {
            return Ok(None);
        }
        let schema = rows.schema();
        let place = |name: &str| schema.index_of(name).map_err(|_| Error::Rows(format!("a column '{name}' is needed")));
        let places = columns_of(&self.fields).map(place).collect::<Result<Vec<_>>>()?;
        Ok(Some(rows.project(&places)?))
    }
}

fn columns() -> impl Iterator<Item = FieldRef> {
    let all: Vec<FieldRef> = schema::reads().fields().iter().map(Arc::clone).collect();
    all.into_iter().filter(|field| !OWN.contains(&field.name().as_str()))
}

fn columns_of(fields: &[FieldRef]) -> impl Iterator<Item = &str> {
    fields.iter().map(|field: &Arc<Field>| field.name().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told() {
        let check = |names: &[&str], expected: Result<&[&str], &str>| {
            let found = KeptColumns::parse(names);
            match (&found, expected) {
                (Ok(kept), Ok(expected)) => {
                    assert_eq!(columns_of(kept.fields()).collect::<Vec<_>>(), expected);
                    let columns = Some(vec!["id".to_owned()]);
                    let options = kept.read(ReadOptions { columns, ..ReadOptions::default() });
                    let tags = options.tags.iter().map(TagColumn::name);
                    let mut all: Vec<String> = options.columns.unwrap().into_iter().skip(1).chain(tags).collect();
                    let mut expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
                    all.sort();
                    expected.sort();
                    assert_eq!(all, expected);
                }
                (Err(error), Err(expected)) => assert!(error.contains(expected), "{error}"),
                _ => panic!("{names:?}: {found:?}"),
            }
        };
        check(&[], Ok(&[]));
        check(&["CB:Z", "reference", "NM:i", "flag"], Ok(&["tag_CB", "reference", "tag_NM", "flag"]));
        check(&["sequence"], Err("'sequence' is no column of reads that can be kept: flag, reference, position, "));
        check(&["CB"], Err("or a tag with its type, such as CB:Z"));
        check(&["flag", "flag"], Err("'flag' stands there twice"));
        check(&["NM:i", "NM:f"], Err("'NM:f' stands there twice"));
    }
}
