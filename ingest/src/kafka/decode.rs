//! Payloads to rows, many records at a time.

mod avro;
mod cell;
mod csv;
mod ipc;
mod json;
mod protobuf;
mod rows;
mod table;

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use serde::{Deserialize, Serialize};

use self::{cell::Cell, rows::Rows};
use super::{Content, Fields, Location, Record, RejectKind, Rejected, Schema, TimeFrom, TimeUnit, fields::Slots};
use crate::schema;

/// How payloads are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// A JSON object; numbers are read to the nearest double.
    Json,
    /// Lines of CSV without a header, their columns named here.
    Csv {
        /// The columns' names, in order.
        columns: Vec<String>,
        /// What stands between two columns: one ASCII character.
        delimiter: char,
    },
    /// An Arrow IPC stream: schema and batches; each row is one.
    Arrow,
    /// Avro: a record each.
    Avro {
        /// The schema, if payloads do not begin with its number in a registry.
        schema: Option<String>,
    },
    /// Protobuf: a message each.
    Protobuf {
        /// The `.proto` text and the message's full name, if payloads do not begin with a number in a registry.
        schema: Option<(String, String)>,
    },
}

/// What records came to.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// Rows in the records' order, as [`schema::events`].
    pub rows: RecordBatch,
    /// What could not be used.
    pub rejects: Vec<Rejected>,
}

/// One format's reader: cells of each row of a payload, in the order of the paths it was made with.
trait Payload: Send {
    /// Calls `row` for each row.
    ///
    /// # Errors
    /// What is wrong with the payload; rows given before that are not to be used.
    fn read<'a>(&mut self, payload: &'a [u8], row: &mut RowFn<'_, 'a>) -> Result<(), String>;

    /// Payloads that are read together, at most; 0: one by one.
    fn together(&self) -> usize {
        0
    }

    /// Reads the first payloads together, a row each; how many they were.
    fn read_many<'a>(&mut self, payloads: &[&'a [u8]], row: &mut ManyFn<'_, 'a>) -> usize {
        let _ = (payloads, row);
        0
    }

    /// The number of a schema that is not known yet.
    fn wants(&self, payload: &[u8]) -> Option<u32> {
        let _ = payload;
        None
    }

    /// Takes a schema in, or why there is none: payloads of it are rejects then.
    ///
    /// # Errors
    /// When the job cannot work with it.
    fn learn(&mut self, id: u32, schema: Result<Schema, String>) -> Result<(), String> {
        let _ = (id, schema);
        Ok(())
    }
}

