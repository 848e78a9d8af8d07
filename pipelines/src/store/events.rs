//! Events of a session that the store owns: parts of an append, the log's records, the raw history.

use unspool_model::Events;

use super::codec::{Malformed, Reader, Writer};

/// Raw events with the position of the first, oldest first.
pub(super) type History = Vec<(u64, Raw)>;

/// As [`Events`], owned.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Raw {
    Bases(Vec<u8>),
    Tokens(Vec<u32>),
    /// Values to the bit: a missing one may be any NaN.
    Values(Vec<f64>),
}

impl Raw {
    pub(super) fn of(events: Events<'_>) -> Self {
        match events {
            Events::Bases(bases) => Self::Bases(bases.into()),
            Events::Tokens(tokens) => Self::Tokens(tokens.into()),
            Events::Values(values) => Self::Values(values.into()),
        }
    }

    pub(super) fn as_model(&self) -> Events<'_> {
        match self {
            Self::Bases(bases) => Events::Bases(bases),
            Self::Tokens(tokens) => Events::Tokens(tokens),
            Self::Values(values) => Events::Values(values),
        }
    }

    /// At most `len` events from place `from` on.
    pub(super) fn slice(&self, from: usize, len: usize) -> Events<'_> {
        let to = self.len().min(from.saturating_add(len));
        let from = from.min(to);
        match self {
            Self::Bases(bases) => Events::Bases(&bases[from..to]),
            Self::Tokens(tokens) => Events::Tokens(&tokens[from..to]),
            Self::Values(values) => Events::Values(&values[from..to]),
        }
    }

    /// Puts `more` behind; gives it back where it is of another kind (no model takes both).
    pub(super) fn push(&mut self, more: Events<'_>) -> Result<(), Malformed> {
        match (self, more) {
            (Self::Bases(all), Events::Bases(more)) => all.extend_from_slice(more),
            (Self::Tokens(all), Events::Tokens(more)) => all.extend_from_slice(more),
            (Self::Values(all), Events::Values(more)) => all.extend_from_slice(more),
            _ => return Err(Malformed("events of one kind")),
        }
        Ok(())
    }

    /// Bytes of an event.
    pub(super) fn width(&self) -> u64 {
        match self {
            Self::Bases(_) => 1,
            Self::Tokens(_) => 4,
            Self::Values(_) => 8,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.as_model().len()
    }

    pub(super) fn write(events: Events<'_>, writer: &mut Writer) {
        match events {
            Events::Bases(bases) => writer.u8(0).bytes(bases),
            Events::Tokens(tokens) => writer.u8(1).u32s(tokens),
            Events::Values(values) => writer.u8(2).f64s(values),
        };
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match reader.u8("a kind of events")? {
            0 => Self::Bases(reader.bytes("bases")?.into()),
            1 => Self::Tokens(reader.u32s("tokens")?),
            2 => Self::Values(reader.f64s("values")?),
            _ => return Err(Malformed("bases, tokens or values")),
        })
    }
}

/// Bytes that events take.
pub(super) fn byte_len(events: Events<'_>) -> u64 {
    let bytes = match events {
        Events::Bases(bases) => size_of_val(bases),
        Events::Tokens(tokens) => size_of_val(tokens),
        Events::Values(values) => size_of_val(values),
    };
    bytes as u64
}
