//! An open Parquet file: which columns are read, and its rows a chunk at a time.

use std::{
    fs::File,
    ops::Range,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Schema},
    error::ArrowError,
};
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{
            ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
        },
    },
    errors::ParquetError,
};

use super::types;
use crate::{
    Error, Place, Result,
    schema::TimeKind,
    tables::{
        Layout, SeriesOptions,
        columns::{self, Columns, Keep},
        paths::stem,
    },
};

/// Rows decoded at once, where a row is an observation.
const CHUNK_ROWS: usize = 8192;
/// Rows decoded at once, where a row is a series.
const CHUNK_LISTS: usize = 16;

/// An open file.
pub(super) struct Table {
    path: PathBuf,
    file: File,
    metadata: ArrowReaderMetadata,
    mask: ProjectionMask,
    chunk_rows: usize,
    /// The file's only series, where there is no id column.
    pub(super) stem: String,
    /// The columns chosen, as places among those that are read.
    pub(super) columns: Columns,
    /// Names of the value columns.
    pub(super) value_names: Vec<String>,
    /// How time is written.
    pub(super) kind: TimeKind,
    /// Whether the time column holds a list of times for each series.
    pub(super) time_lists: bool,
    /// What ids are.
    pub(super) id_kind: Option<&'static str>,
}

/// The metadata of a file.
pub(super) fn metadata(path: &Path) -> Result<(File, ArrowReaderMetadata)> {
    let file = File::open(path).map_err(|source| Error::Io { path: path.into(), source })?;
    match guard(|| ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())) {
        Ok(metadata) => Ok((file, metadata)),
        Err(_) if is_gzip(path) => {
            let problem = "a Parquet file inside gzip is not read: decompress it first".into();
            Err(Error::Request { path: path.into(), problem })
        }
        Err(source) => {
            let problem = format!("not a whole Parquet file ({source}): it is damaged or was cut short");
            Err(Error::Invalid { path: path.into(), place: Place::Whole, problem })
        }
    }
}

/// Runs the Parquet library; where damage makes it panic, that is an error too.
pub(super) fn guard<T, E: From<ParquetError>>(run: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    panic::catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|payload| {
        let message = payload.downcast_ref::<String>().map(String::as_str);
        let message = message.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(ParquetError::General(format!("the decoder gave up: {message}")).into())
    })
}

/// Whether a file begins as gzip does.
fn is_gzip(path: &Path) -> bool {
    use std::io::Read as _;
    let mut first = [0; 2];
    File::open(path).and_then(|mut file| file.read_exact(&mut first)).is_ok() && first == [0x1f, 0x8b]
}

impl Table {
    /// Opens a file and chooses its columns.
    pub(super) fn open(path: &Path, options: &SeriesOptions) -> Result<Self> {
        let (file, metadata) = metadata(path)?;
        let request = |problem| Error::Request { path: path.into(), problem };
        let fields = metadata.schema().fields();
        let names: Vec<String> = fields.iter().map(|field| field.name().clone()).collect();
        let types: Vec<&DataType> = fields.iter().map(|field| field.data_type()).collect();
        let lists = options.layout == Layout::List;
        let is_value = |data_type: &&DataType| match (types::items(data_type), lists) {
            (Some(items), true) => types::is_value(items),
            (None, false) => types::is_value(data_type),
            _ => false,
        };
        let may_be_values: Vec<bool> = types.iter().map(is_value).collect();
        let options = with_start(options, &names);
        let chosen = columns::choose((&names, &may_be_values), &options, path).map_err(|problem| {
            let hint = hint(&types, lists);
            request(format!("{problem}{hint}"))
        })?;
        if let Some(&wrong) = chosen.values.iter().find(|&&column| !may_be_values[column]) {
            let wanted = if lists { "a list of numbers" } else { "a number" };
            let problem = format!("column '{}' is {}, not {wanted}", names[wrong], types[wrong]);
            return Err(request(problem + hint(&types, lists)));
        }
        let (kind, time_lists) = time(&chosen, &names, &types, &options).map_err(request)?;
        let id_kind = chosen.id.map(|id| {
            let problem = || format!("the id column '{}' is {}: neither text nor integers", names[id], types[id]);
            types::id_kind(types[id]).ok_or_else(|| request(problem()))
        });
        let (mask, columns) = projection(&metadata, &chosen);
        let metadata = with_dictionary(metadata, chosen.id);
        Ok(Self {
            path: path.into(),
            file,
            mask,
            chunk_rows: if lists { CHUNK_LISTS } else { CHUNK_ROWS },
            stem: columns.constant_id.clone().unwrap_or_else(|| stem(path)),
            value_names: chosen.values.iter().map(|&column| names[column].clone()).collect(),
            columns,
            kind,
            time_lists,
            id_kind: id_kind.transpose()?,
            metadata,
        })
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// How many row groups there are.
    pub(super) fn groups(&self) -> usize {
        self.metadata.metadata().num_row_groups()
    }

    /// Rows of a row group; the file may lie.
    pub(super) fn group_rows(&self, group: usize) -> u64 {
        u64::try_from(self.metadata.metadata().row_group(group).num_rows()).unwrap_or(0)
    }

    /// Stored bytes of a row group.
    pub(super) fn group_bytes(&self, group: usize) -> u64 {
        u64::try_from(self.metadata.metadata().row_group(group).compressed_size()).unwrap_or(0)
    }

    /// Where the columns that are read lie in the file.
    pub(super) fn column_ranges(&self) -> Vec<Range<u64>> {
        let groups = self.metadata.metadata().row_groups().iter();
        let read = groups
            .flat_map(|group| group.columns().iter().enumerate().filter(|(leaf, _)| self.mask.leaf_included(*leaf)));
        let range = |(start, len): (u64, u64)| start..start.saturating_add(len);
        read.map(|(_, column)| range(column.byte_range())).collect()
    }

    /// The rows of a row group.
    pub(super) fn read_group(&self, group: usize) -> Result<ParquetRecordBatchReader> {
        let file = self.file.try_clone().map_err(|source| Error::Io { path: self.path.clone(), source })?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone())
            .with_row_groups(vec![group])
            .with_projection(self.mask.clone())
            .with_batch_size(self.chunk_rows);
        guard(|| builder.build()).map_err(|source| self.damaged(group, 0, &ArrowError::from(source)))
    }

