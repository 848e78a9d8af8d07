//! Writing records to a topic, without more ado.

use std::time::Duration;

use rdkafka::{
    error::KafkaError,
    producer::{BaseProducer, BaseRecord, Producer as _},
    types::RDKafkaErrorCode,
};

use super::{ASK, Connection, Result};

/// Writes records, each once and in order; slow brokers slow it down.
pub struct Writer {
    connection: Connection,
    client: BaseProducer,
}

impl Writer {
    /// A writer; nothing is sent yet.
    ///
    /// # Errors
    /// When a setting is refused.
    pub fn new(connection: &Connection) -> Result<Self> {
        let config =
            connection.config(&[("enable.idempotence", "true"), ("linger.ms", "5"), ("compression.type", "lz4")]);
        let client = config.create().map_err(|e| connection.failed(e))?;
        Ok(Self { connection: connection.clone(), client })
    }

    /// Hands a record, key and payload, to the client.
    ///
    /// # Errors
    /// When the client refuses it.
    pub fn write(&self, topic: &str, partition: i32, (key, payload): (&str, &str)) -> Result<()> {
        let mut record = BaseRecord::to(topic).partition(partition).key(key).payload(payload);
        loop {
            match self.client.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => {
                    self.client.poll(Duration::from_millis(10));
                    record = again;
                }
                Err((error, _)) => return Err(self.connection.failed(error)),
            }
        }
    }

    /// Waits until the broker has all.
    ///
    /// # Errors
    /// When that takes too long.
    pub fn flush(&self) -> Result<()> {
        self.client.flush(ASK).map_err(|e| self.connection.failed(e))
    }
}
