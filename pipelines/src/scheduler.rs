//! Packs chunks of many sequences into ragged batches: by a budget of events, fair among owners.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::{Chunk, Owner, Sequence};

/// What a scheduler may hold and hand out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Events a pack, at most (at least one is always taken).
    pub pack_events: usize,
    /// Pieces a pack, at most.
    pub pack_pieces: usize,
    /// Events waiting, at most.
    pub waiting_events: usize,
    /// Chunks that wait side by side are cut to equal shares of a pack, but not below this many events; the rest of one goes
    /// behind its owner's other chunks, so that a long one keeps no short one waiting. `usize::MAX`: a chunk is cut only
    /// where a pack is full, and so few sequences are open at a time.
    pub slice_events: usize,
    /// Sequences that may be cut at a time; where more are longer than a slice, they wait for these.
    pub open_sequences: usize,
}

impl Limits {
    /// Events that a job lets wait: more than the rows of any batch of a reader make.
    const JOB_WAITING_EVENTS: usize = 1 << 26;

    /// The limits of a job that works off each batch before it takes the next.
    #[must_use]
    pub fn job(pack_events: usize) -> Self {
        Self {
            pack_events,
            pack_pieces: usize::MAX,
            waiting_events: Self::JOB_WAITING_EVENTS,
            slice_events: usize::MAX,
            open_sequences: usize::MAX,
        }
    }
}

/// What a scheduler packs.
pub trait Piece: Sized {
    /// Whose work it is.
    fn owner(&self) -> Owner;

    /// The sequence, which stands in a pack once.
    fn sequence(&self) -> Sequence;

    /// How much of a pack it takes, in events.
    fn events(&self) -> usize;

    /// Cuts after `len` events: the first part, and the rest if there is one. What cannot be cut comes back whole.
    fn cut(self, len: usize) -> (Self, Option<Self>);
}

impl Piece for Chunk {
    fn owner(&self) -> Owner {
        self.owner
    }

    fn sequence(&self) -> Sequence {
        self.sequence
    }

    fn events(&self) -> usize {
        self.events.len()
    }

    fn cut(self, len: usize) -> (Self, Option<Self>) {
        Self::cut(self, len)
    }
}

/// A piece that found the queue full, handed back.
#[derive(Debug)]
pub struct Full<P = Chunk>(pub P);

/// A bounded queue of chunks that hands out packs.
///
/// A pack holds each sequence at most once; a chunk that is longer than what is left of the budget is cut, and its rest
/// goes first when its owner's turn comes again, so the chunks of one sequence stay in order and few sequences are
/// open at a time ([`Limits::slice_events`] cuts long ones shorter). Owners take turns: each gets an equal share of a pack,
/// and what is left over goes to whoever waits. By the batch law the packing changes no output bit.
#[derive(Debug)]
pub struct Scheduler<P = Chunk> {
    limits: Limits,
    waiting: HashMap<Owner, VecDeque<P>>,
    /// Owners with waiting pieces, in turn.
    turns: VecDeque<Owner>,
    pieces: usize,
    events: usize,
    /// Sequences of which a rest waits.
    open: HashSet<Sequence>,
}

