//! Where a message names its series, its time and its values.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::schema::TimeKind;

/// Where a text stands in a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Location {
    /// The message's key.
    Key,
    /// A field of the payload; dots lead into nested ones.
    Field(String),
    /// A header.
    Header(String),
    /// The partition's number: one series a partition.
    Partition,
}

/// Where the time stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum TimeFrom {
    /// The message's own timestamp.
    #[default]
    Timestamp,
    /// A field of the payload.
    Field(String),
    /// A header.
    Header(String),
    /// The offset: a step number.
    Offset,
}

/// What a time that is a number counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeUnit {
    /// Seconds since 1970, with a fraction if any.
    S,
    /// Milliseconds.
    #[default]
    Ms,
    /// Microseconds.
    Us,
    /// Nanoseconds.
    Ns,
    /// Steps: no calendar.
    Step,
}

/// What a row brings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// Fields of values. Several: each is a series, named `id/field`.
    Values(Vec<String>),
    /// A field of bases.
    Sequence(String),
}

/// Where a message names what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fields {
    /// The series.
    pub id: Location,
    /// The time.
    pub time: TimeFrom,
    /// What a time that is a number counts.
    pub time_unit: TimeUnit,
    /// The values or bases.
    pub content: Content,
}

impl Fields {
    /// How times are written.
    #[must_use]
    pub fn time_kind(&self) -> TimeKind {
        let counts =
            self.time == TimeFrom::Offset || (self.time_unit == TimeUnit::Step && self.time != TimeFrom::Timestamp);
        if counts { TimeKind::Step } else { TimeKind::Timestamp }
    }

    /// Whether headers are read.
    #[must_use]
    pub fn reads_headers(&self) -> bool {
        matches!(self.id, Location::Header(_)) || matches!(self.time, TimeFrom::Header(_))
    }

    /// The fields of the payload, in the order of [`Slots`].
    pub(super) fn paths(&self) -> (Vec<String>, Slots) {
        let mut paths = vec![];
        let mut slot = |path: &String| {
            paths.push(path.clone());
            paths.len() - 1
        };
        let id = if let Location::Field(path) = &self.id { Some(slot(path)) } else { None };
        let time = if let TimeFrom::Field(path) = &self.time { Some(slot(path)) } else { None };
        let content = match &self.content {
            Content::Values(fields) => fields.iter().map(&mut slot).collect(),
            Content::Sequence(field) => vec![slot(field)],
        };
        (paths, Slots { id, time, content })
    }
}

/// Which of the payload's fields is what.
#[derive(Clone, Debug)]
pub(super) struct Slots {
    pub id: Option<usize>,
    pub time: Option<usize>,
    pub content: Vec<usize>,
}

impl TimeUnit {
    /// A whole number of them in µs (or steps); `None` when that is too large.
    pub(super) fn whole(self, number: i64) -> Option<i64> {
        match self {
            Self::S => number.checked_mul(1_000_000),
            Self::Ms => number.checked_mul(1000),
            Self::Us | Self::Step => Some(number),
            Self::Ns => Some(number.div_euclid(1000)),
        }
    }

    /// A number with a fraction, to the nearest µs; steps have none.
    pub(super) fn fraction(self, number: f64) -> Option<i64> {
        let scaled = match self {
            Self::S => number * 1e6,
            Self::Ms => number * 1e3,
            Self::Us => number,
            Self::Ns => number / 1e3,
            Self::Step if number.fract() == 0.0 => number,
            Self::Step => return None,
        };
        (scaled.abs() < 9.2e18).then(|| scaled.round() as i64)
    }
}

/// A place in a message that is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{found}': {expected} expected")]
pub struct BadLocation {
    found: String,
    expected: &'static str,
}

impl FromStr for Location {
    type Err = BadLocation;

    fn from_str(text: &str) -> Result<Self, BadLocation> {
        match (text, text.split_once(':')) {
            ("key", _) => Ok(Self::Key),
            ("partition", _) => Ok(Self::Partition),
            (_, Some(("field", path))) if !path.is_empty() => Ok(Self::Field(path.into())),
            (_, Some(("header", name))) if !name.is_empty() => Ok(Self::Header(name.into())),
            _ => {
                let expected = "\"key\", \"partition\", \"field:PATH\" or \"header:NAME\"";
                Err(BadLocation { found: text.into(), expected })
            }
        }
    }
}

impl FromStr for TimeFrom {
    type Err = BadLocation;

    fn from_str(text: &str) -> Result<Self, BadLocation> {
        match (text, text.split_once(':')) {
            ("timestamp", _) => Ok(Self::Timestamp),
            ("offset", _) => Ok(Self::Offset),
            (_, Some(("field", path))) if !path.is_empty() => Ok(Self::Field(path.into())),
            (_, Some(("header", name))) if !name.is_empty() => Ok(Self::Header(name.into())),
            _ => {
                let expected = "\"timestamp\", \"offset\", \"field:PATH\" or \"header:NAME\"";
                Err(BadLocation { found: text.into(), expected })
            }
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key => f.write_str("key"),
            Self::Partition => f.write_str("partition"),
            Self::Field(path) => write!(f, "field:{path}"),
            Self::Header(name) => write!(f, "header:{name}"),
        }
    }
}

impl fmt::Display for TimeFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timestamp => f.write_str("timestamp"),
            Self::Offset => f.write_str("offset"),
            Self::Field(path) => write!(f, "field:{path}"),
            Self::Header(name) => write!(f, "header:{name}"),
        }
    }
}

macro_rules! as_text {
    ($($kind:ty),*) => {$(
        impl TryFrom<String> for $kind {
            type Error = BadLocation;

            fn try_from(text: String) -> Result<Self, BadLocation> {
                text.parse()
            }
        }

        impl From<$kind> for String {
            fn from(place: $kind) -> String {
                place.to_string()
            }
        }
    )*};
}
as_text!(Location, TimeFrom);
