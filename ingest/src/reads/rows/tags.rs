//! Columns of optional fields (tags): one for each that was asked for.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Float64Builder, Int64Builder, StringBuilder},
    datatypes::DataType,
};

use super::super::{TagColumn, TagKind, bam::tag_size};

/// A record's optional fields, checked.
#[derive(Clone, Copy, Debug, Default)]
pub(in super::super) enum Tags<'a> {
    #[default]
    None,
    /// As BAM stores them.
    Packed(&'a [u8]),
    /// `TAG:TYPE:VALUE`, tabs between.
    Text(&'a [u8]),
}

/// A value.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Value<'a> {
    Integer(i64),
    Float(f64),
    Text(&'a [u8]),
}

impl<'a> Tags<'a> {
    /// The value of a tag; `None` where it is not there, or an array.
    fn get(self, wanted: [u8; 2]) -> Option<Value<'a>> {
        match self {
            Self::None => None,
            Self::Packed(mut bytes) => {
                while let Some(([a, b, kind], rest)) = bytes.split_first_chunk() {
                    let (value, after) = rest.split_at_checked(tag_size(*kind, rest)?)?;
                    if [*a, *b] == wanted {
                        return packed(*kind, value);
                    }
                    bytes = after;
                }
                None
            }
            Self::Text(text) => {
                let mut fields = text.split(|b| *b == b'\t');
                let field = fields.find(|field| field.starts_with(&wanted))?;
                let [_, _, _, kind, _, value @ ..] = field else { return None };
                let text = std::str::from_utf8(value).ok()?;
                match kind {
                    b'i' => text.parse().ok().map(Value::Integer),
                    b'f' => text.parse().ok().map(Value::Float),
                    b'A' | b'Z' | b'H' => Some(Value::Text(value)),
                    _ => None,
                }
            }
        }
    }
}

/// A value as BAM stores it.
fn packed(kind: u8, value: &[u8]) -> Option<Value<'_>> {
    let four = || value.first_chunk::<4>().copied();
    let two = || value.first_chunk::<2>().copied();
    Some(match kind {
        b'c' => Value::Integer(value.first()?.cast_signed().into()),
        b'C' => Value::Integer((*value.first()?).into()),
        b's' => Value::Integer(i16::from_le_bytes(two()?).into()),
        b'S' => Value::Integer(u16::from_le_bytes(two()?).into()),
        b'i' => Value::Integer(i32::from_le_bytes(four()?).into()),
        b'I' => Value::Integer(u32::from_le_bytes(four()?).into()),
        b'f' => Value::Float(f32::from_le_bytes(four()?).into()),
        b'A' => Value::Text(value),
        b'Z' | b'H' => Value::Text(value.strip_suffix(b"\0")?),
        _ => return None,
    })
}

/// A column that fills.
pub(super) struct Column {
    tag: [u8; 2],
    values: Builder,
}

enum Builder {
    Integer(Int64Builder),
    Float(Float64Builder),
    Text(StringBuilder),
}

impl Column {
    pub(super) fn new(asked: TagColumn) -> Self {
        let values = match asked.kind {
            TagKind::Integer => Builder::Integer(Int64Builder::new()),
            TagKind::Float => Builder::Float(Float64Builder::new()),
            TagKind::Text => Builder::Text(StringBuilder::new()),
        };
        Self { tag: asked.tag, values }
    }

    /// Adds the value of a record, or a null where it has none of the column's type. Returns its bytes of text.
    pub(super) fn push(&mut self, tags: Tags<'_>) -> usize {
        let value = tags.get(self.tag);
        match (&mut self.values, value) {
            (Builder::Integer(column), Some(Value::Integer(number))) => column.append_value(number),
            (Builder::Float(column), Some(Value::Float(number))) => column.append_value(number),
            (Builder::Float(column), Some(Value::Integer(number))) => column.append_value(number as f64),
            (Builder::Text(column), Some(Value::Text(text))) => {
                let text = std::str::from_utf8(text).ok();
                column.append_option(text);
                return text.map_or(0, str::len);
            }
            (Builder::Integer(column), _) => column.append_null(),
            (Builder::Float(column), _) => column.append_null(),
            (Builder::Text(column), _) => column.append_null(),
        }
        0
    }

    pub(super) fn finish(&mut self) -> ArrayRef {
        match &mut self.values {
            Builder::Integer(column) => Arc::new(column.finish()),
            Builder::Float(column) => Arc::new(column.finish()),
            Builder::Text(column) => Arc::new(column.finish()),
        }
    }
}

/// The type of a column of values of a kind.
pub(in super::super) fn data_type(kind: TagKind) -> DataType {
    match kind {
        TagKind::Integer => DataType::Int64,
        TagKind::Float => DataType::Float64,
        TagKind::Text => DataType::Utf8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_both_forms() {
        let bytes = b"NMC\x07XAc\xffXBs\xfe\xffXCI\xff\xff\xff\xffXFf\0\0\x80\x3fXXBc\x02\0\0\0abRGZgroup\0XHAq";
        let text = b"NM:i:7\tXA:i:-1\tXB:i:-2\tXC:i:4294967295\tXF:f:1.0\tXX:B:c,97,98\tRG:Z:group\tXH:A:q";
        let expected = [
            (b"NM", Some(Value::Integer(7))),
            (b"XA", Some(Value::Integer(-1))),
            (b"XB", Some(Value::Integer(-2))),
            (b"XC", Some(Value::Integer(4_294_967_295))),
            (b"XF", Some(Value::Float(1.0))),
            (b"XX", None),
            (b"RG", Some(Value::Text(b"group"))),
            (b"XH", Some(Value::Text(b"q"))),
            (b"ZZ", None),
        ];
        for (tag, expected) in expected {
            for tags in [Tags::Packed(bytes), Tags::Text(text)] {
                assert_eq!(tags.get(*tag), expected, "{}", tag.escape_ascii());
            }
            assert_eq!(Tags::None.get(*tag), None);
        }
    }
}
