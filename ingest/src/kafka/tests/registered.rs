//! Avro and Protobuf, with schemas of a registry and without.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema as ArrowSchema},
};
use arrow_avro::{
    schema::FingerprintStrategy,
    writer::{WriterBuilder, format::AvroSoeFormat},
};
use prost::Message;
use prost_reflect::{DynamicMessage, Value};

use super::{check, fields, record, shown};
use crate::kafka::{Decoder, Format, Record, Schema};

const AVRO: &str = r#"{"type":"record","name":"reading","fields":[
    {"name":"id","type":"string"},{"name":"t","type":"long"},{"name":"v","type":["null","double"]}]}"#;

/// Rows of id, t and v, each framed with the schema's number.
fn avro(id: u32, rows: &[(&str, i64, Option<f64>)]) -> Vec<Vec<u8>> {
    let encode = |(name, t, v): &(&str, i64, Option<f64>)| {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec![*name])),
            Arc::new(Int64Array::from(vec![*t])),
            Arc::new(Float64Array::from(vec![*v])),
        ];
        let schema = ArrowSchema::new(vec![
            Field::new("id", DataType::Utf8, false),
            Field::new("t", DataType::Int64, false),
            Field::new("v", DataType::Float64, true),
        ]);
        let strategy = FingerprintStrategy::Id(id);
        let builder = WriterBuilder::new(schema.clone()).with_fingerprint_strategy(strategy);
        let mut writer = builder.build::<_, AvroSoeFormat>(vec![]).unwrap();
        writer.write(&RecordBatch::try_new(Arc::new(schema), columns).unwrap()).unwrap();
        writer.finish().unwrap();
        writer.into_inner()
    };
    rows.iter().map(encode).collect()
}

fn schema(kind: &str, text: &str) -> Schema {
    Schema { kind: kind.into(), text: text.into() }
}

