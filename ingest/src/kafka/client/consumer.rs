//! A member of a consumer group whose partitions begin where they are told to, not where the group stands: a job whose
//! state is older than its committed offset reads the gap again.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext, Offset, Statistics, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext, ConsumerGroupMetadata, RebalanceProtocol},
    error::KafkaError,
    message::{BorrowedMessage, Headers, Message},
    types::{RDKafkaErrorCode, RDKafkaRespErr},
};

use super::{super::Record, Connection, Error, Result};

/// Bytes fetched ahead of the reader, in KiB: not polling is the back-pressure.
const AHEAD_KIB: &str = "16384";
/// How long an assigned partition's committed offset may take: a dead member's open transaction holds it back.
const COMMITTED: Duration = Duration::from_secs(25);
/// How soon a group is asked again that has forgotten what was committed, and for how long before the member begins anew.
const AGAIN: Duration = Duration::from_millis(500);
const FORGETS: Duration = Duration::from_secs(10);
/// How long a final stop waits for the group to let go.
const LEAVE: Duration = Duration::from_secs(5);

/// Membership in a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The group.
    pub name: String,
    /// The member's lasting name.
    pub member: String,
    /// How long the group waits for a silent member.
    pub session_timeout_ms: u32,
    /// The group protocol of KIP-848: the broker assigns.
    pub kip848: bool,
}

/// A partition that came to this member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// The partition.
    pub partition: i32,
    /// The group's committed offset: the first one not processed.
    pub committed: Option<i64>,
    /// The first offset that the broker still has.
    pub low: i64,
    /// The next offset that it will give.
    pub high: i64,
}

/// Where to begin reading a partition; the reason where that is impossible.
pub type Start = Box<dyn Fn(&Assigned) -> Result<i64, Unready> + Send + Sync>;

/// Why a partition cannot be begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unready {
    /// The committed offset is older than one that is known to have been committed: it is asked for again.
    Behind(String),
    /// It will not pass.
    Refused(String),
}

impl From<String> for Unready {
    fn from(problem: String) -> Self {
        Self::Refused(problem)
    }
}

/// What changed of the assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assignment {
    /// A partition came, and is read from this offset on.
    Came(Assigned, i64),
    /// A partition went: the group gave it away, or this member was too slow.
    Went(i32),
}

/// What a poll gave. Changes of the assignment come before the records that follow them, and records of partitions that went are left out.
#[derive(Default)]
pub struct Polled<'a> {
    /// Changes, in order.
    pub changes: Vec<Assignment>,
    /// Records of partitions that this member has.
    pub messages: Vec<BorrowedMessage<'a>>,
    /// Trouble that passes by itself, as far as the client knows.
    pub trouble: Option<String>,
}

/// The member.
pub struct Consumer {
    connection: Connection,
    topic: String,
    client: BaseConsumer<Context>,
}

/// What the client's callbacks see; they run inside a poll.
struct Context {
    connection: Connection,
    topic: String,
    start: Start,
    changes: Mutex<Vec<Assignment>>,
    failed: Mutex<Option<Error>>,
    /// Each partition's first offset that the broker still has, and the next one that it will give, as of the last fetch.
    kept: Mutex<BTreeMap<i32, (i64, i64)>>,
}

impl ClientContext for Context {
    fn stats(&self, statistics: Statistics) {
        let Some(topic) = statistics.topics.get(&self.topic) else { return };
        let known = topic.partitions.values().filter(|one| one.lo_offset >= 0 && one.hi_offset >= 0);
        lock(&self.kept).extend(known.map(|one| (one.partition, (one.lo_offset, one.hi_offset))));
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, err: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let cooperative = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let done = if err == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            // Whatever it came to, the client waits for an answer, and would not even close without one.
            let (list, failed) = match self.begin(consumer, list) {
                Ok(list) => (list, None),
                Err(error) => (TopicPartitionList::new(), Some(error)),
            };
            let assigned = if cooperative { consumer.incremental_assign(&list) } else { consumer.assign(&list) };
            failed.map_or_else(|| assigned.map_err(|e| self.connection.failed(e)), Err)
        } else {
            let went = list.elements().iter().map(|one| Assignment::Went(one.partition())).collect::<Vec<_>>();
            lock(&self.changes).extend(went);
            let gone = if cooperative { consumer.incremental_unassign(list) } else { consumer.unassign() };
            gone.map_err(|e| self.connection.failed(e))
        };
        if let Err(error) = done {
            lock(&self.failed).get_or_insert(error);
        }
    }

    fn main_queue_min_poll_interval(&self) -> rdkafka::util::Timeout {
        rdkafka::util::Timeout::After(Duration::from_millis(100))
    }
}

