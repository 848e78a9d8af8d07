//! What replies say of a session.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use unspool_model::State;
use unspool_pipelines::store::{Info, Tier, Time};
use unspool_proto::v1;

use super::{app::provenance, registry::Registry};

/// A session, with its state where the reply had to read it.
pub(crate) fn session(info: &Info, models: &Registry, state: Option<&State>) -> v1::Session {
    let digest = info.spec.model;
    let provenance = models.get(digest).map_or_else(
        // Not loaded now: the store keeps its weights.
        || v1::Provenance { digest: digest.to_string(), ..v1::Provenance::default() },
        |model| provenance(&model, state.is_some_and(|state| *state.route() != model.info().route)),
    );
    let small = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    let options = &info.spec.options;
    let expire = info.spec.ttl.map(|ttl| info.used.after(ttl));
    let tier = match info.tier {
        Tier::Live => v1::Tier::Device,
        Tier::Memory => v1::Tier::Memory,
        Tier::Disk => v1::Tier::Disk,
    };
    v1::Session {
        session_id: info.key.id.to_string(),
        provenance: Some(provenance),
        options: Some(v1::SessionOptions {
            layers: options.layers.iter().map(|layer| small(*layer)).collect(),
            anomaly: options.anomaly,
            bits: options.bits,
        }),
        position: info.position,
        next_sequence_number: info.number + 1,
        ttl_s: info.spec.ttl.map_or(0, |ttl| ttl.as_secs()),
        open_time: Some(timestamp(info.created)),
        expire_time: expire.map(timestamp),
        tier: tier.into(),
    }
}

fn timestamp(time: Time) -> prost_types::Timestamp {
    let time = UNIX_EPOCH.checked_add(Duration::from_millis(time.0));
    time.map_or_else(prost_types::Timestamp::default, |time: SystemTime| time.into())
}