    /// The error of rows that cannot be decoded.
    pub(super) fn damaged(&self, group: usize, row: u64, source: &ArrowError) -> Error {
        let place = Place::Row { row_group: u32::try_from(group).unwrap_or(u32::MAX), row };
        let problem = format!("the rows from here on cannot be decoded ({source}): restore the file from its source");
        Error::Invalid { path: self.path.clone(), place, problem }
    }

    /// A row as text, for its reject; lists are left out.
    pub(super) fn shown(&self, rows: &RecordBatch, row: usize) -> Vec<u8> {
        let fields = rows.schema().fields().clone();
        let shown = fields.iter().zip(rows.columns()).filter(|(f, _)| types::items(f.data_type()).is_none());
        let shown = shown.map(|(field, column)| {
            let value = arrow::util::display::array_value_to_string(column, row).unwrap_or_default();
            format!("{}={value}", field.name())
        });
        shown.collect::<Vec<_>>().join(", ").into_bytes()
    }
}

/// Ids of text are read as a dictionary where they are stored as one: each id is looked up once, not once a row.
fn with_dictionary(metadata: ArrowReaderMetadata, id: Option<usize>) -> ArrowReaderMetadata {
    let schema = metadata.schema();
    let Some(id) = id.filter(|id| *schema.field(*id).data_type() == DataType::Utf8) else { return metadata };
    let fields = schema.fields().iter().enumerate().map(|(place, field)| match place == id {
        true => {
            let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
            Arc::new(field.as_ref().clone().with_data_type(dictionary))
        }
        false => Arc::clone(field),
    });
    let schema = Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone());
    let options = ArrowReaderOptions::new().with_schema(Arc::new(schema));
    ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options).unwrap_or(metadata)
}

/// The options, with lists' starts also looked for as `start`.
fn with_start(options: &SeriesOptions, names: &[String]) -> SeriesOptions {
    let mut options = options.clone();
    if options.layout == Layout::List && options.time.is_none() {
        options.time = names.iter().find(|name| name.eq_ignore_ascii_case("start")).cloned();
    }
    options
}

/// How time is written, and whether in lists.
fn time(
    chosen: &Columns,
    names: &[String],
    types: &[&DataType],
    options: &SeriesOptions,
) -> Result<(TimeKind, bool), String> {
    let Some(column) = chosen.time else { return Ok((TimeKind::Step, false)) };
    let (name, data_type) = (&names[column], types[column]);
    let items = types::items(data_type).filter(|_| options.layout == Layout::List);
    let kind = types::time_kind(items.unwrap_or(data_type)).ok_or_else(|| {
        format!("the time column '{name}' is {data_type}: neither timestamps, dates nor integers; cast it before")
    })?;
    let starts = options.layout == Layout::List && items.is_none();
    if starts && kind == TimeKind::Timestamp && options.frequency.is_none() {
        return Err(format!(
            "the lists start at times ('{name}'), but nothing says how often values follow: give the frequency"
        ));
    }
    Ok((kind, items.is_some()))
}

/// What to try where no value column fits.
fn hint(types: &[&DataType], lists: bool) -> &'static str {
    let there_are_lists = types.iter().any(|t| types::items(t).is_some_and(types::is_value));
    match (there_are_lists, lists) {
        (true, false) => "; there are columns of lists: read them with the list layout",
        (false, true) => "; there are no columns of lists: read the table with the long layout",
        _ => "",
    }
}

/// Reads only the columns chosen; their places among those that are read.
fn projection(metadata: &ArrowReaderMetadata, chosen: &Columns) -> (ProjectionMask, Columns) {
    let kept = chosen.keep.iter().filter_map(|keep| if let Keep::Column(column) = keep { Some(*column) } else { None });
    let mut read: Vec<usize> = chosen.values.iter().copied().chain(chosen.id).chain(chosen.time).chain(kept).collect();
    read.sort_unstable();
    read.dedup();
    let place = |column: usize| read.binary_search(&column).unwrap_or_default();
    let columns = Columns {
        id: chosen.id.map(place),
        time: chosen.time.map(place),
        values: chosen.values.iter().map(|&column| place(column)).collect(),
        wide: chosen.wide,
        constant_id: chosen.constant_id.clone(),
        keep: (chosen.keep.iter())
            .map(|keep| if let Keep::Column(column) = keep { Keep::Column(place(*column)) } else { keep.clone() })
            .collect(),
    };
    (ProjectionMask::roots(metadata.parquet_schema(), read.iter().copied()), columns)
}
