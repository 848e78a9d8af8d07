//! The decoders as functions: payloads and what they come to.

use arrow::{
    array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray},
    datatypes::{Float64Type, Int64Type},
    ipc::writer::StreamWriter,
};
use proptest::prelude::*;

mod registered;

use super::{Content, Decoded, Decoder, Fields, Format, Location, Record, TimeFrom, TimeUnit, any_bytes};

fn fields(id: &str, time: &str, values: &[&str]) -> Fields {
    Fields {
        id: id.parse().unwrap(),
        time: time.parse().unwrap(),
        time_unit: TimeUnit::Ms,
        content: Content::Values(values.iter().map(|v| (*v).to_owned()).collect()),
    }
}

fn record(payload: &[u8]) -> Record<'_> {
    Record { partition: 3, offset: 7, timestamp_ms: Some(1), key: Some(b"k"), payload: Some(payload), headers: vec![] }
}

/// Rows as text: `id time value`, and rejects as `kind: reason`.
fn shown(decoded: &Decoded) -> Vec<String> {
    let rows = &decoded.rows;
    let (ids, times) = (rows.column(2).as_string::<i32>(), rows.column(3).as_primitive::<Int64Type>());
    let (values, bases) = (rows.column(4).as_primitive::<Float64Type>(), rows.column(5).as_string::<i32>());
    let ends = rows.column(6).as_boolean();
    let text = |at: usize| match (ends.value(at), values.iter().nth(at).flatten(), bases.iter().nth(at).flatten()) {
        (true, ..) => "end".to_owned(),
        (_, Some(value), _) => format!("{value:?}"),
        (_, _, Some(bases)) => bases.to_owned(),
        _ => "missing".to_owned(),
    };
    let rows = (0..rows.num_rows()).map(|at| format!("{} {} {}", ids.value(at), times.value(at), text(at)));
    rows.chain(decoded.rejects.iter().map(|reject| format!("{}: {}", reject.kind.name(), reject.reason))).collect()
}

fn check(format: &Format, fields: &Fields, record: Record<'_>, expected: &[&str]) {
    let mut decoder = Decoder::new(format, fields.clone()).unwrap();
    let decoded = decoder.decode(std::slice::from_ref(&record));
    let found = shown(&decoded);
    let same = found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| a.starts_with(b));
    assert!(same, "{:?}: {found:?}, expected {expected:?}", record.payload.map(String::from_utf8_lossy));
    assert!(
        decoded.rejects.iter().all(|r| (r.partition, r.offset) == (3, 7) && r.payload.as_deref() == record.payload)
    );
}

