//! Tests through the public interface.

// The attribute tells clippy that helpers are tests too, where unwrap is allowed.
#[cfg(test)]
mod alignment;
#[cfg(test)]
mod goldens;
#[cfg(test)]
mod series;
