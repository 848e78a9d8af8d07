//! Parquet: a row an observation, or a row a series with its values in a list.
//!
//! Only the columns chosen are read, a row group at a time.

mod chunk;
mod facts;
mod table;
mod types;

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

pub(crate) use self::facts::facts;
use self::{
    chunk::Chunk,
    table::{Table, guard},
};
use super::{
    SeriesOptions,
    decoder::{Records, SeriesDecoder},
    paths::total_size,
    rows::Rows,
};
use crate::{Error, Place, Position, Result};

/// The files, read one after the other.
struct Files {
    files: Vec<PathBuf>,
    options: SeriesOptions,
    /// Number of the file at hand.
    file: usize,
    table: Table,
    /// Number of the row group at hand.
    group: usize,
    /// What is left of the row group at hand, once it was begun.
    reader: Option<ParquetRecordBatchReader>,
    chunk: Option<Chunk>,
    /// The next row of the chunk.
    chunk_row: usize,
    /// The next row of the row group.
    row: u64,
    /// Stored bytes of the row groups read, and of all files.
    bytes: (u64, u64),
}

/// Parquet files as one stream.
pub(super) fn open(files: &[PathBuf], options: &SeriesOptions) -> Result<SeriesDecoder<impl Records + use<>>> {
    let table = Table::open(&files[0], options)?;
    for file in &files[1..] {
        let other = Table::open(file, options)?;
        let (first, there) = (&table, &other);
        let conflict = if first.kind != there.kind {
            Some(format!("its times are of kind {:?}, those of {} {:?}", there.kind, files[0].display(), first.kind))
        } else if first.id_kind != there.id_kind {
            let show = |kind: Option<&'static str>| kind.unwrap_or("not there");
            let (here, first) = (show(there.id_kind), show(first.id_kind));
            Some(format!("its ids are {here}, those of {} {first}", files[0].display()))
        } else {
            None
        };
        if let Some(problem) = conflict {
            return Err(Error::Request { path: file.clone(), problem });
        }
    }
    let rows = options.rows(table.kind);
    let files = Files {
        files: files.to_vec(),
        options: options.clone(),
        file: 0,
        table,
        group: 0,
        reader: None,
        chunk: None,
        chunk_row: 0,
        row: 0,
        bytes: (0, total_size(files)),
    };
    Ok(SeriesDecoder::new(files, rows, options.start))
}

/// See [`super::column_ranges`].
pub(super) fn column_ranges(path: &Path, options: &SeriesOptions) -> Result<Vec<Range<u64>>> {
    Ok(Table::open(path, options)?.column_ranges())
}

impl Files {
    /// Goes to the next chunk that has a row; `false` at the end.
    fn next_chunk(&mut self) -> Result<bool> {
        loop {
            if self.chunk.as_ref().is_some_and(|chunk| self.chunk_row < chunk.len()) {
                return Ok(true);
            }
            (self.chunk, self.chunk_row) = (None, 0);
            if self.group >= self.table.groups() {
                let Some(path) = self.files.get(self.file + 1) else { return Ok(false) };
                self.table = Table::open(path, &self.options)?;
                (self.file, self.group, self.row) = (self.file + 1, 0, 0);
                continue;
            }
            let reader = match &mut self.reader {
                Some(reader) => reader,
                None => self.reader.insert(self.table.read_group(self.group)?),
            };
            let damaged = |source| self.table.damaged(self.group, self.row, &source);
            match guard(|| reader.next().transpose()).map_err(damaged)? {
                Some(rows) if rows.num_rows() as u64 <= self.table.group_rows(self.group) - self.row => {
                    self.chunk = Some(Chunk::new(rows, &self.table, &self.options).map_err(damaged)?);
                }
                None if self.row == self.table.group_rows(self.group) => self.next_group(),
                _ => {
                    let place = Place::Row { row_group: u32::try_from(self.group).unwrap_or(u32::MAX), row: self.row };
                    let rows = self.table.group_rows(self.group);
                    let problem = format!("the row group does not have the {rows} rows it should: the file is damaged");
                    return Err(Error::Invalid { path: self.table.path().into(), place, problem });
                }
            }
        }
    }

    /// Goes on to the next row group.
    fn next_group(&mut self) {
        self.bytes.0 += self.table.group_bytes(self.group);
        (self.group, self.row, self.reader) = (self.group + 1, 0, None);
    }
}

impl Records for Files {
    fn step(&mut self, rows: &mut Rows) -> Result<bool> {
        if !self.next_chunk()? {
            return Ok(false);
        }
        let Some(chunk) = &self.chunk else { return Ok(false) };
        let place = || Place::Row { row_group: u32::try_from(self.group).unwrap_or(u32::MAX), row: self.row };
        let shown = || format!("{}{}", self.table.path().display(), place());
        chunk.add(self.chunk_row, &self.table, rows, &shown).map_err(|problem| Error::Invalid {
            path: self.table.path().into(),
            place: place(),
            problem,
        })?;
        self.chunk_row += 1;
        self.row += 1;
        Ok(true)
    }

    fn steps(&mut self, rows: &mut Rows) -> Result<bool> {
        if !self.next_chunk()? {
            return Ok(false);
        }
        let Some(chunk) = &mut self.chunk else { return Ok(false) };
        let added = chunk.add_plain(self.chunk_row, &self.table, rows).map_err(|problem| Error::Invalid {
            path: self.table.path().into(),
            place: Place::Row { row_group: u32::try_from(self.group).unwrap_or(u32::MAX), row: self.row },
            problem,
        })?;
        self.chunk_row += added;
        self.row += added as u64;
        if added > 0 { Ok(true) } else { self.step(rows) }
    }

    fn position(&self) -> Position {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let (file, row_group) = (number(self.file), number(self.group));
        let ended = self.group < self.table.groups() && self.row >= self.table.group_rows(self.group);
        match ended {
            true => Position::Parquet { file, row_group: row_group.saturating_add(1), row: 0 },
            false => Position::Parquet { file, row_group, row: self.row },
        }
    }

    fn path(&self) -> PathBuf {
        self.files[0].clone()
    }

    fn progress(&self) -> Option<(u64, u64)> {
        Some((self.bytes.0.min(self.bytes.1), self.bytes.1))
    }
}
