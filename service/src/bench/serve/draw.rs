//! Events to send: the same for the server and for the encoder alone.

use std::f64::consts::TAU;

use unspool_model as model;
use unspool_proto::v1::{self, InputKind, events::Kind};

/// Events of one sequence.
#[derive(Clone, Debug)]
pub(super) enum Drawn {
    Values(Vec<f64>),
    Bases(Vec<u8>),
    Tokens(Vec<u32>),
}

/// Events `from..from + count` of sequence `seed`: however they are cut, the same.
pub(super) fn events(kind: InputKind, seed: u64, (from, count): (u64, u32)) -> Drawn {
    let places = from..from + u64::from(count);
    match kind {
        InputKind::Dna => Drawn::Bases(places.map(|at| b"ACGT"[noise(seed, at) as usize % 4]).collect()),
        InputKind::Tokens => Drawn::Tokens(places.map(|at| (noise(seed, at) % 4) as u32).collect()),
        // Half-hourly days, with noise.
        InputKind::Series | InputKind::Unspecified => Drawn::Values(
            places
                .map(|at| {
                    let day = (at as f64 / 48.0 + seed as f64 / 7.0) * TAU;
                    100.0 + 10.0 * day.sin() + (noise(seed, at) % 1000) as f64 / 500.0
                })
                .collect(),
        ),
    }
}

/// Any numbers (splitmix64).
fn noise(seed: u64, at: u64) -> u64 {
    let mut z = (seed << 40 ^ at).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Drawn {
    /// As the model takes them.
    pub(super) fn as_model(&self) -> model::Events<'_> {
        match self {
            Self::Values(values) => model::Events::Values(values),
            Self::Bases(bases) => model::Events::Bases(bases),
            Self::Tokens(tokens) => model::Events::Tokens(tokens),
        }
    }

    /// As the wire takes them.
    pub(super) fn into_wire(self) -> v1::Events {
        let kind = match self {
            Self::Values(values) => Kind::Values(v1::Values { values }),
            // Letters are UTF-8.
            Self::Bases(bases) => Kind::Bases(String::from_utf8_lossy(&bases).into_owned()),
            Self::Tokens(ids) => Kind::Tokens(v1::Tokens { ids }),
        };
        v1::Events { kind: Some(kind) }
    }
}
