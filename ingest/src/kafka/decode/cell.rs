//! One field of a row, as its format gives it.

use std::borrow::Cow;

use super::TimeUnit;
use crate::{
    schema::TimeKind,
    tables::{time, value},
};

/// A field.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Cell<'a> {
    /// Not there, or null.
    #[default]
    Missing,
    /// A whole number.
    Whole(i64),
    /// A number.
    Number(f64),
    /// A text.
    Text(Cow<'a, str>),
    /// A time of its own kind, in µs.
    Micros(i64),
    /// Something else: what it is.
    Other(&'static str),
}

impl<'a> Cell<'a> {
    /// As a value; missing ones are `None`.
    pub(super) fn value(&self) -> Result<Option<f64>, String> {
        match self {
            Self::Missing => Ok(None),
            // A double has no exact form of all of these; the nearest is what it would be read as.
            Self::Whole(number) => Ok(Some(*number as f64)),
            Self::Number(number) if number.is_nan() => Ok(None),
            Self::Number(number) if number.is_finite() => Ok(Some(*number)),
            Self::Number(_) => Err("the value is not finite".into()),
            Self::Text(text) => value::parse(text),
            Self::Micros(_) => Err("a number expected, found a time".into()),
            Self::Other(what) => Err(format!("a number expected, found {what}")),
        }
    }

    /// As a text; whole numbers too, since names may be numbers.
    pub(super) fn text(&self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Whole(number) => Some(number.to_string().into()),
            Self::Missing | Self::Number(_) | Self::Micros(_) | Self::Other(_) => None,
        }
    }

    /// As a time in µs, or a step number.
    pub(super) fn time(&self, unit: TimeUnit) -> Option<i64> {
        match self {
            Self::Whole(number) => unit.whole(*number),
            Self::Number(number) => unit.fraction(*number),
            Self::Micros(micros) if unit != TimeUnit::Step => Some(*micros),
            Self::Text(text) => match text.parse::<i64>() {
                Ok(number) => unit.whole(number),
                Err(_) if unit == TimeUnit::Step => None,
                Err(_) => time::parse(text, TimeKind::Timestamp),
            },
            Self::Missing | Self::Micros(_) | Self::Other(_) => None,
        }
    }
}
