//! Limits of a store.

/// What a store may hold, and where. Every limit is a promise: at it the answer is [`super::Error::Full`], or the call waits
/// for the disk; nothing is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// Bytes of states ready for the model. The least recently used ones beyond it move down.
    pub live_bytes: u64,
    /// Bytes of states kept as bytes in memory, below the live ones. Worth having where live states are in a device's memory;
    /// on a CPU a byte here serves as well as one of `live_bytes`. 0: none.
    pub memory_bytes: u64,
    /// Bytes of the states of all sessions, wherever they are. A session counts from its opening, as its state's size is
    /// fixed. Without a folder `live_bytes + memory_bytes` is a limit too.
    pub state_bytes: u64,
    /// Sessions, at most.
    pub sessions: u64,
    /// Sessions of one owner, at most.
    pub sessions_per_owner: u64,
    /// Bytes of a session's raw events that are kept for a move to another model; the oldest beyond it are dropped. 0: none.
    pub history_bytes: u64,
    /// Bytes of the log, about: beyond it states are saved until its oldest files can go, and appends wait for that.
    pub log_bytes: u64,
    /// Events that a restart has to run through the models again, about: beyond it the states that most of them belong to are saved. A
    /// state is saved for no fewer events than it has KiB, so that small appends to many sessions do not write all states over and over.
    pub replay_events: u64,
    /// Bytes of one file of the log, about.
    pub segment_bytes: u64,
    /// Bytes of one append's events, at most.
    pub append_bytes: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            live_bytes: 1 << 30,
            memory_bytes: 0,
            state_bytes: 64 << 30,
            sessions: 10_000_000,
            sessions_per_owner: 1_000_000,
            history_bytes: 0,
            log_bytes: 1 << 30,
            replay_events: 1 << 16,
            segment_bytes: 64 << 20,
            append_bytes: 256 << 20,
        }
    }
}
