//! Packs chunks of many sequences into ragged batches: by a budget of events, fair among owners.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::{Chunk, Owner, Sequence};

/// What a scheduler may hold and hand out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Events a pack, at most (at least one is always taken).
    pub pack_events: usize,
    /// Events waiting, at most.
    pub waiting_events: usize,
}

impl Limits {
    /// Events that a job lets wait: more than the rows of any batch of a reader make.
    const JOB_WAITING_EVENTS: usize = 1 << 26;

    /// The limits of a job that works off each batch before it takes the next.
    #[must_use]
    pub fn job(pack_events: usize) -> Self {
        Self { pack_events, waiting_events: Self::JOB_WAITING_EVENTS }
    }
}

/// A chunk that found the queue full, handed back.
#[derive(Debug)]
pub struct Full(pub Chunk);

/// A bounded queue of chunks that hands out packs.
///
/// A pack holds each sequence at most once; a chunk that is longer than what is left of the budget is cut, and its rest
/// goes first when its owner's turn comes again, so the chunks of one sequence stay in order and few sequences are
/// open at a time. Owners take turns: each gets an equal share of a pack, and what is left over goes to whoever
/// waits. By the batch law the packing changes no output bit.
#[derive(Debug)]
pub struct Scheduler {
    limits: Limits,
    waiting: HashMap<Owner, VecDeque<Chunk>>,
    /// Owners with waiting chunks, in turn.
    turns: VecDeque<Owner>,
    events: usize,
}

impl Scheduler {
    /// An empty queue.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let limits = Limits { pack_events: limits.pack_events.max(1), ..limits };
        Self { limits, waiting: HashMap::new(), turns: VecDeque::new(), events: 0 }
    }

    /// Queues a chunk.
    ///
    /// # Errors
    /// [`Full`] with the chunk when it does not fit into a queue that is not empty; a chunk longer than the whole limit
    /// is taken by an empty queue.
    pub fn push(&mut self, chunk: Chunk) -> Result<(), Full> {
        if !self.turns.is_empty() && self.events + chunk.events.len() > self.limits.waiting_events {
            return Err(Full(chunk));
        }
        self.events += chunk.events.len();
        let queue = self.waiting.entry(chunk.owner).or_default();
        if queue.is_empty() {
            self.turns.push_back(chunk.owner);
        }
        queue.push_back(chunk);
        Ok(())
    }

    /// Queues a batch's chunks.
    ///
    /// # Errors
    /// When they do not fit.
    pub fn push_all(&mut self, chunks: Vec<Chunk>) -> crate::Result<()> {
        let full = |Full(_)| crate::Error::Rows("a batch of rows is too large to be queued".into());
        chunks.into_iter().try_for_each(|chunk| self.push(chunk).map_err(full))
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// The next pack; empty when nothing waits.
    pub fn pack(&mut self) -> Vec<Chunk> {
        let mut pack = Pack { chunks: vec![], sequences: HashSet::new(), room: self.limits.pack_events };
        let share = (self.limits.pack_events / self.turns.len().max(1)).max(1);
        for _ in 0..self.turns.len() {
            self.turn(&mut pack, share);
        }
        // What is left over: whole turns without a share's limit, in the same order.
        for _ in 0..self.turns.len() {
            let room = pack.room;
            self.turn(&mut pack, room);
        }
        self.events -= pack.chunks.iter().map(|chunk| chunk.events.len()).sum::<usize>();
        pack.chunks
    }

    /// Lets the next owner fill at most `share` events of the pack.
    fn turn(&mut self, pack: &mut Pack, share: usize) {
        let Some(owner) = self.turns.pop_front() else { return };
        let Some(queue) = self.waiting.get_mut(&owner) else { return };
        pack.fill(queue, share);
        if queue.is_empty() {
            self.waiting.remove(&owner);
        } else {
            self.turns.push_back(owner);
        }
    }
}

/// A pack being filled.
struct Pack {
    chunks: Vec<Chunk>,
    sequences: HashSet<Sequence>,
    room: usize,
}

