//! JSON objects: only the fields that are wanted are kept, the rest is walked over.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Cell, Payload, RowFn};

/// Wanted fields of an object.
#[derive(Debug, Default)]
struct Wanted(Vec<(String, Node)>);

/// A wanted field: to be kept in a slot, or an object with more of them.
#[derive(Debug, Default)]
struct Node {
    slots: Vec<usize>,
    inner: Wanted,
}

impl Wanted {
    fn add(&mut self, path: &str, slot: usize) {
        let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
        let at = self.0.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            self.0.push((name.to_owned(), Node::default()));
            self.0.len() - 1
        });
        match rest {
            Some(rest) => self.0[at].1.inner.add(rest, slot),
            None => self.0[at].1.slots.push(slot),
        }
    }
}

/// The reader.
pub(super) struct Json {
    wanted: Wanted,
    fields: usize,
}

impl Json {
    pub(super) fn new(paths: &[String]) -> Self {
        let mut wanted = Wanted::default();
        paths.iter().enumerate().for_each(|(slot, path)| wanted.add(path, slot));
        Self { wanted, fields: paths.len() }
    }
}

impl Payload for Json {
    fn read<'a>(&mut self, payload: &'a [u8], row: &mut RowFn<'_, 'a>) -> Result<(), String> {
        let mut cells = vec![Cell::Missing; self.fields];
        // A serialiser with a registry puts the schema's number in front; no JSON begins with a zero byte.
        let text = super::framing(payload).map_or(payload, |(_, rest)| rest);
        let mut reader = serde_json::Deserializer::from_slice(text);
        let object = Object { wanted: &self.wanted, cells: &mut cells };
        let read = reader.deserialize_map(object).and_then(|()| reader.end());
        read.map_err(|e| format!("not a JSON object as expected: {e}"))?;
        // The reason of a bad row is kept by the caller.
        row(&cells).map_err(|fault| fault.1)
    }
}

/// An object whose wanted fields go into cells.
struct Object<'w, 'c, 'a> {
    wanted: &'w Wanted,
    cells: &'c mut [Cell<'a>],
}

impl<'a> Visitor<'a> for Object<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Text<'a>>()? {
            match self.wanted.0.iter().find(|(known, _)| *known == name.0) {
                Some((_, node)) => map.next_value_seed(Field { node, cells: self.cells })?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// A text, borrowed where it holds no escapes.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A wanted field's value.
struct Field<'w, 'c, 'a> {
    node: &'w Node,
    cells: &'c mut [Cell<'a>],
}

impl<'a> Field<'_, '_, 'a> {
    fn keep(self, cell: &Cell<'a>) {
        self.node.slots.iter().for_each(|slot| self.cells[*slot] = cell.clone());
    }
}

impl<'a> DeserializeSeed<'a> for Field<'_, '_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Field<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.keep(&Cell::Other("true or false"));
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.keep(&Cell::Whole(number));
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.keep(&i64::try_from(number).map_or(Cell::Number(number as f64), Cell::Whole));
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.keep(&Cell::Number(number));
        Ok(())
    }

    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<(), E> {
        self.keep(&Cell::Text(text.into()));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.keep(&Cell::Text(text.to_owned().into()));
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.keep(&Cell::Missing);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        self.keep(&Cell::Other("a list"));
        Ok(())
    }

    fn visit_map<A: MapAccess<'a>>(self, map: A) -> Result<(), A::Error> {
        let Self { node, cells } = self;
        Object { wanted: &node.inner, cells: &mut *cells }.visit_map(map)?;
        Field { node, cells }.keep(&Cell::Other("an object"));
        Ok(())
    }
}
