//! Why the demonstration ends early.

use std::path::PathBuf;

/// Why the demonstration ends early: one line for the user each.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    /// The folder holds something already.
    #[error("{} is not empty: name a folder that is new, or leave --output out", .0.display())]
    NotEmpty(PathBuf),
    /// The example in the binary is not as it should be.
    #[error("the example's data: {0}")]
    Example(String),
    /// A process has ended before its time.
    #[error("{what} has ended ({status}): {said}; its log is {}", log.display())]
    Ended {
        /// Which one.
        what: &'static str,
        /// How.
        status: std::process::ExitStatus,
        /// Its last line.
        said: String,
        /// Where the rest stands.
        log: PathBuf,
    },
    /// The server did not come up.
    #[error("the server did not come up; its log is {}", .0.display())]
    NoServer(PathBuf),
    /// Nothing comes any more.
    #[error("nothing has come for {seconds} s: {stands}; the logs are in {}", logs.display())]
    Stalled {
        /// For so long.
        seconds: u64,
        /// What there is.
        stands: String,
        /// Where to look.
        logs: PathBuf,
    },
    /// What was given is not what must be.
    #[error("the demonstration has failed: {0}")]
    Differs(String),
    /// An output is not in the form that it should have.
    #[error("the output of {from} is not understood: {problem}")]
    Output {
        /// Whose.
        from: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A thread of the demonstration has ended early.
    #[error("{0}")]
    Player(String),
    /// The user has had enough.
    #[error("interrupted: what there is so far lies in {}", .0.display())]
    Interrupted(PathBuf),
}

/// The result of a step.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;
