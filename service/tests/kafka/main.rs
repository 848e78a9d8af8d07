//! `unspool stream` on Apache Kafka. `KAFKA_SECURE=1 .ci/kafka.sh start DIR [PORT]` starts a broker; then
//! `UNSPOOL_TEST_KAFKA=DIR cargo test -p unspool --test kafka -- --ignored --test-threads 1`.

// The attributes tell clippy that helpers are tests too, where unwrap is allowed.
#[cfg(test)]
mod broker;
#[cfg(test)]
mod chaos;
#[cfg(test)]
#[path = "../it/command.rs"]
#[expect(dead_code, reason = "shared with the other tests of the binary")]
mod command;
#[cfg(test)]
mod drill;
#[cfg(test)]
mod environment;
#[cfg(test)]
mod files;
#[cfg(test)]
mod headline;
#[cfg(test)]
mod job;
#[cfg(test)]
mod modes;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
#[path = "../it/server.rs"]
#[expect(dead_code, reason = "shared with the other tests of the binary")]
mod server;
#[cfg(test)]
mod suite;
#[cfg(test)]
mod worker;
