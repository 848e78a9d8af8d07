//! What a cluster says of its topics, and making one.

use std::time::{Duration, Instant};

use futures::executor::block_on;
use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication},
    client::DefaultClientContext,
    types::RDKafkaErrorCode,
};

use super::{ASK, Connection, Error, Result};

/// Times that a topic's settings are asked for.
const ATTEMPTS: u32 = 4;

/// What is known of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicFacts {
    /// Partitions.
    pub partitions: i32,
    /// `cleanup.policy`; `None` where the broker does not say.
    pub cleanup: Option<String>,
    /// `retention.ms`; `None` where the broker does not say.
    pub retention_ms: Option<i64>,
}

/// Asks the cluster, and makes topics.
pub struct Admin {
    connection: Connection,
    client: AdminClient<DefaultClientContext>,
}

impl Admin {
    /// A client; nothing is asked yet.
    ///
    /// # Errors
    /// When a setting is refused.
    pub fn new(connection: &Connection) -> Result<Self> {
        let client = connection.config(&[]).create().map_err(|e| connection.failed(e))?;
        Ok(Self { connection: connection.clone(), client })
    }

    /// What is known of a topic.
    ///
    /// # Errors
    /// [`Error::NoTopic`], or the cluster cannot be asked.
    pub fn topic(&self, name: &str) -> Result<TopicFacts> {
        let partitions = self.partitions(name)?;
        let (resource, options) = (ResourceSpecifier::Topic(name), options());
        let ask = || {
            let asked = self.client.describe_configs([&resource], &options);
            block_on(asked).ok().and_then(|mut answers| answers.pop()).and_then(Result::ok)
        };
        // Not every broker answers this, nor may everyone ask; one that has just made the topic may need a moment.
        let config = (0..ATTEMPTS).find_map(|attempt| {
            std::thread::sleep(Duration::from_millis(200) * attempt);
            ask()
        });
        let entry =
            |key: &str| config.as_ref().and_then(|config| config.get(key)).and_then(|entry| entry.value.clone());
        let retention_ms = entry("retention.ms").and_then(|value| value.parse().ok());
        Ok(TopicFacts { partitions, cleanup: entry("cleanup.policy"), retention_ms })
    }

    /// Makes a topic, if there is none of that name, and waits until it is known.
    ///
    /// # Errors
    /// When the cluster refuses.
    pub fn create(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) -> Result<()> {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(-1));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let made = block_on(self.client.create_topics([&topic], &options())).map_err(|e| self.connection.failed(e))?;
        match made.into_iter().next() {
            None | Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => self.known(name),
            Some(Err((topic, code))) => Err(Error::Topic { topic, problem: format!("it cannot be made: {code}") }),
        }
    }

    /// Waits until the brokers know a topic that was just made.
    fn known(&self, name: &str) -> Result<()> {
        let until = Instant::now() + ASK;
        while let Err(error @ Error::NoTopic(_)) = self.partitions(name) {
            if Instant::now() > until {
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// The number of a topic's partitions.
    fn partitions(&self, name: &str) -> Result<i32> {
        // All topics: asking for one by name would make it, where the broker does so.
        let metadata = self.client.inner().fetch_metadata(None, ASK);
        let metadata = metadata.map_err(|e| self.connection.diagnosed(e))?;
        let topic = metadata.topics().iter().find(|topic| topic.name() == name);
        let topic = topic.filter(|topic| !topic.partitions().is_empty() && topic.error().is_none());
        let topic = topic.ok_or_else(|| Error::NoTopic(name.to_owned()))?;
        Ok(i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX))
    }

    /// Offsets of a partition: the first one kept, and the next one.
    ///
    /// # Errors
    /// When the cluster cannot be asked.
    pub fn watermarks(&self, topic: &str, partition: i32) -> Result<(i64, i64)> {
        self.client.inner().fetch_watermarks(topic, partition, ASK).map_err(|e| self.connection.failed(e))
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(ASK)).operation_timeout(Some(ASK))
}
