//! Outputs, dead letters and offsets: in one transaction, or one after the other.

use std::time::{Duration, Instant};

use rdkafka::{
    ClientContext, Message, TopicPartitionList,
    consumer::ConsumerGroupMetadata,
    error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code},
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext},
};
use unspool_ingest::kafka::client::Connection;

/// A record to be written.
#[derive(Clone, Debug, Default)]
pub(super) struct Letter {
    pub topic: String,
    /// `None`: by the key.
    pub partition: Option<i32>,
    pub key: Option<Vec<u8>>,
    pub payload: Option<Vec<u8>>,
    pub headers: Vec<(&'static str, String)>,
}

/// What a failed commit means for the worker.
#[derive(Debug)]
pub(super) enum Failed {
    /// This producer is of no use any more; another one may be.
    Fenced(String),
    /// The transaction was given up; the same may succeed later.
    Aborted(String),
    /// It will not succeed.
    Refused(KafkaError),
}

impl From<KafkaError> for Failed {
    fn from(error: KafkaError) -> Self {
        let refused = matches!(
            error.rdkafka_error_code(),
            Some(
                Code::TopicAuthorizationFailed
                    | Code::GroupAuthorizationFailed
                    | Code::ClusterAuthorizationFailed
                    | Code::TransactionalIdAuthorizationFailed
                    | Code::MessageSizeTooLarge
                    | Code::InvalidTopic
                    | Code::InvalidTransactionTimeout
                    | Code::Authentication
                    | Code::SaslAuthenticationFailed
            )
        );
        // Not every fatal error says that it is one.
        let fenced = matches!(
            error.rdkafka_error_code(),
            Some(Code::Fenced | Code::Fatal | Code::ProducerFenced | Code::InvalidProducerEpoch)
        );
        match &error {
            _ if refused => Self::Refused(error),
            _ if fenced => Self::Fenced(error.to_string()),
            KafkaError::Transaction(e) if e.is_fatal() => Self::Fenced(error.to_string()),
            KafkaError::ClientCreation(_) | KafkaError::ClientConfig(..) => Self::Refused(error),
            _ => Self::Aborted(error.to_string()),
        }
    }
}

/// Remembers the first record that could not be delivered.
#[derive(Default)]
struct Deliveries(std::sync::Mutex<Option<KafkaError>>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = result {
            tracing::debug!(%error, topic = message.topic(), "a record was not delivered");
            let mut first = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            first.get_or_insert_with(|| error.clone());
        }
    }
}

/// The producer.
pub(super) struct Producer {
    client: BaseProducer<Deliveries>,
    /// How long one step of a transaction may take.
    timeout: Duration,
}

impl Producer {
    /// A transactional producer; what an earlier one of that name left open is ended.
    pub(super) fn transactional(connection: &Connection, id: &str, timeout: Duration) -> Result<Self, Failed> {
        let millis = timeout.as_millis().to_string();
        let given = [("transactional.id", id), ("transaction.timeout.ms", &millis[..])];
        let producer = Self::new(connection, &given, timeout)?;
        producer.until_done(|| producer.client.init_transactions(timeout))?;
        Ok(producer)
    }

    /// A producer whose records come once each, in order, but outside of transactions.
    pub(super) fn idempotent(connection: &Connection, timeout: Duration) -> Result<Self, Failed> {
        let millis = timeout.as_millis().to_string();
        Self::new(connection, &[("enable.idempotence", "true"), ("message.timeout.ms", &millis)], timeout)
    }

    fn new(connection: &Connection, given: &[(&str, &str)], timeout: Duration) -> Result<Self, Failed> {
        let mut all = vec![
            // as the Java clients do, so that a key's partition is the same everywhere
            ("partitioner", "murmur2_random"),
            ("compression.type", "lz4"),
            ("linger.ms", "2"),
            // A transaction that follows another one closely is told to ask again: not as late as after 100 ms.
            ("retry.backoff.ms", "10"),
            ("queue.buffering.max.messages", "200000"),
        ];
        all.extend(given);
        let client = connection.config(&all).create_with_context(Deliveries::default())?;
        Ok(Self { client, timeout })
    }

