//! What each append of each session holds: the same in every run.

use unspool_proto::v1::{
    AppendRequest, Durability, Events, ForecastOptions, OpenRequest, Pooling, SessionOptions, Values, events::Kind,
};

use crate::server::Draw;

/// Half of them of a DNA model, half of a series model, in turn.
pub(super) const SESSIONS: u64 = 8;

/// A session's name.
pub(super) fn id(session: u64) -> String {
    format!("session-{session}")
}

/// The session is of DNA.
pub(super) fn is_dna(session: u64) -> bool {
    session.is_multiple_of(2)
}

/// Opens a session.
pub(super) fn opening(session: u64) -> OpenRequest {
    let (model, options) = if is_dna(session) {
        ("dna", SessionOptions { layers: vec![1, 2], bits: true, ..SessionOptions::default() })
    } else {
        ("series-3", SessionOptions { layers: vec![12], anomaly: true, ..SessionOptions::default() })
    };
    OpenRequest { session_id: id(session), model: model.into(), options: Some(options), ..OpenRequest::default() }
}

/// A session's append of that number.
pub(super) fn append(session: u64, number: u64) -> AppendRequest {
    let mut draw = Draw(session << 32 | number);
    // Some are empty, some so long that the server cuts them.
    let len = if draw.below(12) == 0 { draw.below(800) } else { draw.below(20) };
    let kind = if is_dna(session) {
        Kind::Bases((0..len).map(|_| char::from(b"ACGTN"[draw.below(5) as usize])).collect())
    } else {
        let mut value = |_| if draw.below(20) == 0 { f64::NAN } else { draw.below(1000) as f64 / 7.0 };
        Kind::Values(Values { values: (0..len).map(&mut value).collect() })
    };
    let horizon = (!is_dna(session) && draw.below(3) == 0).then(|| 1 + draw.below(80) as u32);
    let pooling = [Pooling::Unspecified, Pooling::Mean, Pooling::Last, Pooling::Max][draw.below(4) as usize];
    let durability = [Durability::Memory, Durability::Durable][draw.below(2) as usize];
    AppendRequest {
        session_id: id(session),
        sequence_number: number,
        events: Some(Events { kind: Some(kind) }),
        forecast: horizon.map(|horizon| ForecastOptions { horizon, levels: vec![] }),
        pooling: pooling.into(),
        durability: durability.into(),
    }
}
