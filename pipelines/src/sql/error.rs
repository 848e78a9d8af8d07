//! Why a query cannot be answered.

use datafusion::error::DataFusionError;

/// Before what a function said of its arguments.
const COERCION: &str = "coercion failed with: Error during planning: ";

/// Why a query cannot be answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The query is not understood, or asks for what is not there: the line says where and what.
    #[error("{0}")]
    Query(String),
    /// Memory or disk did not suffice.
    #[error("the query needs more memory than it may take ({0}): raise --memory-mib")]
    Memory(String),
    /// The data could not be read while the query ran.
    #[error("{0}")]
    Run(String),
    /// Reading, computing or writing failed.
    #[error(transparent)]
    Job(#[from] crate::Error),
}

/// The result of a query's work.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        if let DataFusionError::ResourcesExhausted(problem) = error.find_root() {
            return Self::Memory(first_line(problem));
        }
        match error {
            DataFusionError::External(error) => match error.downcast::<crate::Error>() {
                Ok(error) => Self::Job(*error),
                Err(error) => Self::Run(one_line(&error.to_string())),
            },
            DataFusionError::Context(_, error) | DataFusionError::Diagnostic(_, error) => (*error).into(),
            DataFusionError::Shared(error) => Self::Run(one_line(&error.to_string())),
            DataFusionError::Collection(mut errors) if !errors.is_empty() => errors.swap_remove(0).into(),
            DataFusionError::SQL(error, _) => {
                Self::Query(one_line(&error.to_string().replacen("sql parser error: ", "the query: ", 1)))
            }
            error @ (DataFusionError::SchemaError(..) | DataFusionError::NotImplemented(_)) => {
                Self::Query(one_line(&error.strip_backtrace()))
            }
            DataFusionError::Plan(problem) => Self::Query(own(&problem)),
            error => {
                let text = error.strip_backtrace();
                if text.contains(COERCION) { Self::Query(own(&text)) } else { Self::Run(one_line(&text)) }
            }
        }
    }
}

/// An error of ours on its way through DataFusion.
pub(super) fn wrapped(error: impl Into<crate::Error>) -> DataFusionError {
    DataFusionError::External(Box::new(error.into()))
}

/// What a function of ours said of its arguments, without what DataFusion says before it.
fn own(text: &str) -> String {
    one_line(text.rsplit_once(COERCION).map_or(text, |(_, own)| own))
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim_end_matches(':').to_owned()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
