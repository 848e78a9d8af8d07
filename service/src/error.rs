//! Why a command ends early, and with which exit code.

use std::path::PathBuf;

use unspool_pipelines::train::{DataError, TrainError};

/// Why a command ends early: one line for the user each.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Wrong use: the line says what to type instead.
    #[error("{0}")]
    Usage(String),
    /// Asked to stop.
    #[error("interrupted: no output file was made")]
    Interrupted,
    /// A job that goes on where it was asked to stop.
    #[error("interrupted: start it again to go on")]
    Paused,
    /// Who read standard output has gone.
    #[error("the output was closed")]
    OutputClosed,
    /// A mistake of this program.
    #[error("a fault in unspool itself: run again with UNSPOOL_LOG=debug and report what it says")]
    Fault,
    /// Cases of a measurement failed, each with its reason in its row.
    #[error("{failed} of {cases} cases were not run")]
    NotMeasured {
        /// How many failed.
        failed: usize,
        /// Of how many.
        cases: usize,
    },
    /// The job failed.
    #[error(transparent)]
    Job(#[from] unspool_pipelines::Error),
    /// The evaluation failed.
    #[error(transparent)]
    Eval(#[from] unspool_pipelines::eval::Error),
    /// The stream job failed.
    #[error(transparent)]
    Stream(#[from] unspool_pipelines::stream::Error),
    /// The batch job failed.
    #[error(transparent)]
    Batch(#[from] unspool_pipelines::batch::Error),
    /// The demonstration failed.
    #[error(transparent)]
    Demo(#[from] crate::demo::error::Error),
    /// The cluster failed.
    #[cfg(feature = "cluster")]
    #[error(transparent)]
    Cluster(#[from] unspool_pipelines::cluster::Error),
    /// The query failed.
    #[cfg(feature = "sql")]
    #[error(transparent)]
    Sql(#[from] unspool_pipelines::sql::Error),
    /// Training cannot begin or go on.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The input cannot be read.
    #[error(transparent)]
    Ingest(#[from] unspool_ingest::Error),
    /// The model cannot be loaded or made.
    #[error(transparent)]
    Model(#[from] unspool_model::Error),
    /// A server refused a call.
    #[error("{method}: {}", status.message())]
    Call {
        /// The call's method.
        method: &'static str,
        /// The refusal.
        status: Box<tonic::Status>,
    },
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file, or what else it was about.
        path: PathBuf,
        /// The refusal.
        source: std::io::Error,
    },
}

impl Error {
    /// A server refused this.
    pub(crate) fn call(method: &'static str) -> impl Fn(tonic::Status) -> Self {
        move |status| Self::Call { method, status: Box::new(status) }
    }

    /// 2: wrong use; 130: interrupted, as shells say it; 1: data or environment.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_)
            | Self::Demo(crate::demo::error::Error::NotEmpty(_))
            | Self::Stream(unspool_pipelines::stream::Error::Settings(_))
            | Self::Batch(unspool_pipelines::batch::Error::Settings(_))
            | Self::Train(TrainError::Option { .. } | TrainError::Windows(DataError::Option { .. })) => 2,
            #[cfg(feature = "cluster")]
            Self::Cluster(unspool_pipelines::cluster::Error::Settings(_))
            | Self::Batch(unspool_pipelines::batch::Error::Cluster(unspool_pipelines::cluster::Error::Settings(_))) => {
                2
            }
            #[cfg(feature = "cluster")]
            Self::Cluster(unspool_pipelines::cluster::Error::Cancelled) => 130,
            #[cfg(feature = "sql")]
            Self::Sql(unspool_pipelines::sql::Error::Query(_)) => 2,
            Self::Interrupted
            | Self::Paused
            | Self::Demo(crate::demo::error::Error::Interrupted(_))
            | Self::Job(unspool_pipelines::Error::Cancelled) => 130,
            _ => 1,
        }
    }
}

/// The result of a command.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;
