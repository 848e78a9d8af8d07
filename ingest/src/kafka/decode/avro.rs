//! Avro: payloads that begin with their schema's number in a registry, or all of one schema given beforehand.

use std::collections::HashMap;

use arrow::array::RecordBatch;
use arrow_avro::{
    reader::{Decoder, ReaderBuilder},
    schema::{AvroSchema, Fingerprint, FingerprintAlgorithm, SchemaStore},
};

use super::{ManyFn, Payload, RowFn, framing, table::Table};
use crate::kafka::Schema;

/// Payloads that go through the library at once.
const AT_ONCE: usize = 1024;

/// The reader.
pub(super) struct Avro {
    paths: Vec<String>,
    /// All payloads are of schema 0, and do not say so.
    bare: bool,
    schemas: HashMap<u32, Result<String, String>>,
    decoders: HashMap<u32, Decoder>,
}

impl Avro {
    /// Payloads of a schema given as its JSON text; `None`: each says which.
    pub(super) fn new(paths: &[String], schema: Option<&str>) -> Result<Self, String> {
        let bare = schema.is_some();
        let mut avro = Self { paths: paths.to_vec(), bare, schemas: HashMap::new(), decoders: HashMap::new() };
        if let Some(text) = schema {
            avro.schemas.insert(0, Ok(text.to_owned()));
            let decoder = avro.decoder(0)?;
            avro.decoders.insert(0, decoder);
        }
        Ok(avro)
    }

    fn decoder(&self, id: u32) -> Result<Decoder, String> {
        let schema = self.schemas.get(&id).ok_or_else(|| format!("schema {id} is not known"))?.clone()?;
        let wrong = |e: &dyn std::fmt::Display| format!("schema {id}: {e}");
        let mut store = SchemaStore::new_with_type(FingerprintAlgorithm::Id);
        store.set(Fingerprint::Id(id), AvroSchema::new(schema)).map_err(|e| wrong(&e))?;
        let builder = ReaderBuilder::new().with_writer_schema_store(store).with_batch_size(AT_ONCE);
        builder.with_active_fingerprint(Fingerprint::Id(id)).build_decoder().map_err(|e| wrong(&e))
    }

    /// Payloads of one schema, one row each.
    fn batch(&mut self, id: u32, payloads: &[&[u8]]) -> Result<RecordBatch, String> {
        let wrong = |e: &dyn std::fmt::Display| format!("not Avro of schema {id}: {e}");
        // A decoder that met damage does not come back.
        let mut decoder = self.decoders.remove(&id).map_or_else(|| self.decoder(id), Ok)?;
        for payload in payloads {
            let framed;
            let bytes = if self.bare {
                framed = [&[0, 0, 0, 0, 0], *payload].concat();
                &framed
            } else {
                *payload
            };
            let read = decoder.decode(bytes).map_err(|e| wrong(&e))?;
            if read != bytes.len() {
                return Err(wrong(&"it is cut short"));
            }
        }
        let rows = decoder.flush().map_err(|e| wrong(&e))?;
        let rows =
            rows.filter(|rows| rows.num_rows() == payloads.len()).ok_or_else(|| wrong(&"bytes are left over"))?;
        self.decoders.insert(id, decoder);
        Ok(rows)
    }

    fn id(&self, payload: &[u8]) -> Result<u32, String> {
        if self.bare { Ok(0) } else { framing(payload).map(|(id, _)| id) }
    }
}

impl Payload for Avro {
    fn read<'a>(&mut self, payload: &'a [u8], row: &mut RowFn<'_, 'a>) -> Result<(), String> {
        let id = self.id(payload)?;
        let rows = self.batch(id, &[payload])?;
        row(&Table::new(&rows, &self.paths)?.row(0)).map_err(|fault| fault.1)
    }

    /// Runs of payloads of one schema go through the library together; a run with a bad one is left to [`Payload::read`].
    fn together(&self) -> usize {
        AT_ONCE
    }

    fn read_many<'a>(&mut self, payloads: &[&'a [u8]], row: &mut ManyFn<'_, 'a>) -> usize {
        let Some(Ok(id)) = payloads.first().map(|first| self.id(first)) else { return 0 };
        let same = payloads.iter().take(AT_ONCE).take_while(|payload| self.id(payload) == Ok(id)).count();
        let Ok(rows) = self.batch(id, &payloads[..same]) else { return 0 };
        let Ok(table) = Table::new(&rows, &self.paths) else { return 0 };
        (0..same).for_each(|at| row(at, &table.row(at)));
        same
    }

    fn wants(&self, payload: &[u8]) -> Option<u32> {
        self.id(payload).ok().filter(|id| !self.schemas.contains_key(id))
    }

    fn learn(&mut self, id: u32, schema: Result<Schema, String>) -> Result<(), String> {
        let text = schema.and_then(|schema| match schema.kind.as_str() {
            "AVRO" => Ok(schema.text),
            kind => Err(format!("schema {id} is {kind}, not AVRO")),
        });
        let fits = text.clone().map(|text| fields_of(&text));
        self.schemas.insert(id, text);
        let Ok(fields) = fits else { return Ok(()) };
        self.decoder(id)?;
        match self.paths.iter().find(|path| !fields.iter().any(|field| path.split('.').next() == Some(&field[..]))) {
            Some(path) => Err(format!("schema {id} has no field '{path}': it has {}", fields.join(", "))),
            None => Ok(()),
        }
    }
}

/// The names of a record's fields.
fn fields_of(schema: &str) -> Vec<String> {
    let schema: serde_json::Value = serde_json::from_str(schema).unwrap_or_default();
    let fields = schema.get("fields").and_then(serde_json::Value::as_array);
    let name = |field: &serde_json::Value| field.get("name").and_then(serde_json::Value::as_str).map(str::to_owned);
    fields.into_iter().flatten().filter_map(name).collect()
}
