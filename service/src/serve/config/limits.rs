//! What a server takes on: every limit can be set, and at each the answer is a refusal.

use std::time::Duration;

use unspool_pipelines::{engine::EngineOptions, store::StoreOptions};

use super::file::LimitsFile;
use crate::error::{Error, Result};

/// All limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes of a message, in and out.
    pub(crate) message_bytes: usize,
    /// Events of a request.
    pub(crate) request_events: usize,
    /// Sequences of a request, or appends of a stream's message.
    pub(crate) request_sequences: usize,
    /// Values of a forecast.
    pub(crate) horizon: u32,
    /// Messages of a stream that are worked on at a time.
    pub(crate) stream_messages: usize,
    /// The longest time to live that a session may ask for.
    pub(crate) session_ttl: Duration,
    /// That of one that asks for none.
    pub(crate) default_session_ttl: Duration,
    /// Sessions of all tenants.
    pub(crate) sessions: u64,
    /// Bytes of states in memory; beyond it they lie on disk.
    pub(crate) session_memory_bytes: u64,
    /// Bytes of all sessions' states, wherever they lie.
    pub(crate) session_state_bytes: u64,
    /// Bytes of the log of appends, about; beyond it states are saved so that its oldest files can go.
    pub(crate) session_log_bytes: u64,
    /// Events that a restart runs again, about.
    pub(crate) session_replay_events: u64,
    /// Bytes of a session's raw events that are kept for a move to another model; 0: none.
    pub(crate) session_history_bytes: u64,
    /// Bytes of a GPU's memory for a model's states; `None`: as the model sees fit.
    pub(crate) gpu_state_bytes: Option<u64>,
    /// Tokens that go through a model at once; `None`: as many as suit its device.
    pub(crate) batch_tokens: Option<usize>,
    /// Tokens that may wait.
    pub(crate) waiting_tokens: usize,
    /// Sequences that may wait.
    pub(crate) waiting_tasks: usize,
    /// The share of these for one tenant, in percent.
    pub(crate) tenant_percent: usize,
    /// Connections at once.
    pub(crate) connections: usize,
    /// Calls of one connection at once.
    pub(crate) connection_calls: u32,
    /// Models loaded at once.
    pub(crate) models: usize,
    /// How long a stop waits for calls to end.
    pub(crate) drain: Duration,
}

impl Limits {
    /// The defaults, with what the file says instead.
    ///
    /// # Errors
    /// When a limit is 0 or they do not go together.
    pub(crate) fn new(file: &LimitsFile, tenants: usize) -> Result<Self> {
        const DAY_S: u64 = 86_400;
        let limits = Self {
            message_bytes: file.message_bytes.unwrap_or(64 << 20),
            request_events: file.request_events.unwrap_or(1 << 20),
            request_sequences: file.request_sequences.unwrap_or(4096),
            horizon: file.horizon.unwrap_or(4096),
            stream_messages: file.stream_messages.unwrap_or(8),
            session_ttl: Duration::from_secs(file.session_ttl_s.unwrap_or(365 * DAY_S)),
            default_session_ttl: Duration::from_secs(file.default_session_ttl_s.unwrap_or(7 * DAY_S)),
            sessions: file.sessions.unwrap_or(1_000_000),
            session_memory_bytes: file.session_memory_bytes.unwrap_or(1 << 30),
            session_state_bytes: file.session_state_bytes.unwrap_or(64 << 30),
            session_log_bytes: file.session_log_bytes.unwrap_or(1 << 30),
            session_replay_events: file.session_replay_events.unwrap_or(1 << 16),
            session_history_bytes: file.session_history_bytes.unwrap_or(0),
            gpu_state_bytes: file.gpu_state_bytes,
            batch_tokens: file.batch_tokens,
            waiting_tokens: file.waiting_tokens.unwrap_or(1 << 20),
            waiting_tasks: file.waiting_tasks.unwrap_or(1 << 16),
            // One of several may not take all the room there is.
            tenant_percent: file.tenant_percent.unwrap_or(if tenants > 1 { 50 } else { 100 }),
            connections: file.connections.unwrap_or(1024),
            connection_calls: file.connection_calls.unwrap_or(256),
            models: file.models.unwrap_or(16),
            drain: Duration::from_secs(file.drain_s.unwrap_or(25)),
        };
        limits.check()?;
        Ok(limits)
    }

    fn check(&self) -> Result<()> {
        let positive = [
            ("message_bytes", self.message_bytes),
            ("request_events", self.request_events),
            ("request_sequences", self.request_sequences),
            ("horizon", self.horizon as usize),
            ("stream_messages", self.stream_messages),
            ("batch_tokens", self.batch_tokens.unwrap_or(1)),
            ("waiting_tokens", self.waiting_tokens),
            ("waiting_tasks", self.waiting_tasks),
            ("connections", self.connections),
            ("connection_calls", self.connection_calls as usize),
            ("models", self.models),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(Error::Usage(format!("limits.{name}: 1 or more is needed")));
        }
        if !(1..=100).contains(&self.tenant_percent) {
            return Err(Error::Usage("limits.tenant_percent: 1 to 100 is needed".into()));
        }
        if self.gpu_state_bytes == Some(0) {
            return Err(Error::Usage("limits.gpu_state_bytes: 1 or more is needed".into()));
        }
        if self.default_session_ttl > self.session_ttl {
            return Err(Error::Usage("limits.default_session_ttl_s is more than limits.session_ttl_s".into()));
        }
        Ok(())
    }

    /// The engine's part.
    pub(crate) fn engine(&self) -> EngineOptions {
        let default = EngineOptions::default();
        EngineOptions {
            pack_tokens: self.batch_tokens.unwrap_or(default.pack_tokens),
            gpu_pack_tokens: self.batch_tokens.unwrap_or(default.gpu_pack_tokens),
            waiting_tokens: self.waiting_tokens,
            waiting_tasks: self.waiting_tasks,
            owner_percent: self.tenant_percent,
            ..default
        }
    }

    /// The store's part.
    pub(crate) fn store(&self) -> StoreOptions {
        let log_bytes = self.session_log_bytes;
        StoreOptions {
            live_bytes: self.session_memory_bytes,
            state_bytes: self.session_state_bytes,
            log_bytes,
            replay_events: self.session_replay_events,
            // So many files that one of them can always go.
            segment_bytes: (log_bytes / 16).min(64 << 20),
            sessions: self.sessions,
            history_bytes: self.session_history_bytes,
            ..StoreOptions::default()
        }
    }
}