#[test]
fn avro_of_a_registry() {
    let mut decoder = Decoder::new(&Format::Avro { schema: None }, fields("field:id", "field:t", &["v"])).unwrap();
    let good = avro(7, &[("a", 5, Some(0.1)), ("b", 6, None), ("c", 7, Some(-1.0))]);
    let cut = &good[0][..good[0].len() - 1];
    let long = [&good[0][..], b"x"].concat();
    let payloads = [&good[0], &good[1], cut, &good[2], b"{}", &long, &avro(8, &[("d", 1, None)])[0], &good[2]];
    let records: Vec<Record<'_>> = payloads.iter().map(|payload| record(payload)).collect();
    assert_eq!(decoder.missing(&records).into_iter().collect::<Vec<_>>(), [7, 8]);
    decoder.learn(7, Ok(schema("AVRO", AVRO))).unwrap();
    decoder.learn(8, Err("the registry has no schema 8".into())).unwrap();
    assert!(decoder.missing(&records).is_empty());
    for _ in 0..2 {
        let found = shown(&decoder.decode(&records));
        assert_eq!(found[..4], ["a 5000 0.1", "b 6000 missing", "c 7000 -1.0", "c 7000 -1.0"]);
        let rejects = [
            "payload: not Avro of schema 7",
            "payload: it does not begin with",
            "payload: not Avro of schema 7",
            "payload: the registry has no schema 8",
        ];
        assert!(found[4..].len() == 4 && found[4..].iter().zip(rejects).all(|(a, b)| a.starts_with(b)), "{found:?}");
    }
    let refused =
        decoder.learn(9, Ok(schema("AVRO", r#"{"type":"record","name":"r","fields":[{"name":"w","type":"long"}]}"#)));
    assert_eq!(refused.unwrap_err(), "schema 9 has no field 'id': it has w");
}

#[test]
fn avro_of_one_schema() {
    let format = Format::Avro { schema: Some(AVRO.into()) };
    let bare = avro(7, &[("a", 5, Some(0.1))])[0][5..].to_vec();
    check(&format, &fields("field:id", "field:t", &["v"]), record(&bare), &["a 5000 0.1"]);
}

const PROTO: &str = r#"
syntax = "proto3";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
message Other { int32 x = 1; }
message Reading {
    message Place { string room = 1; }
    Place place = 1;
    google.protobuf.Timestamp t = 2;
    google.protobuf.DoubleValue v = 3;
    sint64 n = 4;
    optional float f = 5;
    bytes raw = 6;
}"#;

/// A message by its text fields, as bytes.
fn reading(set: &dyn Fn(&mut DynamicMessage)) -> Vec<u8> {
    let mut compiler = protox::Compiler::with_file_resolver(Files);
    compiler.include_imports(true).open_file("r.proto").unwrap();
    let mut message = DynamicMessage::new(compiler.descriptor_pool().get_message_by_name("Reading").unwrap());
    set(&mut message);
    message.encode_to_vec()
}

struct Files;
impl protox::file::FileResolver for Files {
    fn open_file(&self, name: &str) -> Result<protox::file::File, protox::Error> {
        match name {
            "r.proto" => protox::file::File::from_source(name, PROTO),
            _ => protox::file::GoogleFileResolver::new().open_file(name),
        }
    }
}

/// A message with a value inside, of the named field.
fn with(message: &mut DynamicMessage, field: &str, inner: &[(&str, Value)]) {
    let descriptor = message.get_field_by_name(field).unwrap().as_message().unwrap().clone();
    let mut within = descriptor;
    inner.iter().for_each(|(name, value)| within.set_field_by_name(name, value.clone()));
    message.set_field_by_name(field, Value::Message(within));
}

#[test]
fn protobuf_messages() {
    let full = reading(&|message| {
        with(message, "place", &[("room", Value::String("hall".into()))]);
        with(message, "t", &[("seconds", Value::I64(2)), ("nanos", Value::I32(1_000))]);
        with(message, "v", &[("value", Value::F64(0.1))]);
        message.set_field_by_name("n", Value::I64(-3));
    });
    let wanted = fields("field:place.room", "field:t", &["v"]);
    let bare = Format::Protobuf { schema: Some((PROTO.into(), "Reading".into())) };
    check(&bare, &wanted, record(&full), &["hall 2000001 0.1"]);
    check(&bare, &fields("field:place.room", "field:t", &["n"]), record(&full), &["hall 2000001 -3.0"]);
    check(&bare, &fields("field:place.room", "field:t", &["f"]), record(&full), &["hall 2000001 missing"]);
    check(&bare, &fields("field:place.room", "field:t", &["raw"]), record(&full), &["field: field 'raw': a number"]);
    check(&bare, &wanted, record(&full[..full.len() - 1]), &["payload: not Protobuf as expected"]);
    let mut decoder =
        Decoder::new(&Format::Protobuf { schema: None }, fields("field:place.room", "field:t", &["v"])).unwrap();
    // number 7; the second message of the file; and one that is not there
    let framed = |path: &[u8]| [&[0, 0, 0, 0, 7], path, &full[..]].concat();
    let (second, none) = (framed(&[2, 2]), framed(&[2, 8]));
    let records = [record(&second), record(&none), record(&full)];
    assert_eq!(decoder.missing(&records).into_iter().collect::<Vec<_>>(), [7]);
    let text = PROTO
        .replace("message Other { int32 x = 1; }", "")
        .replace("message Reading", "message Reading { string x = 9; } message Other");
    let refused = decoder.learn(7, Ok(schema("PROTOBUF", &text))).unwrap_err();
    assert_eq!(refused, "schema 7: message Reading has no field 'place.room'");
    let swapped = PROTO.replace("message Other { int32 x = 1; }", "") + "message Other { int32 x = 1; }";
    decoder.learn(7, Ok(schema("PROTOBUF", &swapped))).unwrap();
    let first = framed(&[0]);
    assert_eq!(shown(&decoder.decode(&[record(&first)])), ["hall 2000001 0.1"]);
    let found = shown(&decoder.decode(&records));
    assert!(found.iter().any(|line| line.starts_with("payload: schema 7 has no message number 4")), "{found:?}");
    assert!(Decoder::new(&Format::Protobuf { schema: Some((PROTO.into(), "No".into())) }, wanted).is_err());
}
