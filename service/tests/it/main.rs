//! The binary from outside: what it prints, writes and returns.

// The attributes tell clippy that helpers are tests too, where unwrap is allowed.
#[cfg(test)]
mod backup;
#[cfg(test)]
mod bases;
#[cfg(test)]
mod batch;
#[cfg(test)]
mod bench;
#[cfg(test)]
mod chaos;
#[cfg(test)]
#[cfg(feature = "cluster")]
mod cluster;
#[cfg(test)]
mod command;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod device;
#[cfg(test)]
mod embed;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod eval;
#[cfg(test)]
mod flow;
#[cfg(test)]
mod forecast;
#[cfg(test)]
mod guides;
#[cfg(test)]
mod hand_over;
#[cfg(test)]
mod help;
#[cfg(test)]
mod listening;
#[cfg(test)]
mod manual;
#[cfg(test)]
mod models;
#[cfg(test)]
mod overload;
#[cfg(test)]
mod score;
#[cfg(test)]
mod server;
#[cfg(test)]
mod signals;
#[cfg(test)]
mod soak;
#[cfg(test)]
#[cfg(feature = "sql")]
mod sql;
#[cfg(test)]
mod stream;
#[cfg(test)]
mod train;
#[cfg(test)]
mod units;
#[cfg(test)]
mod windows;
#[cfg(test)]
mod wrong_model;
