//! Reading a small partition from its first record to its last committed one.

use std::time::Instant;

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    message::Message,
};

use super::{ASK, Connection, Error, Result};

/// Payloads of all committed records of a partition.
///
/// # Errors
/// When the cluster cannot be asked, or does not come to an end in time.
pub fn read_all(connection: &Connection, topic: &str, partition: i32) -> Result<Vec<Vec<u8>>> {
    let given = [
        ("group.id", "unspool-reads-alone"),
        ("enable.auto.commit", "false"),
        ("enable.partition.eof", "true"),
        ("isolation.level", "read_committed"),
        ("auto.offset.reset", "earliest"),
        ("fetch.wait.max.ms", "20"),
    ];
    let client: BaseConsumer = connection.config(&given).create().map_err(|e| connection.failed(e))?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Beginning)?;
    client.assign(&list)?;
    let (mut payloads, until) = (vec![], Instant::now() + ASK);
    loop {
        match client.poll(until.saturating_duration_since(Instant::now())) {
            Some(Ok(message)) => payloads.extend(message.payload().map(<[u8]>::to_vec)),
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(payloads),
            // A broker that is restarting answers in a moment.
            Some(Err(error)) if Instant::now() < until => tracing::debug!(%error, topic, "reading again"),
            Some(Err(error)) => return Err(connection.failed(error)),
            None => {
                let problem = format!("partition {partition} did not come to its end in {} s", ASK.as_secs());
                return Err(Error::Topic { topic: topic.to_owned(), problem });
            }
        }
    }
}
