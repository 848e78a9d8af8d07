//! Why a call is refused, and the one place where that becomes a gRPC status.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use unspool_pipelines::{engine, store};
use unspool_proto::v1;

use super::{figures, rate::TooFast};

/// Why a call is refused.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The request cannot be understood or used, whenever it comes.
    #[error("{field}: {problem}")]
    Invalid {
        /// The field of the request.
        field: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// A limit of one request.
    #[error("{what}: {found}, the limit is {limit} ({setting})")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much.
        found: usize,
        /// The limit.
        limit: usize,
        /// The setting's name.
        setting: &'static str,
    },
    /// The tenant has as many sessions as it may.
    #[error(
        "this tenant has {found} sessions, the limit is {limit} (tenants.sessions): close some, or let them expire"
    )]
    TooMany {
        /// How many it has.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// No such model.
    #[error("there is no model '{0}' here: ModelService.ListModels lists those that are loaded")]
    UnknownModel(String),
    /// Nothing of the kind is loaded.
    #[error("no model for {0} is loaded: start the server with --model, or name one")]
    NoDefault(&'static str),
    /// The tenant calls too often.
    #[error("too many {what} a second for this tenant")]
    TooFast {
        /// Requests or events.
        what: &'static str,
        /// When to come again.
        retry_after: Duration,
    },
    /// The server does not do that.
    #[error("{0}")]
    Refused(String),
    /// The tenant may not do that.
    #[error("this tenant may not {0}")]
    Denied(&'static str),
    /// The engine refused.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The model refused.
    #[error("{0}")]
    Model(String),
    /// A fault of this program.
    #[error("a fault in the server: {0}")]
    Fault(String),
}

/// The result of a call.
pub(crate) type CallResult<T> = Result<T, CallError>;

impl CallError {
    /// A field of the request is wrong.
    pub(crate) fn invalid(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Invalid { field, problem: problem.into() }
    }

    /// Refuses more than a limit.
    pub(crate) fn limit(what: &'static str, found: usize, (limit, setting): (usize, &'static str)) -> CallResult<()> {
        if found > limit { Err(Self::TooLarge { what, found, limit, setting }) } else { Ok(()) }
    }

    /// Too many of these a second.
    pub(crate) fn too_fast(what: &'static str) -> impl Fn(TooFast) -> Self {
        move |TooFast(retry_after)| Self::TooFast { what, retry_after }
    }

    /// The sequence number that a session expects, where another was given.
    fn expected(&self) -> Option<u64> {
        match self {
            Self::Store(error) | Self::Engine(engine::Error::Store(error)) => match error {
                store::Error::Gap { expected, .. } => Some(*expected),
                store::Error::Old { last, .. } => Some(last + 1),
                _ => None,
            },
            _ => None,
        }
    }

    /// The disk refused, or what it gave is damaged.
    fn is_of_the_disk(&self) -> bool {
        use store::Error as S;
        let (Self::Store(error) | Self::Engine(engine::Error::Store(error))) = self else { return false };
        matches!(error, S::Io { .. } | S::Log { .. } | S::Damaged { .. } | S::Lost(_))
    }

    /// The status code, and when to come again; counts what operators have to know of.
    fn code(&self) -> (Code, Option<Duration>) {
        use engine::Error as E;
        use store::Error as S;
        /// Advice where room depends on others.
        const SOON: Duration = Duration::from_secs(1);
        if self.is_of_the_disk() {
            figures::store_failed();
        }
        match self {
            Self::Invalid { .. } | Self::Model(_) | Self::Engine(E::Model(_)) => (Code::InvalidArgument, None),
            Self::TooMany { .. } => (Code::ResourceExhausted, Some(SOON)),
            Self::TooLarge { .. } | Self::Engine(E::TooLarge { .. }) => (Code::ResourceExhausted, None),
            Self::TooFast { retry_after, .. } | Self::Engine(E::Full { retry_after, .. }) => {
                (Code::ResourceExhausted, Some(*retry_after))
            }
            Self::UnknownModel(_) | Self::NoDefault(_) => (Code::NotFound, None),
            Self::Refused(_) => (Code::FailedPrecondition, None),
            Self::Denied(_) => (Code::PermissionDenied, None),
            Self::Engine(E::Expired) => (Code::DeadlineExceeded, None),
            Self::Engine(E::Closing) | Self::Store(S::Closing) => (Code::Unavailable, Some(SOON)),
            Self::Store(error) | Self::Engine(E::Store(error)) => match error {
                S::Unknown(_) => (Code::NotFound, None),
                S::Exists(_) => (Code::AlreadyExists, None),
                S::Gap { .. } | S::Old { .. } | S::UnknownModel(_) | S::History { .. } | S::MemoryOnly => {
                    (Code::FailedPrecondition, None)
                }
                S::Model(_) | S::Snapshot(_) | S::Part { .. } | S::Twice(_) => (Code::InvalidArgument, None),
                S::Full { .. } => (Code::ResourceExhausted, Some(SOON)),
                S::Io { .. } | S::Log { .. } => (Code::Unavailable, Some(SOON)),
                S::Damaged { .. } | S::Lost(_) => (Code::DataLoss, None),
                _ => (Code::Internal, None),
            },
            Self::Fault(_) | Self::Engine(_) => (Code::Internal, None),
        }
    }
}

impl From<CallError> for Status {
    fn from(error: CallError) -> Self {
        let (code, retry_after) = error.code();
        let mut details = ErrorDetails::new();
        if let Some(wait) = retry_after {
            details.set_retry_info(Some(wait));
        }
        if let Some(expected) = error.expected() {
            details.set_error_info("SEQUENCE_NUMBER", "unspool.v1", [("expected".to_owned(), expected.to_string())]);
        }
        if let CallError::Invalid { field, problem } = &error {
            details.add_bad_request_violation(*field, problem);
        }
        Self::with_error_details(code, error.to_string(), details)
    }
}

impl From<CallError> for v1::Failure {
    fn from(error: CallError) -> Self {
        let (code, retry_after) = error.code();
        let retry_after_ms = retry_after.map_or(0, |wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1));
        let expected_sequence_number = error.expected().unwrap_or(0);
        Self { code: code as u32, message: error.to_string(), retry_after_ms, expected_sequence_number }
    }
}

impl From<unspool_model::Error> for CallError {
    fn from(error: unspool_model::Error) -> Self {
        Self::Model(error.to_string())
    }
}