impl Pack {
    /// Takes chunks from the front of `queue`, at most `share` events of them.
    fn fill(&mut self, queue: &mut VecDeque<Chunk>, mut share: usize) {
        while let Some(chunk) = queue.pop_front() {
            let len = share.min(self.room);
            let full = len == 0 && !chunk.events.is_empty();
            if full || !self.sequences.insert(chunk.sequence) {
                queue.push_front(chunk);
                return;
            }
            let (first, rest) = chunk.cut(len);
            share -= first.events.len();
            self.room -= first.events.len();
            self.chunks.push(first);
            if let Some(rest) = rest {
                queue.push_front(rest);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::buffer::Buffer;

    use super::*;
    use crate::{End, Events};

    fn chunk(owner: u64, sequence: u64, len: usize) -> Chunk {
        let events = Events::Bases(Buffer::from(vec![b'A'; len]));
        Chunk { sequence: Sequence(sequence), owner: Owner(owner), events, end: End::Complete }
    }

    /// Packs as (sequence, events) lists.
    fn check(pack_events: usize, chunks: &[(u64, u64, usize)], expected: &[&[(u64, usize)]]) {
        let mut scheduler = Scheduler::new(Limits { pack_events, waiting_events: 1000 });
        for (owner, sequence, len) in chunks {
            scheduler.push(chunk(*owner, *sequence, *len)).expect("fits");
        }
        let mut packs = vec![];
        while !scheduler.is_empty() {
            packs.push(scheduler.pack().iter().map(|c| (c.sequence.0, c.events.len())).collect::<Vec<_>>());
        }
        assert_eq!(packs, expected, "budget {pack_events}, {chunks:?}");
        assert_eq!(scheduler.events, 0);
    }

    #[test]
    fn packs() {
        // Whole chunks up to the budget; the last one is cut and goes on first.
        check(10, &[(0, 1, 4), (0, 2, 4), (0, 3, 4), (0, 4, 1)], &[&[(1, 4), (2, 4), (3, 2)], &[(3, 2), (4, 1)]]);
        // A long chunk is cut.
        check(3, &[(0, 1, 7)], &[&[(1, 3)], &[(1, 3)], &[(1, 1)]]);
        // A sequence stands in a pack once.
        check(10, &[(0, 1, 2), (0, 1, 2)], &[&[(1, 2)], &[(1, 2)]]);
        // Empty chunks travel too, even in a full pack.
        check(2, &[(0, 1, 2), (0, 2, 0), (0, 3, 0)], &[&[(1, 2), (2, 0), (3, 0)]]);
        // Owners share: the second does not wait for the first one's long chunk.
        check(4, &[(7, 1, 9), (8, 2, 3)], &[&[(1, 2), (2, 2)], &[(1, 2), (2, 1)], &[(1, 4)], &[(1, 1)]]);
        // Budgets of zero still go on.
        check(0, &[(0, 1, 2)], &[&[(1, 1)], &[(1, 1)]]);
    }

    #[test]
    fn the_queue_is_bounded() {
        let mut scheduler = Scheduler::new(Limits { pack_events: 4, waiting_events: 5 });
        scheduler.push(chunk(0, 1, 9)).expect("an empty queue takes a long chunk");
        let Full(back) = scheduler.push(chunk(0, 2, 1)).expect_err("full");
        assert_eq!((back.sequence, back.events.len()), (Sequence(2), 1));
        let _ = (scheduler.pack(), scheduler.pack());
        scheduler.push(back).expect("room again");
    }

    #[test]
    fn events_keep_their_order() {
        let letters: Vec<u8> = (0..100).collect();
        let mut scheduler = Scheduler::new(Limits { pack_events: 7, waiting_events: 1000 });
        for part in letters.chunks(13) {
            let events = Events::Bases(Buffer::from(part));
            let chunk = Chunk { sequence: Sequence(1), owner: Owner(0), events, end: End::Open };
            scheduler.push(chunk).expect("fits");
        }
        let mut seen = vec![];
        while !scheduler.is_empty() {
            for chunk in scheduler.pack() {
                let Events::Bases(bases) = chunk.events else { panic!("bases") };
                seen.extend_from_slice(&bases);
            }
        }
        assert_eq!(seen, letters);
    }
}
