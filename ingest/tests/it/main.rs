//! The readers on files: their contract, real data, conformance corpora, damage.

// The attributes tell clippy that helpers are tests too, where unwrap is allowed.
#[cfg(test)]
mod any_bytes;
#[cfg(test)]
mod features;
#[cfg(test)]
mod format;
#[cfg(test)]
mod reads;
#[cfg(test)]
mod remote;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod tables;
#[cfg(test)]
mod variants;
