//! A message as the broker gave it, and one that could not be used.

/// The most bytes of a payload that a reject keeps.
pub(super) const MAX_PAYLOAD_BYTES: usize = 512 << 10;

/// A message, borrowed from the client's buffers.
#[derive(Clone, Debug, Default)]
pub struct Record<'a> {
    /// The partition.
    pub partition: i32,
    /// The offset in it.
    pub offset: i64,
    /// The broker's or the producer's time, in ms since 1970.
    pub timestamp_ms: Option<i64>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The payload; `None`: a tombstone.
    pub payload: Option<&'a [u8]>,
    /// The headers, in order; empty where no field is read from them.
    pub headers: Vec<(&'a str, &'a [u8])>,
}

/// Why a message or a row of it could not be used, as metrics count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RejectKind {
    /// The payload is not what the job says.
    Payload,
    /// A field is missing or not of its kind.
    Field,
    /// The row is older than the watermark.
    Late,
    /// The series has a row of that time already.
    Duplicate,
    /// The model does not take the row.
    Model,
}

impl RejectKind {
    /// Its name in metrics and in headers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Payload => "payload",
            Self::Field => "field",
            Self::Late => "late",
            Self::Duplicate => "duplicate",
            Self::Model => "model",
        }
    }
}

/// A message, or a row of one, that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The partition.
    pub partition: i32,
    /// The offset of the message.
    pub offset: i64,
    /// What kind of fault.
    pub kind: RejectKind,
    /// What is wrong, for a person.
    pub reason: String,
    /// The message's key.
    pub key: Option<Vec<u8>>,
    /// The payload (at most 512 KiB of it), or the row as JSON where the payload is gone.
    pub payload: Option<Vec<u8>>,
}

impl Record<'_> {
    /// The message as a reject.
    #[must_use]
    pub fn reject(&self, kind: RejectKind, reason: String) -> Rejected {
        let cut = |bytes: &[u8]| bytes[..bytes.len().min(MAX_PAYLOAD_BYTES)].to_vec();
        Rejected {
            partition: self.partition,
            offset: self.offset,
            kind,
            reason,
            key: self.key.map(cut),
            payload: self.payload.map(cut),
        }
    }
}
