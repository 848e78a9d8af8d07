//! Protobuf: payloads that begin with their schema's number in a registry, or all of one message type given beforehand.

use std::{collections::HashMap, path::Path};

use prost::encoding;
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MessageDescriptor, ReflectMessage, Value};
use protox::file::{File, FileResolver, GoogleFileResolver};

use super::{Cell, Payload, RowFn, framing};
use crate::kafka::Schema;

/// The name under which a registry's schema is compiled.
const FILE: &str = "schema.proto";

/// The reader.
pub(super) struct Protobuf {
    paths: Vec<String>,
    /// All payloads are of this type, and do not say so.
    bare: Option<MessageDescriptor>,
    schemas: HashMap<u32, Result<DescriptorPool, String>>,
}

impl Protobuf {
    /// Payloads of a message of a `.proto` text; `None`: each says which.
    pub(super) fn new(paths: &[String], given: Option<(&str, &str)>) -> Result<Self, String> {
        let mut protobuf = Self { paths: paths.to_vec(), bare: None, schemas: HashMap::new() };
        if let Some((text, message)) = given {
            let found = compile(text)?.get_message_by_name(message);
            let found = found.ok_or_else(|| format!("the schema has no message '{message}'"))?;
            protobuf.check(&found)?;
            protobuf.bare = Some(found);
        }
        Ok(protobuf)
    }

    /// Whether a message has the wanted fields.
    fn check(&self, message: &MessageDescriptor) -> Result<(), String> {
        for path in &self.paths {
            let mut at = Some(message.clone());
            for name in path.split('.') {
                let within = at.ok_or_else(|| format!("'{path}' leads into a field that is no message"))?;
                let field = within.get_field_by_name(name);
                let field = field.ok_or_else(|| format!("message {} has no field '{path}'", within.full_name()))?;
                at = if let Kind::Message(inner) = field.kind() { Some(inner) } else { None };
            }
        }
        Ok(())
    }

    /// The message's type, and its bytes.
    fn open<'a>(&self, payload: &'a [u8]) -> Result<(MessageDescriptor, &'a [u8]), String> {
        if let Some(message) = &self.bare {
            return Ok((message.clone(), payload));
        }
        let (id, mut rest) = framing(payload)?;
        let pool = self.schemas.get(&id).ok_or_else(|| format!("schema {id} is not known"))?.as_ref();
        let file = pool.map_err(String::clone)?.get_file_by_name(FILE).ok_or("the schema is empty")?;
        let path = message_path(&mut rest)?;
        let mut messages: Vec<MessageDescriptor> = file.messages().collect();
        let mut found = None;
        for at in path {
            let next = messages.get(at).cloned().ok_or_else(|| format!("schema {id} has no message number {at}"))?;
            messages = next.child_messages().collect();
            found = Some(next);
        }
        Ok((found.ok_or("it names no message")?, rest))
    }

    fn cell(message: &DynamicMessage, path: &str) -> Cell<'static> {
        let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
        let Some(field) = message.descriptor().get_field_by_name(name) else { return Cell::Missing };
        if field.supports_presence() && !message.has_field(&field) {
            return Cell::Missing;
        }
        match (message.get_field(&field).into_owned(), rest) {
            (Value::Message(inner), Some(rest)) => Self::cell(&inner, rest),
            (Value::Message(inner), None) => well_known(&inner),
            (value, None) => plain(&value),
            (_, Some(_)) => Cell::Other("a field that is no message"),
        }
    }
}

/// A value that is no message.
fn plain(value: &Value) -> Cell<'static> {
    match value {
        Value::I32(number) | Value::EnumNumber(number) => Cell::Whole(i64::from(*number)),
        Value::I64(number) => Cell::Whole(*number),
        Value::U32(number) => Cell::Whole(i64::from(*number)),
        Value::U64(number) => i64::try_from(*number).map_or(Cell::Number(*number as f64), Cell::Whole),
        Value::F32(number) => Cell::Number(f64::from(*number)),
        Value::F64(number) => Cell::Number(*number),
        Value::String(text) => Cell::Text(text.clone().into()),
        Value::Bool(_) => Cell::Other("true or false"),
        Value::Bytes(_) => Cell::Other("bytes"),
        Value::List(_) | Value::Map(_) => Cell::Other("a list"),
        Value::Message(_) => Cell::Other("a message"),
    }
}