impl Context {
    /// The partitions, each with the offset where it is to be read from.
    fn begin(&self, consumer: &BaseConsumer<Self>, came: &TopicPartitionList) -> Result<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        if came.count() == 0 {
            return Ok(list);
        }
        let until = Instant::now() + FORGETS;
        let begun = loop {
            match self.starts(consumer, came) {
                Err(error @ Error::Behind { .. }) if Instant::now() < until => {
                    tracing::warn!(%error, "the group is asked again");
                    std::thread::sleep(AGAIN);
                }
                begun => break begun?,
            }
        };
        for (assigned, start) in begun {
            list.add_partition_offset(&self.topic, assigned.partition, Offset::Offset(start))?;
            lock(&self.changes).push(Assignment::Came(assigned, start));
        }
        Ok(list)
    }

    /// What the cluster says of partitions that came, and where each is to be read from.
    fn starts(&self, consumer: &BaseConsumer<Self>, came: &TopicPartitionList) -> Result<Vec<(Assigned, i64)>> {
        let mut starts = vec![];
        let committed = consumer.committed_offsets(came.clone(), COMMITTED).map_err(|error| {
            // What a client says of this is that it has waited long enough; why, is mostly this.
            tracing::warn!(%error, "no committed offsets: a transaction that is still open may hold them back");
            self.connection.failed(error)
        })?;
        for one in committed.elements() {
            let partition = one.partition();
            one.error()?;
            let committed = if let Offset::Offset(offset) = one.offset() { Some(offset) } else { None };
            let marks = consumer.fetch_watermarks(&self.topic, partition, super::ASK);
            let (low, high) = marks.map_err(|e| self.connection.failed(e))?;
            let assigned = Assigned { partition, committed, low, high };
            let topic = self.topic.clone();
            let start = (self.start)(&assigned).map_err(|unready| match unready {
                Unready::Behind(problem) => Error::Behind { topic, partition, problem },
                Unready::Refused(problem) => Error::Partition { topic, partition, problem },
            })?;
            starts.push((assigned, start));
        }
        Ok(starts)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Consumer {
    /// Joins the group with the next poll.
    ///
    /// # Errors
    /// When a setting is refused.
    pub fn join(connection: &Connection, group: &Group, topic: &str, start: Start) -> Result<Self> {
        let session = group.session_timeout_ms.to_string();
        let heartbeat = (group.session_timeout_ms / 5).max(200).to_string();
        let mut given = vec![
            ("group.id", &group.name[..]),
            ("group.instance.id", &group.member[..]),
            ("isolation.level", "read_committed"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "error"),
            ("queued.max.messages.kbytes", AHEAD_KIB),
            ("fetch.wait.max.ms", "20"),
            ("enable.partition.eof", "false"),
            ("allow.auto.create.topics", "false"),
            ("statistics.interval.ms", "1000"),
        ];
        if group.kip848 {
            given.push(("group.protocol", "consumer"));
        } else {
            given.push(("partition.assignment.strategy", "cooperative-sticky"));
            given.push(("session.timeout.ms", &session));
            given.push(("heartbeat.interval.ms", &heartbeat));
        }
        let context = Context {
            connection: connection.clone(),
            topic: topic.to_owned(),
            start,
            changes: Mutex::default(),
            failed: Mutex::default(),
            kept: Mutex::default(),
        };
        let client: BaseConsumer<Context> =
            connection.config(&given).create_with_context(context).map_err(|e| connection.failed(e))?;
        client.subscribe(&[topic]).map_err(|e| connection.failed(e))?;
        Ok(Self { connection: connection.clone(), topic: topic.to_owned(), client })
    }

    /// Records until there are `most`, or until `due`; after that, what is there already. Waits `wait` for a first one.
    ///
    /// # Errors
    /// When a partition cannot be begun, the member is fenced, or the cluster refuses for good.
    pub fn poll(&self, most: usize, wait: Duration, due: Instant) -> Result<Polled<'_>> {
        let mut polled = Polled::default();
        let mut until = Instant::now() + wait;
        while polled.messages.len() < most {
            let message = self.client.poll(until.saturating_duration_since(Instant::now()));
            let context = self.client.context();
            if let Some(error) = lock(&context.failed).take() {
                return Err(error);
            }
            for change in lock(&context.changes).drain(..) {
                if let Assignment::Went(partition) = change {
                    polled.messages.retain(|message: &BorrowedMessage<'_>| message.partition() != partition);
                }
                polled.changes.push(change);
            }
            match message {
                Some(Ok(message)) => {
                    if polled.messages.is_empty() {
                        until = due;
                    }
                    polled.messages.push(message);
                }
                Some(Err(error)) => {
                    polled.trouble = Some(self.judge(error)?);
                    break;
                }
                None if Instant::now() >= until => break,
                None => (),
            }
            if !polled.changes.is_empty() && polled.messages.is_empty() {
                break;
            }
        }
        Ok(polled)
    }

    /// Trouble that passes, or an error that does not. A topic was there when the job began: a broker that has just started
    /// may not know that yet.
    fn judge(&self, error: KafkaError) -> Result<String> {
        use RDKafkaErrorCode as Code;
        match error.rdkafka_error_code() {
            Some(Code::Fatal | Code::FencedInstanceId) => Err(Error::Fenced(error.to_string())),
            Some(
                Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::OffsetOutOfRange
                | Code::AutoOffsetReset,
            ) => Err(self.connection.failed(error)),
            Some(Code::Authentication | Code::SaslAuthenticationFailed | Code::SSL) => {
                Err(self.connection.failed(error))
            }
            _ => Ok(error.to_string()),
        }
    }

    /// What the group calls this member now: taken after the poll whose records it is committed with.
    #[must_use]
    pub fn group_metadata(&self) -> Option<ConsumerGroupMetadata> {
        self.client.group_metadata()
    }

    /// Commits offsets without a transaction, and waits for the answer.
    ///
    /// # Errors
    /// When the group refuses.
    pub fn commit(&self, offsets: &[(i32, i64)]) -> Result<()> {
        let list = self.offsets(offsets)?;
        Ok(self.client.commit(&list, rdkafka::consumer::CommitMode::Sync)?)
    }

    /// Commits offsets without waiting for the answer, which is for nobody.
    ///
    /// # Errors
    /// When an offset is none.
    pub fn commit_soon(&self, offsets: &[(i32, i64)]) -> Result<()> {
        let list = self.offsets(offsets)?;
        let _ = self.client.commit(&list, rdkafka::consumer::CommitMode::Async);
        Ok(())
    }

    /// Next offsets as the client wants them.
    ///
    /// # Errors
    /// When an offset is none.
    pub fn offsets(&self, offsets: &[(i32, i64)]) -> Result<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for (partition, next) in offsets {
            list.add_partition_offset(&self.topic, *partition, Offset::Offset(*next))?;
        }
        Ok(list)
    }

    /// The first offset that the broker still has, and the next one that it will give, as of about a second ago; `None`
    /// before it has said so. Nothing is asked for that.
    #[must_use]
    pub fn watermarks(&self, partition: i32) -> Option<(i64, i64)> {
        lock(&self.client.context().kept).get(&partition).copied()
    }

    /// Leaves the group for good: others take over at once, although the member's name is lasting.
    pub fn leave(self) {
        self.client.unsubscribe();
        let until = Instant::now() + LEAVE;
        while self.client.assignment().is_ok_and(|list| list.count() > 0) && Instant::now() < until {
            let _ = self.client.poll(Duration::from_millis(50));
        }
    }
}

/// A message as the decoder takes it; headers only where they are read.
#[must_use]
pub fn record<M: Message>(message: &M, headers: bool) -> Record<'_> {
    let headers = message.headers().filter(|_| headers).into_iter().flat_map(Headers::iter);
    Record {
        partition: message.partition(),
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis(),
        key: message.key(),
        payload: message.payload(),
        headers: headers.filter_map(|header| Some((header.key, header.value?))).collect(),
    }
}
