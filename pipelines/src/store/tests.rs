//! Tests of the store: small models, temporary folders, a given clock.

mod calls;
mod crash;
mod laws;
mod restart;
mod tiers;

use std::{collections::HashMap, path::Path, sync::Arc};

use unspool_model::{Events, Item, Model, Options, Output, State, dna};

use super::*;
use crate::testing::dna_model;

/// A store over the given models.
pub(super) fn open_with(dir: Option<&Path>, options: StoreOptions, models: &[Arc<Model>]) -> Result<Store> {
    let models: HashMap<Digest, Arc<Model>> =
        models.iter().map(|model| (model.info().digest, Arc::clone(model))).collect();
    Store::open(dir, options, Arc::new(models))
}

fn key(id: &str) -> Key {
    Key::new(b"tenant", id)
}

/// Embeds: every row, and pools.
fn embedding(model: &Model) -> Spec {
    let options = Options { layers: vec![0, 2], rows: true, pools: true, ..Options::default() };
    Spec { model: model.info().digest, options, ttl: None }
}

fn append(store: &Store, key: &Key, number: u64, bases: &[u8]) -> Result<Applied> {
    store.append(&[Append::whole(key, number, Events::Bases(bases))], Time(0)).remove(0)
}

/// The figures once the keeper has nothing to do.
fn settled(store: &Store) -> Stats {
    let mut index = store.shared.lock();
    while !index.keeper.idle() {
        assert!(index.keeper.trouble.is_none());
        index = store.shared.wait(index);
    }
    drop(index);
    store.stats()
}

/// The same events without a store.
fn alone(model: &Model, spec: &Spec, appends: &[&[u8]]) -> (State, Output) {
    let mut state = model.open(&spec.options).expect("opens");
    let mut last = Output::default();
    for bases in appends {
        let items = &mut [Item { state: &mut state, events: Events::Bases(bases) }];
        last = model.append(items).expect("appends").remove(0);
    }
    (state, last)
}

/// Random numbers for tests, the same in every run.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
