//! Names of sessions, and the time.

use std::{fmt, sync::Arc, time::Duration};

/// A session's name: no owner sees another's.
///
/// Ordered by owner, then id: an owner's sessions stand together. Cheap to clone: an append's name goes through many hands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Whose it is: opaque bytes, a tenant's name for example.
    pub owner: Arc<[u8]>,
    /// The owner's name for it.
    pub id: Arc<str>,
}

impl Key {
    /// The session `id` of `owner`.
    #[must_use]
    pub fn new(owner: &[u8], id: &str) -> Self {
        Self { owner: owner.into(), id: id.into() }
    }
}

/// The id alone: an owner knows itself, and its name may be a secret to others.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", self.id)
    }
}

/// Milliseconds since the Unix epoch, given by the caller: the store reads no clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// This long after; the end of time where that overflows.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// A session's number within its store: never used again, so that a closed session is not mixed up with a later one of the
/// same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Sid(pub u64);
