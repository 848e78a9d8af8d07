//! How hidden rows become embeddings.

use std::{fmt, num::NonZeroU64, str::FromStr};

/// Which rows of a sequence make one embedding, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// The mean of a record's rows.
    Mean,
    /// A record's last row: a causal model has seen all of it there.
    Last,
    /// The greatest value of each column.
    Max,
    /// Every row by itself.
    Token,
    /// The mean of every N consecutive rows; a record's last window may be shorter.
    Window(NonZeroU64),
}

/// A text that names no [`Pooling`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected mean, last, max, token or window:N with N of 1 or more")]
pub struct ParsePoolingError;

impl FromStr for Pooling {
    type Err = ParsePoolingError;

    fn from_str(text: &str) -> Result<Self, ParsePoolingError> {
        match text {
            "mean" => Ok(Self::Mean),
            "last" => Ok(Self::Last),
            "max" => Ok(Self::Max),
            "token" => Ok(Self::Token),
            _ => {
                let len = text.strip_prefix("window:").and_then(|len| len.parse().ok());
                len.map(Self::Window).ok_or(ParsePoolingError)
            }
        }
    }
}

impl fmt::Display for Pooling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mean => f.write_str("mean"),
            Self::Last => f.write_str("last"),
            Self::Max => f.write_str("max"),
            Self::Token => f.write_str("token"),
            Self::Window(len) => write!(f, "window:{len}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in ["mean", "last", "max", "token", "window:1", "window:4096"] {
            assert_eq!(name.parse::<Pooling>().map(|pooling| pooling.to_string()), Ok(name.to_owned()));
        }
        for name in ["", "Mean", "window", "window:", "window:0", "window:-1", "window:1.5", "median"] {
            assert_eq!(name.parse::<Pooling>(), Err(ParsePoolingError), "{name}");
        }
    }
}
