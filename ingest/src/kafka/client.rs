//! The client: settings, topics, and a consumer that is told where each partition begins.

mod consumer;
mod diagnose;
mod marks;
mod newest;
mod orphans;
mod topics;
mod writer;

use std::{collections::BTreeMap, time::Duration};

use rdkafka::{ClientConfig, error::KafkaError, types::RDKafkaErrorCode};

pub use self::{
    consumer::{Assigned, Assignment, Consumer, Group, Polled, Start, Unready, record},
    marks::read_all,
    newest::newest,
    orphans::Orphans,
    topics::{Admin, TopicFacts},
    writer::Writer,
};

/// How long a question to the cluster may take.
pub const ASK: Duration = Duration::from_secs(10);

/// How to reach a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// `host:port`, several separated by commas.
    pub bootstrap: String,
    /// Settings of librdkafka, by its own names (`security.protocol`, `sasl.username`, ...): the last word.
    pub settings: BTreeMap<String, String>,
}

impl Connection {
    /// The settings of a client: these, then those given, then the user's.
    #[must_use]
    pub fn config(&self, given: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap).set("client.id", "unspool");
        // librdkafka waits up to ten seconds between attempts; a broker that restarts is back sooner.
        config.set("reconnect.backoff.max.ms", "2000");
        // Small requests follow one another: none may wait until an earlier one was acknowledged.
        config.set("socket.nagle.disable", "true");
        given.iter().for_each(|(key, value)| {
            config.set(*key, *value);
        });
        self.settings.iter().for_each(|(key, value)| {
            config.set(key, value);
        });
        config
    }
}

/// Why the cluster cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is unknown, or settings do not go together.
    #[error("the Kafka client refuses a setting: {0}")]
    Setting(String),
    /// Nobody answers.
    #[error("no answer from the Kafka brokers at {bootstrap}: {problem}; is the address right, and the broker up?")]
    NoBroker {
        /// Where it was asked.
        bootstrap: String,
        /// What the client said.
        problem: String,
    },
    /// The credentials are wrong, or the certificate is not trusted.
    #[error(
        "the Kafka brokers at {bootstrap} refuse this client: {problem}; check security.protocol, sasl.* and ssl.*"
    )]
    Refused {
        /// Where it was asked.
        bootstrap: String,
        /// What the client said.
        problem: String,
    },
    /// The group knows this member's name by another client: one that came later, or an earlier one of this process.
    #[error("the group takes this worker's name for another's: {0}")]
    Fenced(String),
    /// There is no such topic.
    #[error("there is no topic '{0}': create it, or correct its name (or this user may not see it)")]
    NoTopic(String),
    /// A topic is not what the job needs.
    #[error("topic '{topic}': {problem}")]
    Topic {
        /// The topic.
        topic: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A partition cannot be begun.
    #[error("{topic}, partition {partition}: {problem}")]
    Partition {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A partition cannot be begun yet: the group has forgotten, or not found again, what was committed.
    #[error("{topic}, partition {partition}: {problem}")]
    Behind {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// What the group says, what is known, and what to do if that stays so.
        problem: String,
    },
    /// What the client or a broker said.
    #[error("Kafka: {0}")]
    Client(#[from] KafkaError),
}

/// The result of a call to the cluster.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Connection {
    /// What a refused question means.
    pub(super) fn failed(&self, error: KafkaError) -> Error {
        use RDKafkaErrorCode as Code;
        let (bootstrap, problem) = (self.bootstrap.clone(), error.to_string());
        if let KafkaError::ClientConfig(_, what, key, value) = &error {
            return Error::Setting(format!("{key} = {value}: {what}"));
        }
        if let KafkaError::ClientCreation(what) = &error {
            return Error::Setting(what.clone());
        }
        match error.rdkafka_error_code() {
            Some(Code::BrokerTransportFailure | Code::AllBrokersDown | Code::OperationTimedOut | Code::Resolve) => {
                Error::NoBroker { bootstrap, problem }
            }
            Some(Code::Authentication | Code::SaslAuthenticationFailed | Code::SSL) => {
                Error::Refused { bootstrap, problem }
            }
            _ => Error::Client(error),
        }
    }
}
