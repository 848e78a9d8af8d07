//! Tests on a GPU. Where there is no card, a line says so and nothing is tested.
#![cfg(feature = "cuda")]

// The attributes tell clippy that helpers are tests too, where unwrap is allowed.
#[cfg(test)]
mod dna;
#[cfg(test)]
mod series;
#[cfg(test)]
mod training;