impl<P: Piece> Scheduler<P> {
    /// An empty queue.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let limits = Limits { pack_events: limits.pack_events.max(1), ..limits };
        Self { limits, waiting: HashMap::new(), turns: VecDeque::new(), pieces: 0, events: 0, open: HashSet::new() }
    }

    /// Queues a piece.
    ///
    /// # Errors
    /// [`Full`] with the piece when it does not fit into a queue that is not empty; one longer than the whole limit
    /// is taken by an empty queue.
    pub fn push(&mut self, piece: P) -> Result<(), Full<P>> {
        if !self.turns.is_empty() && self.events + piece.events() > self.limits.waiting_events {
            return Err(Full(piece));
        }
        self.events += piece.events();
        self.pieces += 1;
        let owner = piece.owner();
        let queue = self.waiting.entry(owner).or_default();
        if queue.is_empty() {
            self.turns.push_back(owner);
        }
        queue.push_back(piece);
        Ok(())
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// Takes out of the queue what `stays` says no to.
    pub fn retain(&mut self, mut stays: impl FnMut(&P) -> bool) {
        let (pieces, events, open) = (&mut self.pieces, &mut self.events, &mut self.open);
        self.waiting.retain(|_, queue| {
            queue.retain(|piece| {
                let stays = stays(piece);
                if !stays {
                    *pieces -= 1;
                    *events -= piece.events();
                    open.remove(&piece.sequence());
                }
                stays
            });
            !queue.is_empty()
        });
        self.turns.retain(|owner| self.waiting.contains_key(owner));
    }

    /// The next pack; empty when nothing waits.
    pub fn pack(&mut self) -> Vec<P> {
        let budget = self.limits.pack_events;
        let slice = (budget / self.pieces.max(1)).max(self.limits.slice_events).max(1);
        let open = std::mem::take(&mut self.open);
        let open = (open, self.limits.open_sequences.max(1));
        let (pieces, most) = (vec![], self.limits.pack_pieces.max(1));
        let mut pack = Pack { pieces, most, sequences: HashSet::new(), room: budget, slice, open };
        let share = (budget / self.turns.len().max(1)).max(1);
        for _ in 0..self.turns.len() {
            self.turn(&mut pack, share);
        }
        // What is left over: whole turns without a share's limit, in the same order.
        for _ in 0..self.turns.len() {
            let room = pack.room;
            self.turn(&mut pack, room);
        }
        self.open = pack.open.0;
        self.pieces = self.waiting.values().map(VecDeque::len).sum();
        self.events -= pack.pieces.iter().map(Piece::events).sum::<usize>();
        pack.pieces
    }

    /// Lets the next owner fill at most `share` events of the pack.
    fn turn(&mut self, pack: &mut Pack<P>, share: usize) {
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

impl Scheduler {
    /// Queues a batch's chunks.
    ///
    /// # Errors
    /// When they do not fit.
    pub fn push_all(&mut self, chunks: Vec<Chunk>) -> crate::Result<()> {
        let full = |Full(_)| crate::Error::Rows("a batch of rows is too large to be queued".into());
        chunks.into_iter().try_for_each(|chunk| self.push(chunk).map_err(full))
    }
}

/// A pack being filled.
struct Pack<P> {
    pieces: Vec<P>,
    /// Pieces, at most.
    most: usize,
    sequences: HashSet<Sequence>,
    room: usize,
    /// Events of one piece, at most.
    slice: usize,
    /// Sequences of which a rest waits, and how many there may be.
    open: (HashSet<Sequence>, usize),
}

impl<P: Piece> Pack<P> {
    /// Takes pieces from the front of `queue`, at most `share` events of them.
    fn fill(&mut self, queue: &mut VecDeque<P>, mut share: usize) {
        // Not looked at again in this turn.
        let mut behind = vec![];
        while let Some(piece) = queue.pop_front() {
            let len = share.min(self.room).min(self.slice);
            let full = self.pieces.len() == self.most || len == 0 && piece.events() > 0;
            if full || !self.sequences.insert(piece.sequence()) {
                queue.push_front(piece);
                break;
            }
            let sequence = piece.sequence();
            let (open, most) = &mut self.open;
            if piece.events() > len && open.len() >= *most && !open.contains(&sequence) {
                self.sequences.remove(&sequence);
                behind.push(piece);
                continue;
            }
            let (first, rest) = piece.cut(len);
            if rest.is_some() {
                open.insert(sequence)
            } else {
                open.remove(&sequence)
            };
            share = share.saturating_sub(first.events());
            self.room = self.room.saturating_sub(first.events());
            self.pieces.push(first);
            match rest {
                Some(rest) if len == self.slice => behind.push(rest),
                Some(rest) => {
                    queue.push_front(rest);
                    break;
                }
                None => (),
            }
        }
        queue.extend(behind);
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
        let mut scheduler = Scheduler::new(Limits { waiting_events: 1000, ..Limits::job(pack_events) });
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
    fn a_pack_holds_no_more_pieces_than_it_may() {
        let mut scheduler = Scheduler::new(Limits { pack_pieces: 2, ..Limits::job(10) });
        for (sequence, len) in [(1, 1), (2, 0), (3, 12), (4, 1), (5, 1)] {
            scheduler.push(chunk(0, sequence, len)).expect("fits");
        }
        let mut next = || scheduler.pack().iter().map(|c| (c.sequence.0, c.events.len())).collect::<Vec<_>>();
        assert_eq!(next(), [(1, 1), (2, 0)]);
        assert_eq!(next(), [(3, 10)]);
        assert_eq!(next(), [(3, 2), (4, 1)]);
        assert_eq!(next(), [(5, 1)]);
        assert!(scheduler.is_empty());
    }

    #[test]
    fn long_chunks_keep_no_short_ones_waiting() {
        let mut scheduler = Scheduler::new(Limits { slice_events: 2, ..Limits::job(8) });
        for (sequence, len) in [(1, 20), (2, 1), (3, 1), (4, 1), (5, 5), (6, 1)] {
            scheduler.push(chunk(0, sequence, len)).expect("fits");
        }
        let mut next = || scheduler.pack().iter().map(|c| (c.sequence.0, c.events.len())).collect::<Vec<_>>();
        assert_eq!(next(), [(1, 2), (2, 1), (3, 1), (4, 1), (5, 2), (6, 1)]);
        // Two are left: each gets half a pack.
        assert_eq!(next(), [(1, 4), (5, 3)]);
        assert_eq!(next(), [(1, 8)]);
    }

    #[test]
    fn few_sequences_are_open_at_a_time() {
        let mut scheduler = Scheduler::new(Limits { slice_events: 2, open_sequences: 2, ..Limits::job(6) });
        for (sequence, len) in [(1, 5), (2, 3), (3, 4), (4, 4), (5, 1)] {
            scheduler.push(chunk(0, sequence, len)).expect("fits");
        }
        let mut seen = vec![];
        while !scheduler.is_empty() {
            assert!(scheduler.open.len() <= 2);
            seen.push(scheduler.pack().iter().map(|c| (c.sequence.0, c.events.len())).collect::<Vec<_>>());
        }
        assert_eq!(seen[0], [(1, 2), (2, 2), (5, 1)], "{seen:?}");
        let total: usize = seen.iter().flatten().map(|(_, len)| len).sum();
        assert_eq!((total, scheduler.open.len()), (17, 0), "{seen:?}");
    }

    #[test]
    fn what_is_taken_out_of_the_queue_makes_room() {
        let mut scheduler = Scheduler::new(Limits { waiting_events: 5, ..Limits::job(4) });
        for (owner, sequence, len) in [(0, 1, 2), (0, 2, 2), (1, 3, 1)] {
            scheduler.push(chunk(owner, sequence, len)).expect("fits");
        }
        scheduler.retain(|chunk| chunk.sequence.0 == 2);
        scheduler.push(chunk(1, 4, 3)).expect("room again");
        assert_eq!(scheduler.pack().iter().map(|c| c.sequence.0).collect::<Vec<_>>(), [2, 4]);
        assert_eq!((scheduler.pack().len(), scheduler.is_empty()), (1, true));
    }

    #[test]
    fn the_queue_is_bounded() {
        let mut scheduler = Scheduler::new(Limits { waiting_events: 5, ..Limits::job(4) });
        scheduler.push(chunk(0, 1, 9)).expect("an empty queue takes a long chunk");
        let Full(back) = scheduler.push(chunk(0, 2, 1)).expect_err("full");
        assert_eq!((back.sequence, back.events.len()), (Sequence(2), 1));
        let _ = (scheduler.pack(), scheduler.pack());
        scheduler.push(back).expect("room again");
    }

    #[test]
    fn events_keep_their_order() {
        let letters: Vec<u8> = (0..100).collect();
        let mut scheduler = Scheduler::new(Limits::job(7));
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