/// Takes the cells of one of many payloads.
type ManyFn<'f, 'a> = dyn FnMut(usize, &[Cell<'a>]) + 'f;

/// The schema's number that a payload begins with, and the rest: a zero byte, then 4 bytes, big-endian.
fn framing(payload: &[u8]) -> Result<(u32, &[u8]), String> {
    match payload.split_first_chunk::<5>() {
        Some(([0, a, b, c, d], rest)) => Ok((u32::from_be_bytes([*a, *b, *c, *d]), rest)),
        _ => Err("it does not begin with a schema's number".into()),
    }
}

/// Takes one row's cells.
type RowFn<'f, 'a> = dyn FnMut(&[Cell<'a>]) -> Result<(), Fault> + 'f;

/// Why a row is no row.
struct Fault(RejectKind, String);

/// Decodes records into rows.
pub struct Decoder {
    fields: Fields,
    slots: Slots,
    payload: Box<dyn Payload>,
    rows: Rows,
}

impl Decoder {
    /// A decoder of payloads in `format`.
    ///
    /// # Errors
    /// When a field is not among a CSV's columns.
    pub fn new(format: &Format, fields: Fields) -> Result<Self, String> {
        let (paths, slots) = fields.paths();
        let payload: Box<dyn Payload> = match format {
            Format::Json => Box::new(json::Json::new(&paths)),
            Format::Csv { columns, delimiter } => Box::new(csv::Csv::new(&paths, columns, *delimiter)?),
            Format::Arrow => Box::new(ipc::Ipc::new(&paths)),
            Format::Avro { schema } => Box::new(avro::Avro::new(&paths, schema.as_deref())?),
            Format::Protobuf { schema } => {
                let given = schema.as_ref().map(|(text, message)| (&text[..], &message[..]));
                Box::new(protobuf::Protobuf::new(&paths, given)?)
            }
        };
        Ok(Self { fields, slots, payload, rows: Rows::default() })
    }

    /// The rows' schema.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        schema::events()
    }

    /// Numbers of schemas that must be learnt before these records can be decoded.
    #[must_use]
    pub fn missing(&self, records: &[Record<'_>]) -> BTreeSet<u32> {
        records.iter().filter_map(|record| self.payload.wants(record.payload?)).collect()
    }

    /// Takes a schema in, or why there is none: payloads of it are rejects then.
    ///
    /// # Errors
    /// When the job cannot work with it.
    pub fn learn(&mut self, id: u32, schema: Result<Schema, String>) -> Result<(), String> {
        self.payload.learn(id, schema)
    }

    /// Decodes records: of each, all rows or a reject.
    pub fn decode(&mut self, records: &[Record<'_>]) -> Decoded {
        let (mut rejects, mut from) = (vec![], 0);
        while from < records.len() {
            let many = self.many(&records[from..], &mut rejects);
            if many == 0 {
                self.one(&records[from], &mut rejects);
            }
            from += many.max(1);
        }
        Decoded { rows: self.rows.take(), rejects }
    }

    /// Decodes the first records together, where their format can; how many they were.
    fn many(&mut self, records: &[Record<'_>], rejects: &mut Vec<Rejected>) -> usize {
        let together = self.payload.together();
        if together == 0 {
            return 0;
        }
        let payloads: Vec<&[u8]> = records.iter().take(together).map_while(|record| record.payload).collect();
        let Self { fields, slots, payload: reader, rows } = self;
        let before = rows.len();
        let mut row = |at: usize, cells: &[Cell<'_>]| {
            let before = rows.len();
            if let Err(Fault(kind, reason)) = push(rows, (fields, slots), &records[at], cells) {
                rows.truncate(before);
                rejects.push(records[at].reject(kind, reason));
            }
        };
        let read = catch_unwind(AssertUnwindSafe(|| reader.read_many(&payloads, &mut row)));
        read.unwrap_or_else(|_| {
            // One by one the guilty one is found.
            rows.truncate(before);
            0
        })
    }

    fn one(&mut self, record: &Record<'_>, rejects: &mut Vec<Rejected>) {
        let before = self.rows.len();
        let done = match record.payload {
            None => self.end(record),
            Some(payload) => self.record(record, payload),
        };
        if let Err(Fault(kind, reason)) = done {
            self.rows.truncate(before);
            rejects.push(record.reject(kind, reason));
        }
    }

    fn record(&mut self, record: &Record<'_>, payload: &[u8]) -> Result<(), Fault> {
        let Self { fields, slots, payload: reader, rows } = self;
        let mut fault = None;
        let mut row = |cells: &[Cell<'_>]| push(rows, (fields, slots), record, cells);
        // A library's fault on bytes that somebody sent is a reject like any other.
        let read = catch_unwind(AssertUnwindSafe(|| {
            reader.read(payload, &mut |cells| {
                row(cells).map_err(|Fault(kind, reason)| {
                    fault = Some(Fault(kind, reason.clone()));
                    Fault(kind, reason)
                })
            })
        }));
        match (fault, read) {
            (Some(fault), _) => Err(fault),
            (None, Ok(Ok(()))) => Ok(()),
            (None, Ok(Err(reason))) => Err(Fault(RejectKind::Payload, reason)),
            (None, Err(_)) => Err(Fault(RejectKind::Payload, "the payload is damaged".into())),
        }
    }

    /// A tombstone ends a series.
    fn end(&mut self, record: &Record<'_>) -> Result<(), Fault> {
        let id = id(&self.fields, record, None)?;
        let time = time(&self.fields, record, None).unwrap_or(i64::MIN);
        match &self.fields.content {
            Content::Values(names) if names.len() > 1 => {
                names.iter().for_each(|name| self.rows.end(record, &format!("{id}/{name}"), time));
            }
            Content::Values(_) | Content::Sequence(_) => self.rows.end(record, &id, time),
        }
        Ok(())
    }
}

/// Adds the rows of one row's cells.
fn push(
    rows: &mut Rows,
    (fields, slots): (&Fields, &Slots),
    record: &Record<'_>,
    cells: &[Cell<'_>],
) -> Result<(), Fault> {
    let id = id(fields, record, slots.id.map(|slot| &cells[slot]))?;
    let time = time(fields, record, slots.time.map(|slot| &cells[slot]))?;
    match &fields.content {
        Content::Sequence(name) => {
            let text = cells[slots.content[0]].text().filter(|text| !text.is_empty());
            let text = text.ok_or_else(|| missing(name, "bases as text"))?;
            rows.bases(record, &id, time, &text);
        }
        Content::Values(names) => {
            for (name, slot) in names.iter().zip(&slots.content) {
                let wrong = |problem| Fault(RejectKind::Field, format!("field '{name}': {problem}"));
                let value = cells[*slot].value().map_err(wrong)?;
                if names.len() == 1 {
                    rows.value(record, &id, time, value);
                } else {
                    rows.value(record, &format!("{id}/{name}"), time, value);
                }
            }
        }
    }
    Ok(())
}

fn missing(name: &str, what: &str) -> Fault {
    Fault(RejectKind::Field, format!("field '{name}': {what} expected"))
}

/// The series' name.
fn id<'a>(fields: &Fields, record: &Record<'a>, cell: Option<&Cell<'a>>) -> Result<std::borrow::Cow<'a, str>, Fault> {
    let text = |what: &str, bytes: Option<&'a [u8]>| {
        let bytes = bytes.ok_or_else(|| Fault(RejectKind::Field, format!("no {what} names the series")))?;
        let text = std::str::from_utf8(bytes).map_err(|_| Fault(RejectKind::Field, format!("the {what} is not UTF-8")));
        text.map(std::borrow::Cow::Borrowed)
    };
    let id = match &fields.id {
        Location::Key => text("key", record.key)?,
        Location::Partition => record.partition.to_string().into(),
        Location::Header(name) => text(&format!("header '{name}'"), header(record, name))?,
        Location::Field(name) => match cell {
            None => return Err(Fault(RejectKind::Field, "a tombstone whose key does not name a series".into())),
            Some(cell) => cell.text().ok_or_else(|| missing(name, "a series' name"))?,
        },
    };
    if id.len() > schema::MAX_ID_BYTES {
        return Err(Fault(RejectKind::Field, format!("the series' name has more than {} bytes", schema::MAX_ID_BYTES)));
    }
    Ok(id)
}

/// The time, in µs or steps.
fn time(fields: &Fields, record: &Record<'_>, cell: Option<&Cell<'_>>) -> Result<i64, Fault> {
    let none = |what: String| Fault(RejectKind::Field, what);
    let time = match &fields.time {
        TimeFrom::Offset => Some(record.offset),
        TimeFrom::Timestamp => {
            let ms = record.timestamp_ms.ok_or_else(|| none("the message has no timestamp".into()))?;
            TimeUnit::Ms.whole(ms)
        }
        TimeFrom::Header(name) => {
            let bytes = header(record, name).ok_or_else(|| none(format!("no header '{name}' gives the time")))?;
            std::str::from_utf8(bytes).ok().and_then(|text| Cell::Text(text.into()).time(fields.time_unit))
        }
        TimeFrom::Field(_) => cell.and_then(|cell| cell.time(fields.time_unit)),
    };
    time.ok_or_else(|| match &fields.time {
        TimeFrom::Field(name) | TimeFrom::Header(name) => {
            Fault(RejectKind::Field, format!("'{name}' is no time (unit {:?})", fields.time_unit).to_lowercase())
        }
        TimeFrom::Timestamp | TimeFrom::Offset => none("the message's timestamp is out of range".into()),
    })
}

fn header<'a>(record: &Record<'a>, name: &str) -> Option<&'a [u8]> {
    record.headers.iter().rev().find(|(key, _)| *key == name).map(|(_, value)| *value)
}
