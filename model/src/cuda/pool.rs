//! The pool of states on a card: who is in which slot, and who has to leave.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use unspool_kernels::cuda::{CudaError, Gpu, Lane, LayerStates, States};

use crate::{Error, Result, config::Config};

/// The share of the memory that is free once the weights are on the card, for states, in percent, where nobody says.
const SHARE: u64 = 85;
/// Says how much else.
const BYTES: &str = "UNSPOOL_GPU_STATE_BYTES";
/// The most slots: their numbers are the kernels' i32, and there must be a limit.
const MOST: usize = 1 << 24;

/// Slots, and the states in them. When all are taken, those that were not used for longest move to memory.
pub(super) struct Pool {
    slots: usize,
    slot_values: usize,
    inner: Mutex<Inner>,
    /// Slots whose states are gone: given back without waiting for whoever has the pool.
    left: Mutex<Vec<usize>>,
    clock: AtomicU64,
}

pub(super) struct Inner {
    states: States,
    lane: Lane,
    free: Vec<usize>,
    owners: Vec<Weak<Cell>>,
}

/// A state that the card's encoder keeps.
pub(crate) struct Resident {
    pool: Arc<Pool>,
    cell: Arc<Cell>,
}

struct Cell {
    place: Mutex<Spot>,
    used: AtomicU64,
}

/// Where a state's values are.
#[derive(Debug)]
enum Spot {
    /// Zeros, nowhere yet.
    Fresh,
    Slot(usize),
    Memory(Box<[f32]>),
    /// The card failed while it had them.
    Lost(String),
}

impl Pool {
    /// As many slots as `bytes` hold, or as fit beside the rest.
    pub(super) fn new(gpu: Arc<Gpu>, config: &Config, bytes: Option<u64>) -> Result<Self> {
        let values = config.state_len() / config.layers;
        let each = States::slot_bytes(config.layers, values) as u64;
        let (free, total) = gpu.memory()?;
        let bytes = bytes.map_or_else(asked, |bytes| Ok(Some(bytes)))?.unwrap_or(free / 100 * SHARE);
        if each > bytes || bytes > free {
            let (ordinal, needed) = (gpu.card().ordinal, each.max(bytes));
            return Err(CudaError::Memory { ordinal, what: "the pool of states", needed, free, total }.into());
        }
        let slots = usize::try_from(bytes / each).unwrap_or(MOST).min(MOST);
        let states = States::new(&gpu, slots, config.layers, values)?;
        let slot_values = states.slot_values();
        let inner = Inner {
            states,
            lane: Lane::new(&gpu)?,
            free: (0..slots).rev().collect(),
            owners: (0..slots).map(|_| Weak::new()).collect(),
        };
        Ok(Self { slots, slot_values, inner: Mutex::new(inner), left: Mutex::default(), clock: AtomicU64::new(0) })
    }

    /// Where each layer's states lie, as long as the pool is there.
    pub(super) fn layers(&self, layers: usize) -> Vec<LayerStates> {
        let inner = self.lock();
        (0..layers).map(|layer| inner.states.layer(layer)).collect()
    }

    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    pub(super) fn slot_values(&self) -> usize {
        self.slot_values
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the pool, for a call.
    pub(super) fn enter(&self) -> Result<Entered<'_>> {
        let inner = self.lock();
        inner.lane.enter()?;
        Ok(Entered { pool: self, inner })
    }
}

/// The pool in one caller's hands.
pub(super) struct Entered<'a> {
    pool: &'a Pool,
    inner: MutexGuard<'a, Inner>,
}

