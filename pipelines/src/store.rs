//! Sessions whose states outlive requests, devices and processes: the tiered state store.
//!
//! A session is a [`Key`] (owner and id) with one [`State`](unspool_model::State), bound to a model's digest and options. Appends are
//! numbered: the same number again gives the same reply and the state stays, a gap is refused.
//!
//! ```text
//! let store = Store::open(Some(dir), StoreOptions::default(), models)?;      // dir: None keeps all in memory
//! store.open_session(&key, &spec, now)?                                     -> Durable
//! store.append(&[Append::whole(&key, 1, events), ...], now)                 -> Vec<Result<Applied>>
//! store.read(&key, now)?                                                    -> View
//! store.forecast(&[&key, ...], horizon, now)                                -> Vec<Result<Forecast>>
//! store.fork(&from, &to, now)?  store.restore(&key, &bytes, ttl, now)?      -> Durable
//! store.snapshot(&key, now)?                                                -> Vec<u8>
//! store.migrate(&key, &to_spec, now)?                                       -> Durable
//! store.close(&key)?                                                        -> Durable
//! store.abandon(&key)                                    // the parts of an append that will not be completed
//! store.list(owner, after, limit)                                           -> Page
//! store.sweep(now)                                       // closes the expired, saves what is due
//! store.drain()?                                         // refuses new work, saves all
//! store.stats()                                                             -> Stats
//! ```
//!
//! [`Durable`] is a ticket: a future, or to be waited for by a thread. Nothing else here is asynchronous, and no call but it and
//! those that say so waits for the disk.

#[expect(dead_code, reason = "the store itself, which follows, uses the rest")]
mod durable;
#[expect(dead_code, reason = "the store itself, which follows, uses the rest")]
mod error;
#[expect(dead_code, reason = "the store itself, which follows, uses the rest")]
mod key;
mod models;
mod options;
mod session;

pub use self::{
    durable::Durable,
    error::{Error, Limit, Result},
    key::{Key, Time},
    models::Models,
    options::StoreOptions,
    session::{Append, Applied, Info, Page, Spec, Stats, Tier, View},
};
