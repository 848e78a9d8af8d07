//! The readers on files: their contract, real data, conformance corpora, damage.

mod reads;
mod samples;