impl Entered<'_> {
    /// Brings these states, no more than there are slots, onto the card, and gives their slots. The lane is through then.
    pub(super) fn take(&mut self, residents: &[&Resident]) -> Result<Vec<usize>> {
        let now = self.pool.clock.fetch_add(1, Ordering::Relaxed) + 1;
        let (mut slots, mut outside) = (Vec::with_capacity(residents.len()), vec![]);
        for (i, resident) in residents.iter().enumerate() {
            resident.cell.used.store(now, Ordering::Relaxed);
            match &*resident.cell.spot() {
                Spot::Slot(slot) => slots.push(*slot),
                Spot::Lost(why) => return Err(lost(why)),
                Spot::Fresh | Spot::Memory(_) => {
                    slots.push(0);
                    outside.push(i);
                }
            }
        }
        if outside.is_empty() {
            return Ok(slots);
        }
        self.make_room(outside.len(), now)?;
        let Self { inner, .. } = self;
        let Inner { states, lane, free, owners } = &mut **inner;
        let (mut fresh, mut back) = (vec![], vec![]);
        for i in outside {
            let Some(slot) = free.pop() else { return Err(Error::Input("more sequences than slots".into())) };
            slots[i] = slot;
            owners[slot] = Arc::downgrade(&residents[i].cell);
            match std::mem::replace(&mut *residents[i].cell.spot(), Spot::Slot(slot)) {
                Spot::Memory(values) => back.push((slot, values)),
                _ => fresh.push(slot),
            }
        }
        let from: Vec<usize> = back.iter().map(|(slot, _)| *slot).collect();
        let filled = (states.zero(lane, &fresh))
            .and_then(|()| states.load(lane, &from, |i, to| to.copy_from_slice(&back[i].1)))
            .and_then(|()| lane.finish());
        if let Err(error) = filled {
            residents.iter().for_each(|resident| resident.lose(&error.to_string()));
            return Err(error.into());
        }
        Ok(slots)
    }

    /// Frees slots: first those whose states are gone, then those used longest ago.
    fn make_room(&mut self, wanted: usize, now: u64) -> Result<()> {
        let Inner { states, lane, free, owners } = &mut *self.inner;
        free.append(&mut self.pool.left.lock().unwrap_or_else(PoisonError::into_inner));
        let lacking = wanted.saturating_sub(free.len());
        if lacking == 0 {
            return Ok(());
        }
        let mut oldest: Vec<(u64, usize, Arc<Cell>)> = (owners.iter().enumerate())
            .filter_map(|(slot, owner)| Some((slot, owner.upgrade()?)))
            .map(|(slot, cell)| (cell.used.load(Ordering::Relaxed), slot, cell))
            .filter(|(used, slot, cell)| *used < now && cell.slot() == Some(*slot))
            .collect();
        oldest.sort_unstable_by_key(|(used, slot, _)| (*used, *slot));
        oldest.truncate(lacking);
        let slots: Vec<usize> = oldest.iter().map(|(_, slot, _)| *slot).collect();
        states.save(lane, &slots, |i, values| {
            let mut spot = oldest[i].2.spot();
            // Else its state has gone meanwhile, and the slot with it: it is among those that were given back.
            if matches!(*spot, Spot::Slot(_)) {
                *spot = Spot::Memory(values.into());
                free.push(slots[i]);
            }
        })?;
        free.append(&mut self.pool.left.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }

    /// Copies of slots: in free slots, and in memory where these do not suffice. The lane is through then.
    fn fork(&mut self, slots: &[usize]) -> Result<Vec<Spot>> {
        let Inner { states, lane, free, .. } = &mut *self.inner;
        free.append(&mut self.pool.left.lock().unwrap_or_else(PoisonError::into_inner));
        let (near, far) = slots.split_at(slots.len().min(free.len()));
        let to = free.split_off(free.len() - near.len());
        let mut spots: Vec<Spot> = to.iter().map(|slot| Spot::Slot(*slot)).collect();
        let copied = (states.copy(lane, &near.iter().copied().zip(to).collect::<Vec<_>>()))
            .and_then(|()| states.save(lane, far, |_, values| spots.push(Spot::Memory(values.into()))))
            .and_then(|()| lane.finish());
        if let Err(error) = copied {
            free.extend(spots.iter().filter_map(|spot| if let Spot::Slot(slot) = spot { Some(*slot) } else { None }));
            return Err(error.into());
        }
        Ok(spots)
    }

    fn read(&mut self, slot: usize) -> Result<Box<[f32]>> {
        let Inner { states, lane, .. } = &mut *self.inner;
        let mut read = Box::default();
        states.save(lane, &[slot], |_, values| read = values.into())?;
        Ok(read)
    }
}

/// What the environment allows for states, in bytes: where several processes share a card.
fn asked() -> Result<Option<u64>> {
    let Ok(text) = std::env::var(BYTES) else { return Ok(None) };
    let refuse = |_| Error::Input(format!("{BYTES}={text}: bytes of the card for states, such as 2000000000"));
    text.parse().map(Some).map_err(refuse)
}

fn lost(why: &str) -> Error {
    Error::Input(format!("this state was lost when the card failed: {why}"))
}