#[test]
fn json_objects() {
    let plain = fields("field:id", "field:t", &["v"]);
    for (payload, expected) in [
        (r#"{"id":"a","t":5,"v":0.1}"#, "a 5000 0.1"),
        (r#"{"v":1e-400,"t":5,"id":"a","x":[{"y":{}}]}"#, "a 5000 0.0"),
        (r#"{"id":"a\u00e9\"","t":5,"v":-2}"#, "aé\" 5000 -2.0"),
        (r#"{"id":17,"t":5.5,"v":"3.5"}"#, "17 5500 3.5"),
        (r#"{"id":"a","t":"1970-01-01T00:00:01Z","v":null}"#, "a 1000000 missing"),
        (r#"{"id":"a","t":5}"#, "a 5000 missing"),
        (r#"{"id":"a","t":5,"v":1,"v":2}"#, "a 5000 2.0"),
        // the nearest double, not a neighbour of it
        (r#"{"id":"a","t":5,"v":9007199254740993.0}"#, "a 5000 9007199254740992.0"),
        (r#"{"id":"a","t":5,"v":0.1000000000000000055511151231257827}"#, "a 5000 0.1"),
        (r#"{"id":"a","t":5,"v":true}"#, "field: field 'v': a number expected, found true or false"),
        (r#"{"id":"a","t":5,"v":[1]}"#, "field: field 'v': a number expected, found a list"),
        (r#"{"id":"a","t":5,"v":"high"}"#, "field: field 'v': 'high' is not a number"),
        (r#"{"id":"a","t":5,"v":1e999}"#, "payload: not a JSON object as expected"),
        (r#"{"id":"a","v":1}"#, "field: 't' is no time"),
        (r#"{"id":"a","t":9223372036854775807,"v":1}"#, "field: 't' is no time"),
        (r#"{"t":5,"v":1}"#, "field: field 'id': a series' name expected"),
        (r#"{"id":"a","t":5,"v":1"#, "payload: not a JSON object as expected: EOF"),
        (r#"{"id":"a","t":5,"v":1} x"#, "payload: not a JSON object as expected: trailing"),
        ("[1]", "payload: not a JSON object as expected"),
        ("", "payload: not a JSON object as expected"),
        ("\u{1}", "payload: not a JSON object as expected"),
    ] {
        check(&Format::Json, &plain, record(payload.as_bytes()), &[expected]);
    }
    let nested = fields("field:who.name", "timestamp", &["m.a", "m.b"]);
    let payload = r#"{"m":{"a":1,"b":2},"who":{"name":"x","age":9}}"#;
    check(&Format::Json, &nested, record(payload.as_bytes()), &["x/m.a 1000 1.0", "x/m.b 1000 2.0"]);
    // one bad field: no row of the record stays
    let payload = r#"{"m":{"a":1,"b":{}},"who":{"name":"x"}}"#;
    check(&Format::Json, &nested, record(payload.as_bytes()), &["field: field 'm.b'"]);
}

#[test]
fn keys_headers_times_and_tombstones() {
    let payload = br#"{"v":1}"#;
    let with = |key: Option<&'static [u8]>, headers: Vec<(&'static str, &'static [u8])>| Record {
        key,
        headers,
        ..record(payload)
    };
    for (id, time, record, expected) in [
        ("key", "timestamp", with(Some(b"k"), vec![]), "k 1000 1.0"),
        ("key", "offset", with(Some(b"k"), vec![]), "k 7 1.0"),
        ("partition", "timestamp", with(None, vec![]), "3 1000 1.0"),
        ("header:s", "header:at", with(None, vec![("s", b"x"), ("at", b"2"), ("s", b"y")]), "y 2000 1.0"),
        ("key", "timestamp", with(None, vec![]), "field: no key names the series"),
        ("key", "timestamp", with(Some(b"\xff"), vec![]), "field: the key is not UTF-8"),
        ("header:s", "timestamp", with(None, vec![]), "field: no header 's' names the series"),
        ("key", "header:at", with(Some(b"k"), vec![]), "field: no header 'at' gives the time"),
        ("key", "timestamp", Record { payload: None, ..with(Some(b"k"), vec![]) }, "k 1000 end"),
        ("field:id", "timestamp", Record { payload: None, ..with(Some(b"k"), vec![]) }, "field: a tombstone"),
        (
            "key",
            "timestamp",
            Record { timestamp_ms: None, ..with(Some(b"k"), vec![]) },
            "field: the message has no time",
        ),
    ] {
        check(&Format::Json, &fields(id, time, &["v"]), record, &[expected]);
    }
    let bases = Fields { content: Content::Sequence("s".into()), ..fields("key", "offset", &[]) };
    check(&Format::Json, &bases, record(br#"{"s":"ACGT"}"#), &["k 7 ACGT"]);
    check(&Format::Json, &bases, record(br#"{"s":""}"#), &["field: field 's': bases as text expected"]);
    for text in ["", "field", "field:", "header:", "KEY"] {
        assert!(text.parse::<Location>().is_err() && text.parse::<TimeFrom>().is_err(), "{text}");
    }
}

#[test]
fn csv_lines() {
    let names = ["id", "t", "v"].map(str::to_owned).to_vec();
    let format = Format::Csv { columns: names.clone(), delimiter: ';' };
    let fields = fields("field:id", "field:t", &["v"]);
    for (payload, expected) in [
        ("a;5;1.5", &["a 5000 1.5"][..]),
        ("a;5;\n", &["a 5000 missing"]),
        ("\"a;\"\"b\";5;1\nc;6;2\r\n", &["a;\"b 5000 1.0", "c 6000 2.0"]),
        ("a;5;1\nb;6", &["payload: line 2: 3 columns expected, found 2"]),
        ("a;5;1;9", &["payload: line 1"]),
        ("a;5;x", &["field: field 'v': 'x' is not a number"]),
        ("", &["payload: an empty payload"]),
    ] {
        check(&format, &fields, record(payload.as_bytes()), expected);
    }
    check(&format, &fields, record(b"\xff;5;1"), &["payload: line 1: column 1 is not UTF-8"]);
    let unknown =
        Decoder::new(&Format::Csv { columns: names, delimiter: ',' }, super::tests::fields("key", "offset", &["w"]));
    assert_eq!(unknown.err().unwrap(), "field 'w' is not among the columns: id, t, v");
}

fn ipc(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = StreamWriter::try_new(vec![], &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn arrow_streams() {
    use std::sync::Arc;
    let fields = fields("field:id", "field:t", &["v"]);
    let payload = ipc(vec![
        ("v", Arc::new(Float64Array::from(vec![Some(0.1), None]))),
        ("id", Arc::new(StringArray::from(vec!["a", "b"]))),
        ("t", Arc::new(TimestampMillisecondArray::from(vec![5, 6]))),
    ]);
    check(&Format::Arrow, &fields, record(&payload), &["a 5000 0.1", "b 6000 missing"]);
    let whole = ipc(vec![
        ("v", Arc::new(Int64Array::from(vec![1]))),
        ("id", Arc::new(Int64Array::from(vec![7]))),
        ("t", Arc::new(Int64Array::from(vec![5]))),
    ]);
    check(&Format::Arrow, &fields, record(&whole), &["7 5000 1.0"]);
    for len in 0..payload.len() {
        let mut decoder = Decoder::new(&Format::Arrow, fields.clone()).unwrap();
        let decoded = decoder.decode(&[record(&payload[..len])]);
        assert!(decoded.rows.num_rows() == 0 || decoded.rows.num_rows() == 2, "cut to {len}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever the bytes: a record is rows or one reject, and its neighbours are untouched.
    #[test]
    fn any_bytes_are_rows_or_a_reject(kind in 0..any_bytes::KINDS, place in any::<u8>(), rest in prop::collection::vec(any::<u8>(), 0..200)) {
        let bytes = [&[kind, place][..], &rest].concat();
        prop_assert_eq!(any_bytes::check(&bytes), Ok(()));
    }

    /// As much for bytes that are mostly right: those of a good payload with some changed.
    #[test]
    fn few_wrong_bytes_are_rows_or_a_reject(kind in 0..any_bytes::KINDS, place in any::<u8>(), rest in "[{}\\[\\]\":,v0-9eE+. \\\\\n\r-]{0,12}") {
        let bytes = [&[kind, place & !1][..], rest.as_bytes()].concat();
        prop_assert_eq!(any_bytes::check(&bytes), Ok(()));
    }
}