/// Google's messages for times and for values that may be missing.
fn well_known(message: &DynamicMessage) -> Cell<'static> {
    let whole = |name: &str| match message.get_field_by_name(name).map(std::borrow::Cow::into_owned) {
        Some(Value::I64(number)) => Some(number),
        Some(Value::I32(number)) => Some(i64::from(number)),
        _ => None,
    };
    match message.descriptor().full_name() {
        "google.protobuf.Timestamp" => {
            let micros = whole("seconds").and_then(|s| s.checked_mul(1_000_000));
            let micros = micros.and_then(|s| s.checked_add(whole("nanos")?.div_euclid(1000)));
            micros.map_or(Cell::Other("a time out of range"), Cell::Micros)
        }
        name if name.starts_with("google.protobuf.") && name.ends_with("Value") => {
            message.get_field_by_name("value").map_or(Cell::Missing, |value| plain(&value))
        }
        _ => Cell::Other("a message"),
    }
}

/// Which message of the file: zigzag varints, their number first; none at all means the first message.
fn message_path(rest: &mut &[u8]) -> Result<Vec<usize>, String> {
    let mut number = || {
        let value = encoding::decode_varint(rest).map_err(|e| format!("the message's number: {e}"))?;
        let value = (value >> 1) as i64 ^ -((value & 1) as i64);
        usize::try_from(value).ok().filter(|value| *value < 1 << 16).ok_or("the message's number is damaged".to_owned())
    };
    match number()? {
        0 => Ok(vec![0]),
        count if count <= 32 => (0..count).map(|_| number()).collect(),
        count => Err(format!("messages nested {count} deep")),
    }
}

/// The one file of a schema; Google's own files may be imported.
struct OneFile(String);

impl FileResolver for OneFile {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if name == FILE { File::from_source(name, &self.0) } else { GoogleFileResolver::new().open_file(name) }
    }
}

fn compile(text: &str) -> Result<DescriptorPool, String> {
    let mut compiler = protox::Compiler::with_file_resolver(OneFile(text.to_owned()));
    let wrong = |e: protox::Error| format!("the Protobuf schema is not understood: {e}");
    compiler.include_imports(true).open_file(Path::new(FILE)).map_err(wrong)?;
    Ok(compiler.descriptor_pool())
}

impl Payload for Protobuf {
    fn read<'a>(&mut self, payload: &'a [u8], row: &mut RowFn<'_, 'a>) -> Result<(), String> {
        let (message, bytes) = self.open(payload)?;
        let message = DynamicMessage::decode(message, bytes).map_err(|e| format!("not Protobuf as expected: {e}"))?;
        let cells: Vec<Cell<'_>> = self.paths.iter().map(|path| Self::cell(&message, path)).collect();
        row(&cells).map_err(|fault| fault.1)
    }

    fn wants(&self, payload: &[u8]) -> Option<u32> {
        let (id, _) = framing(payload).ok().filter(|_| self.bare.is_none())?;
        (!self.schemas.contains_key(&id)).then_some(id)
    }

    fn learn(&mut self, id: u32, schema: Result<Schema, String>) -> Result<(), String> {
        let pool = schema.and_then(|schema| match schema.kind.as_str() {
            "PROTOBUF" => compile(&schema.text).map_err(|e| format!("schema {id}: {e}")),
            kind => Err(format!("schema {id} is {kind}, not PROTOBUF")),
        });
        let fits = match &pool {
            Ok(pool) => {
                let first = pool.get_file_by_name(FILE).and_then(|file| file.messages().next());
                first.map_or(Err("it has no message".to_owned()), |message| self.check(&message))
            }
            Err(_) => Ok(()),
        };
        self.schemas.insert(id, pool);
        fits.map_err(|e| format!("schema {id}: {e}"))
    }
}