    /// Writes records and offsets in one transaction.
    pub(super) fn commit(
        &self,
        letters: &[Letter],
        offsets: &TopicPartitionList,
        group: &ConsumerGroupMetadata,
    ) -> Result<(), Failed> {
        self.client.begin_transaction()?;
        let done = self.fill(letters, offsets, group);
        if let Err(Failed::Aborted(_) | Failed::Refused(_)) = &done {
            // If this fails too, the broker gives the transaction up after its time, or the next producer of this name at once.
            let _ = self.until_done(|| self.client.abort_transaction(self.timeout));
        }
        done
    }

    fn fill(
        &self,
        letters: &[Letter],
        offsets: &TopicPartitionList,
        group: &ConsumerGroupMetadata,
    ) -> Result<(), Failed> {
        self.send_all(letters)?;
        self.until_done(|| self.client.send_offsets_to_transaction(offsets, group, self.timeout))?;
        self.settle();
        let committed = self.until_done(|| self.client.commit_transaction(self.timeout));
        // A transaction that cannot commit because of a record says so only here.
        committed.map_err(|failed| self.undelivered().map_or(failed, Failed::from))
    }

    /// Writes records in a transaction, and gives it up.
    pub(super) fn try_out(&self, letters: &[Letter]) -> Result<(), Failed> {
        self.client.begin_transaction()?;
        let sent = self.send_all(letters);
        self.settle();
        let given_up = self.until_done(|| self.client.abort_transaction(self.timeout));
        sent.and(self.undelivered().map_or(Ok(()), |error| Err(error.into()))).and(given_up)
    }

    /// Writes records outside of a transaction, and waits until they are safe.
    pub(super) fn deliver(&self, letters: &[Letter]) -> Result<(), Failed> {
        self.send_all(letters)?;
        self.settle();
        self.client.flush(self.timeout)?;
        self.undelivered().map_or(Ok(()), |error| Err(error.into()))
    }

    /// Waits until no record is under way, or for as long as one step may take. The client's own flush, which follows, looks
    /// but every 100 ms.
    fn settle(&self) {
        let until = Instant::now() + self.timeout;
        while self.client.in_flight_count() > 0 && Instant::now() < until {
            self.client.poll(Duration::from_millis(1));
        }
    }

    fn send_all(&self, letters: &[Letter]) -> Result<(), Failed> {
        let until = Instant::now() + self.timeout;
        for letter in letters {
            loop {
                match self.send(letter) {
                    Ok(()) => break,
                    Err(KafkaError::MessageProduction(Code::QueueFull)) if Instant::now() < until => {
                        self.client.poll(Duration::from_millis(10));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        self.client.poll(Duration::ZERO);
        Ok(())
    }

    fn send(&self, letter: &Letter) -> KafkaResult<()> {
        let headers = OwnedHeaders::new_with_capacity(letter.headers.len());
        let headers = letter
            .headers
            .iter()
            .fold(headers, |headers, (key, value)| headers.insert(Header { key, value: Some(value) }));
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&letter.topic).headers(headers);
        record.partition = letter.partition;
        record.key = letter.key.as_deref();
        record.payload = letter.payload.as_deref();
        self.client.send(record).map_err(|(error, _)| error)
    }

    fn undelivered(&self) -> Option<KafkaError> {
        let deliveries = self.client.context();
        deliveries.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
    }

    /// Repeats a step while the client says that it may be repeated, for a few times its time.
    fn until_done(&self, step: impl Fn() -> KafkaResult<()>) -> Result<(), Failed> {
        let until = Instant::now() + 3 * self.timeout;
        loop {
            match step() {
                Err(KafkaError::Transaction(error)) if error.is_retriable() && Instant::now() < until => {
                    self.client.poll(Duration::from_millis(50));
                }
                done => return Ok(done?),
            }
        }
    }
}

#[cfg(test)]
mod tests;
