//! The law that every decoder keeps on any bytes, as a function that property tests and fuzzers call.

use std::sync::Arc;

use arrow::{
    array::{Array, AsArray, Float64Array, RecordBatch},
    datatypes::{Float64Type, Int64Type},
    error::ArrowError,
    ipc::writer::StreamWriter,
};

use super::{Content, Decoder, Fields, Format, Location, Record, RejectKind, Schema, TimeFrom, TimeUnit};

const AVRO: &str = r#"{"type":"record","name":"r","fields":[{"name":"v","type":"double"}]}"#;
const PROTO: &str = r#"syntax = "proto3"; message R { double v = 1; }"#;
/// The number that framed payloads name.
const ID: u32 = 7;

/// A way of writing payloads: the format, what a registry says of it, and a payload with the value 1.
struct Kind {
    format: Format,
    schema: Option<&'static str>,
    good: Vec<u8>,
}

/// How many kinds there are: [`check`] takes the first byte modulo this.
pub const KINDS: u8 = 7;

fn kind(number: u8) -> Result<Kind, ArrowError> {
    let one = 1f64.to_le_bytes();
    let proto = [&[9][..], &one].concat();
    let framed = |rest: &[u8]| [&[0][..], &ID.to_be_bytes(), rest].concat();
    let columns = ["id", "t", "v"].map(str::to_owned).to_vec();
    let plain = |format, good: &[u8]| Kind { format, schema: None, good: good.to_vec() };
    Ok(match number % KINDS {
        0 => plain(Format::Json, br#"{"v":1}"#),
        1 => plain(Format::Csv { columns, delimiter: ',' }, b"a,5,1"),
        2 => {
            let rows = RecordBatch::try_from_iter([("v", Arc::new(Float64Array::from(vec![1.0])) as _)])?;
            let mut writer = StreamWriter::try_new(vec![], &rows.schema())?;
            writer.write(&rows)?;
            plain(Format::Arrow, &writer.into_inner()?)
        }
        3 => plain(Format::Avro { schema: Some(AVRO.into()) }, &one),
        4 => Kind { format: Format::Avro { schema: None }, schema: Some("AVRO"), good: framed(&one) },
        5 => plain(Format::Protobuf { schema: Some((PROTO.into(), "R".into())) }, &proto),
        _ => {
            let good = framed(&[&[0][..], &proto].concat());
            Kind { format: Format::Protobuf { schema: None }, schema: Some("PROTOBUF"), good }
        }
    })
}

/// Decodes bytes between two good records: the first byte chooses the format, the second where in a good payload the rest is put
/// (or, if it is odd, that the rest is the payload as it is). They must come to rows or to one reject, and their neighbours to one row each.
///
/// # Errors
/// What is not so.
pub fn check(bytes: &[u8]) -> Result<(), String> {
    let [number, place, rest @ ..] = bytes else { return Ok(()) };
    let Kind { format, schema, good } = kind(*number).map_err(|error| error.to_string())?;
    let fields = Fields {
        id: Location::Key,
        time: TimeFrom::Offset,
        time_unit: TimeUnit::Step,
        content: Content::Values(vec!["v".into()]),
    };
    let mut decoder = Decoder::new(&format, fields)?;
    if let Some(kind) = schema {
        let text = if kind == "AVRO" { AVRO } else { PROTO };
        decoder.learn(ID, Ok(Schema { kind: kind.into(), text: text.into() }))?;
    }
    let payload = match place % 2 {
        1 => rest.to_vec(),
        _ => {
            let (before, after) = good.split_at(usize::from(place / 2) % good.len());
            [before, rest, after].concat()
        }
    };
    let record = |offset, payload| Record { offset, key: Some(b"k"), payload: Some(payload), ..Record::default() };
    let records = [record(0, &good[..]), record(1, &payload), record(2, &good[..])];
    for id in decoder.missing(&records) {
        decoder.learn(id, Err("unknown".into()))?;
    }
    let decoded = decoder.decode(&records);
    let (offsets, values) = (decoded.rows.column(1).as_primitive::<Int64Type>(), decoded.rows.column(4));
    let values = values.as_primitive::<Float64Type>();
    let of = |offset: i64| (0..offsets.len()).filter(|row| offsets.value(*row) == offset).collect::<Vec<_>>();
    for neighbour in [0, 2] {
        let rows = of(neighbour);
        if rows.len() != 1 || !rows.iter().all(|row| values.is_valid(*row) && values.value(*row) == 1.0) {
            return Err(format!("{format:?}: the neighbour at {neighbour} came to the rows {rows:?}"));
        }
    }
    if !offsets.values().is_sorted() {
        return Err(format!("{format:?}: rows out of order: {offsets:?}"));
    }
    match &decoded.rejects[..] {
        [] => Ok(()),
        [reject] if reject.offset == 1 && of(1).is_empty() => match reject.kind {
            RejectKind::Payload | RejectKind::Field => Ok(()),
            kind => Err(format!("{format:?}: a reject of kind {}", kind.name())),
        },
        rejects => Err(format!("{format:?}: {} rows and the rejects {rejects:?}", of(1).len())),
    }
}
