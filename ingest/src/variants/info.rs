//! INFO fields that were asked for, and their values.

use super::header::{Header, InfoField, InfoKind};
use crate::percent;

/// A field asked for.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) field: InfoField,
    pub(super) encoded: bool,
}

/// A field's values in one record; a `.` among them is `None`.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// The record has no such field.
    Missing,
    /// A flag that is there.
    Flag,
    Integers(Vec<Option<i32>>),
    Floats(Vec<Option<f32>>),
    Texts(Vec<Option<String>>),
}

impl Wanted {
    /// A field of the header's.
    ///
    /// # Errors
    /// When the header does not declare it, with those that it does.
    pub(super) fn new(name: &str, header: &Header) -> Result<Self, String> {
        let Some(field) = header.info(name) else {
            let names = header.info_names();
            let some = names[..names.len().min(20)].join(", ");
            return Err(format!("the header declares no INFO field '{name}'; there are {} ({some})", names.len()));
        };
        Ok(Self { name: name.to_owned(), field, encoded: header.encoded })
    }

    /// Its values from the text after `=`.
    ///
    /// # Errors
    /// When a value is not of the declared type, or there are several of one that has one.
    pub(super) fn parse(&self, text: Option<&str>) -> Result<Value, String> {
        let wrong =
            |value: &str, kind: &str| format!("INFO {}: '{}' is no {kind}", self.name, super::site::shown(value));
        let Some(text) = text else {
            return if self.field.kind == InfoKind::Flag { Ok(Value::Flag) } else { Err(wrong("", "value")) };
        };
        let items = || text.split(',').map(|item| (item != ".").then_some(item));
        let value = match self.field.kind {
            InfoKind::Flag => Value::Flag,
            InfoKind::Integer => {
                let number = |item: &str| item.parse::<i32>().map_err(|_| wrong(item, "32-bit integer"));
                Value::Integers(items().map(|item| item.map(number).transpose()).collect::<Result<_, _>>()?)
            }
            InfoKind::Float => {
                let number = |item: &str| item.parse::<f32>().map_err(|_| wrong(item, "number"));
                Value::Floats(items().map(|item| item.map(number).transpose()).collect::<Result<_, _>>()?)
            }
            InfoKind::Text => Value::Texts(items().map(|item| item.map(|item| self.decoded(item))).collect()),
        };
        self.check(value)
    }

    /// Refuses several values of a field that has one.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub(super) fn check(&self, value: Value) -> Result<Value, String> {
        let count = match &value {
            Value::Integers(values) => values.len(),
            Value::Floats(values) => values.len(),
            Value::Texts(values) => values.len(),
            Value::Missing | Value::Flag => 1,
        };
        if !self.field.list && count > 1 {
            return Err(format!("INFO {}: {count} values of a field that the header gives one", self.name));
        }
        Ok(value)
    }

    /// Text with its percent-encoded characters decoded, where the file's version has them.
    fn decoded(&self, text: &str) -> String {
        if !self.encoded || !text.contains('%') {
            return text.to_owned();
        }
        percent::decoded(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_by_their_type() {
        use InfoKind::{Flag, Float, Integer, Text};
        type Case<'a> = (InfoKind, bool, Option<&'a str>, Result<Value, &'a str>);
        let cases: [Case<'_>; 12] = [
            (Integer, false, Some("-7"), Ok(Value::Integers(vec![Some(-7)]))),
            (Integer, true, Some("1,.,3"), Ok(Value::Integers(vec![Some(1), None, Some(3)]))),
            (Integer, false, Some("1,2"), Err("2 values")),
            (Integer, false, Some("1.5"), Err("'1.5' is no 32-bit integer")),
            (Integer, false, Some("3000000000"), Err("no 32-bit")),
            (Integer, false, None, Err("no value")),
            (Float, true, Some("0.5,1e-3,."), Ok(Value::Floats(vec![Some(0.5), Some(1e-3), None]))),
            (Float, false, Some("x"), Err("no number")),
            (Flag, false, None, Ok(Value::Flag)),
            (Flag, false, Some("1"), Ok(Value::Flag)),
            (Text, true, Some("a,b%2Cc,%zz"), Ok(Value::Texts(["a", "b,c", "%zz"].map(|t| Some(t.into())).into()))),
            (Text, false, Some("."), Ok(Value::Texts(vec![None]))),
        ];
        for (kind, list, text, expected) in cases {
            let wanted = Wanted { name: "X".into(), field: InfoField { kind, list }, encoded: true };
            match (wanted.parse(text), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
                (found, expected) => panic!("{found:?}, not {expected:?}"),
            }
        }
    }
}
