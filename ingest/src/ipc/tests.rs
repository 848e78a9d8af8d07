use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, DictionaryArray, Float64Array, Int32Array, ListArray, NullArray, RecordBatch, RunArray, StringArray,
        StringViewArray,
    },
    buffer::OffsetBuffer,
    datatypes::{DataType, Field, Int32Type},
    ipc::writer::StreamWriter,
};

use super::*;

/// Streams by pyarrow 23 of ids and values, as `batch` gives them but compressed: LZ4, Zstandard, and a dictionary by LZ4.
const COMPRESSED: [&[u8]; 3] = [
    include_bytes!("compressed/lz4.arrow"),
    include_bytes!("compressed/zstd.arrow"),
    include_bytes!("compressed/dictionary.arrow"),
];

fn batch(ids: ArrayRef) -> RecordBatch {
    let values: ArrayRef = Arc::new(Float64Array::from(vec![1.0; ids.len()]));
    RecordBatch::try_from_iter([("id", ids), ("v", values)]).unwrap()
}

fn stream(batches: &[RecordBatch]) -> Vec<u8> {
    let mut writer = StreamWriter::try_new(vec![], &batches[0].schema()).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.into_inner().unwrap()
}

fn read(bytes: &[u8]) -> Result<Vec<RecordBatch>, String> {
    let batches = Batches::read(bytes).map_err(|e| e.to_string())?;
    batches.collect::<Result<_, _>>().map_err(|e| e.to_string())
}

#[test]
fn what_is_written_is_read() {
    let ids: ArrayRef = Arc::new(StringArray::from(vec!["x"; 3]));
    let words: ArrayRef = Arc::new(["x", "y", "x"].into_iter().collect::<DictionaryArray<Int32Type>>());
    for batches in [vec![batch(Arc::clone(&ids)); 2], vec![batch(words)], vec![batch(ids.slice(0, 0)), batch(ids)]] {
        assert_eq!(read(&stream(&batches)).unwrap(), batches);
    }
}

#[test]
fn a_stream_that_is_cut_is_none() {
    let whole = stream(&[batch(Arc::new(StringArray::from(vec!["x"; 3])))]);
    // Between two messages a stream may end without saying so.
    let ends = (0..whole.len()).filter(|length| read(&whole[..*length]).is_ok()).count();
    assert_eq!(ends, 2, "before the schema, and behind the batch");
}

#[test]
fn compressed_ones_are_refused_unread() {
    for stream in COMPRESSED {
        let refused = read(stream).unwrap_err();
        assert!(refused.ends_with("a compressed batch: send it without compression"), "{refused}");
        // Whatever lengths its buffers claim, the process goes on.
        for at in 0..stream.len() - 8 {
            let mut damaged = stream.to_vec();
            damaged[at..at + 8].copy_from_slice(&(1_u64 << 62).to_le_bytes());
            let _ = read(&damaged);
        }
    }
}

#[test]
fn what_would_grow_is_refused() {
    let rows = 3000;
    let texts = |text: &str| StringArray::from(vec![text]);
    let nulls: ArrayRef = Arc::new(NullArray::new(rows));
    let shared = |text: &str| -> ArrayRef {
        Arc::new(DictionaryArray::new(Int32Array::from(vec![0; rows]), Arc::new(texts(text))))
    };
    let views = |text: &str| -> ArrayRef { Arc::new(StringViewArray::from_iter_values(vec![text; rows])) };
    let lists = ListArray::new(
        Field::new_list_field(DataType::Null, true).into(),
        OffsetBuffer::from_lengths(vec![1; rows]),
        Arc::clone(&nulls),
        None,
    );
    let runs = RunArray::<Int32Type>::try_new(&Int32Array::from(vec![3000]), &texts("x")).unwrap();
    let long = "ACGT".repeat(30_000);
    for (column, bytes, expected) in [
        (Arc::clone(&nulls), rows, None),
        (nulls, rows - 1, Some("3000 rows in 2999 bytes")),
        (shared("meter"), rows, None),
        (shared(&long), rows, Some("column 'c' comes to 360000000 bytes of text")),
        (views("meter"), rows, None),
        (views(&long), rows, Some("column 'c' comes to 360000000 bytes of text")),
        (Arc::new(lists), rows, Some("column 'c' is of List(Null): send it plain, or leave it out")),
        (Arc::new(runs), rows, Some("column 'c' is of RunEndEncoded")),
        (Arc::new(Float64Array::from(vec![0.0; rows])), rows, None),
    ] {
        let batch = RecordBatch::try_from_iter([("c", column)]).unwrap();
        let found = check(&batch, bytes).err().map(|error| error.to_string());
        let same = found.as_ref().zip(expected).map_or(found.is_none() && expected.is_none(), |(a, b)| a.contains(b));
        assert!(same, "{found:?}, expected {expected:?}");
    }
}
