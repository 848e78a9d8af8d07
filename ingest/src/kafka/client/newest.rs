//! The newest messages of a topic, looked at and left where they are.

use std::time::Instant;

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    message::OwnedMessage,
};

use super::{ASK, Connection, Error, Result};

/// The last committed messages of each partition, at most `most` of one, read as the group's members would, without being one.
///
/// # Errors
/// When the cluster cannot be asked, or this user may not read the topic or ask for the group.
pub fn newest(
    connection: &Connection,
    (topic, partitions): (&str, i32),
    (group, most): (&str, i64),
) -> Result<Vec<OwnedMessage>> {
    let given = [
        ("group.id", group),
        ("enable.auto.commit", "false"),
        ("enable.partition.eof", "true"),
        ("isolation.level", "read_committed"),
        ("auto.offset.reset", "earliest"),
        ("fetch.wait.max.ms", "20"),
    ];
    let failed = |error| connection.failed(error);
    let client: BaseConsumer = connection.config(&given).create().map_err(failed)?;
    let (mut list, mut asked) = (TopicPartitionList::new(), TopicPartitionList::new());
    for partition in 0..partitions {
        let (low, high) = client.fetch_watermarks(topic, partition, ASK).map_err(failed)?;
        list.add_partition_offset(topic, partition, Offset::Offset((high - most).max(low)))?;
        asked.add_partition(topic, partition);
    }
    for one in client.committed_offsets(asked, ASK).map_err(failed)?.elements() {
        one.error().map_err(failed)?;
    }
    client.assign(&list)?;
    let (mut messages, mut ended, until) = (vec![], 0, Instant::now() + ASK);
    while ended < partitions {
        match client.poll(until.saturating_duration_since(Instant::now())) {
            Some(Ok(message)) => messages.push(message.detach()),
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Err(error)) => return Err(failed(error)),
            None => {
                let problem = format!("its end was not reached in {} s", ASK.as_secs());
                return Err(Error::Topic { topic: topic.to_owned(), problem });
            }
        }
    }
    Ok(messages)
}