impl Cell {
    fn new(spot: Spot) -> Arc<Self> {
        Arc::new(Self { place: Mutex::new(spot), used: AtomicU64::new(0) })
    }

    fn spot(&self) -> MutexGuard<'_, Spot> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self) -> Option<usize> {
        if let Spot::Slot(slot) = &*self.spot() { Some(*slot) } else { None }
    }
}

impl Resident {
    pub(super) fn fresh(pool: &Arc<Pool>) -> Self {
        Self { pool: Arc::clone(pool), cell: Cell::new(Spot::Fresh) }
    }

    /// Values in the slots' order.
    pub(super) fn in_memory(pool: &Arc<Pool>, values: Vec<f32>) -> Self {
        Self { pool: Arc::clone(pool), cell: Cell::new(Spot::Memory(values.into())) }
    }

    /// It is this pool's.
    pub(super) fn belongs(&self, pool: &Arc<Pool>) -> bool {
        Arc::ptr_eq(&self.pool, pool)
    }

    /// The card failed in the midst of it.
    pub(super) fn lose(&self, why: &str) {
        if let Spot::Slot(slot) = std::mem::replace(&mut *self.cell.spot(), Spot::Lost(why.to_owned())) {
            self.pool.left.lock().unwrap_or_else(PoisonError::into_inner).push(slot);
        }
    }

    /// Its values in the slots' order.
    pub(super) fn values(&self) -> Result<Box<[f32]>> {
        let mut pool = self.pool.enter()?;
        let slot = match &*self.cell.spot() {
            Spot::Fresh => return Ok(vec![0.0; self.pool.slot_values].into()),
            Spot::Memory(values) => return Ok(values.clone()),
            Spot::Lost(why) => return Err(lost(why)),
            Spot::Slot(slot) => *slot,
        };
        pool.read(slot)
    }
}

impl Resident {
    /// A fork of each, in one go: all are this pool's.
    pub(super) fn fork(pool: &Arc<Pool>, residents: &[&Self]) -> Result<Vec<Self>> {
        let mut entered = pool.enter()?;
        let mut spots = Vec::with_capacity(residents.len());
        let (mut slots, mut at) = (vec![], vec![]);
        for (i, resident) in residents.iter().enumerate() {
            spots.push(match &*resident.cell.spot() {
                Spot::Fresh => Spot::Fresh,
                Spot::Memory(values) => Spot::Memory(values.clone()),
                Spot::Lost(why) => Spot::Lost(why.clone()),
                Spot::Slot(slot) => {
                    slots.push(*slot);
                    at.push(i);
                    Spot::Fresh
                }
            });
        }
        for (i, spot) in at.into_iter().zip(entered.fork(&slots)?) {
            spots[i] = spot;
        }
        let each = residents.iter().zip(spots).map(|(resident, spot)| {
            let slot = if let Spot::Slot(slot) = spot { Some(slot) } else { None };
            let used = AtomicU64::new(resident.cell.used.load(Ordering::Relaxed));
            let cell = Arc::new(Cell { place: Mutex::new(spot), used });
            if let Some(slot) = slot {
                entered.inner.owners[slot] = Arc::downgrade(&cell);
            }
            Self { pool: Arc::clone(pool), cell }
        });
        Ok(each.collect())
    }
}

impl Clone for Resident {
    fn clone(&self) -> Self {
        let forked = Self::fork(&self.pool, &[self]).map(|mut forks| forks.pop());
        // A clone cannot fail: whoever uses it is told.
        let lost = |why: String| Self { pool: Arc::clone(&self.pool), cell: Cell::new(Spot::Lost(why)) };
        match forked {
            Ok(Some(fork)) => fork,
            Ok(None) => lost("no fork was made".into()),
            Err(error) => lost(error.to_string()),
        }
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        if let Spot::Slot(slot) = std::mem::replace(&mut *self.cell.spot(), Spot::Fresh) {
            self.pool.left.lock().unwrap_or_else(PoisonError::into_inner).push(slot);
        }
    }
}

impl PartialEq for Resident {
    fn eq(&self, other: &Self) -> bool {
        match (self.values(), other.values()) {
            (Ok(own), Ok(other)) => own == other,
            _ => false,
        }
    }
}

impl fmt::Debug for Resident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.cell.spot() {
            Spot::Memory(_) => f.write_str("Resident(in memory)"),
            spot => write!(f, "Resident({spot:?})"),
        }
    }
}
