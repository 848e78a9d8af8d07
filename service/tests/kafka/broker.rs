//! The broker that the tests run on.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::Command,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use futures::executor::block_on;
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::KafkaError,
    message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer},
};

const ASK: Duration = Duration::from_secs(30);

/// A record to be written: partition, key, payload, headers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent {
    pub partition: i32,
    pub key: Option<String>,
    pub payload: Option<String>,
    pub header: Option<(&'static str, String)>,
    pub timestamp_ms: Option<i64>,
}

/// A record read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Got {
    pub key: String,
    pub payload: String,
    pub headers: BTreeMap<String, String>,
}

/// The broker.
#[derive(Clone)]
pub(crate) struct Broker {
    dir: PathBuf,
    /// Goes with the last of those who use it.
    folder: Option<Arc<tempfile::TempDir>>,
    pub address: String,
    /// How long a scenario waits for a job to come to its end.
    pub patience: Duration,
}

impl Broker {
    /// The one that `.ci/kafka.sh` has started.
    pub(crate) fn of_the_tests() -> Self {
        let dir = PathBuf::from(
            std::env::var_os("UNSPOOL_TEST_KAFKA").expect("UNSPOOL_TEST_KAFKA: the folder of .ci/kafka.sh start"),
        );
        let port = std::fs::read_to_string(dir.join("1/port")).expect("a broker was started there");
        Self { dir, folder: None, address: format!("127.0.0.1:{}", port.trim()), patience: Duration::from_secs(60) }
    }

    /// One inside this process, of its own.
    pub(crate) fn embedded(patience: Duration) -> Self {
        let address = noida::kafka::spawn("127.0.0.1:0").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let certificate = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        std::fs::write(folder.path().join("ca.pem"), certificate.cert.pem()).unwrap();
        let dir = folder.path().to_owned();
        Self { dir, folder: Some(Arc::new(folder)), address: address.to_string(), patience }
    }

    /// It is inside this process.
    pub(crate) fn is_embedded(&self) -> bool {
        self.folder.is_some()
    }

    /// A name that no earlier run has used.
    pub(crate) fn unique(&self, name: &str) -> &'static str {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        format!("{name}-{since:x}").leak()
    }

    /// The listener with TLS and SASL, and the certificate of who vouches for it (`KAFKA_SECURE=1` at the start).
    pub(crate) fn secure(&self) -> (String, PathBuf) {
        let (host, port) = self.address.split_once(':').unwrap();
        (format!("{host}:{}", port.parse::<u16>().unwrap() + 2), self.dir.join("ca.pem"))
    }

    fn script(&self, command: &str) {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../.ci/kafka.sh");
        let status = Command::new(script).arg(command).arg(&self.dir).arg("1").status().unwrap();
        assert!(status.success(), "kafka.sh {command}");
    }

    /// Its process, where it is one.
    pub(crate) fn id(&self) -> Option<u32> {
        std::fs::read_to_string(self.dir.join("1/pid")).ok()?.trim().parse().ok()
    }

    /// Kills the broker and starts it again.
    pub(crate) fn restart(&self) {
        self.script("kill");
        self.script("up");
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.address).set("reconnect.backoff.max.ms", "1000");
        config
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config().create().unwrap()
    }

    pub(crate) fn create(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
        let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        for (key, value) in settings {
            new = new.set(key, value);
        }
        for made in block_on(self.admin().create_topics([&new], &AdminOptions::new())).unwrap() {
            made.unwrap();
        }
    }

    pub(crate) fn grow(&self, topic: &str, partitions: usize) {
        let new = NewPartitions::new(topic, partitions);
        for made in block_on(self.admin().create_partitions([&new], &AdminOptions::new())).unwrap() {
            made.unwrap();
        }
    }

    /// Deletes the records of a partition before an offset.
    pub(crate) fn delete_before(&self, topic: &str, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).unwrap();
        block_on(self.admin().delete_records(&list, &AdminOptions::new())).unwrap();
    }

    /// Writes records, in order.
    pub(crate) fn send(&self, topic: &str, all: &[Sent]) {
        self.writer().send(topic, all);
    }

    pub(crate) fn writer(&self) -> Writer {
        Writer(self.config().set("enable.idempotence", "true").create().unwrap())
    }

    /// Leaves a transaction open behind a record that is never committed; whoever holds it says nothing more.
    pub(crate) fn abandon(&self, topic: &str, timeout: Duration) -> BaseProducer {
        let mut config = self.config();
        let timeout = timeout.as_millis().to_string();
        config.set("transactional.id", format!("{topic}-abandoned")).set("transaction.timeout.ms", &timeout);
        let producer: BaseProducer = config.create().unwrap();
        producer.init_transactions(ASK).unwrap();
        producer.begin_transaction().unwrap();
        let record: BaseRecord<'_, str, str> = BaseRecord::to(topic).partition(0).key("a").payload("never committed");
        producer.send(record).unwrap();
        producer.flush(ASK).unwrap();
        producer
    }

    fn consumer(&self, group: &str) -> BaseConsumer {
        let mut config = self.config();
        config.set("group.id", group).set("isolation.level", "read_committed").set("enable.auto.commit", "false");
        config.set("enable.partition.eof", "true").create().unwrap()
    }

    /// A member of a group with a lasting name, which does nothing but to ask for partitions.
    pub(crate) fn member(&self, group: &str, topic: &str, name: &str) -> BaseConsumer {
        let mut config = self.config();
        config.set("group.id", group).set("group.instance.id", name).set("session.timeout.ms", "30000");
        config.set("partition.assignment.strategy", "cooperative-sticky").set("auto.offset.reset", "earliest");
        let member: BaseConsumer = config.set("enable.auto.commit", "false").create().unwrap();
        member.subscribe(&[topic]).unwrap();
        member
    }

    /// All committed records of a topic, each partition's in order, partition by partition.
    pub(crate) fn read(&self, topic: &str) -> Vec<Got> {
        self.read_as(topic, |message| got_of(message))
    }

    /// Keys and payloads of [`Broker::read`], as they are.
    pub(crate) fn read_bytes(&self, topic: &str) -> Vec<(String, Vec<u8>)> {
        self.read_as(topic, |message| (got_of(message).key, message.payload().unwrap_or_default().to_vec()))
    }

    fn read_as<T>(&self, topic: &str, take: impl Fn(&BorrowedMessage<'_>) -> T) -> Vec<T> {
        let consumer = self.consumer("test-reads");
        let partitions = self.partitions(topic);
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&list).unwrap();
        let (mut got, mut ended, until) = (BTreeMap::<i32, Vec<T>>::new(), 0, Instant::now() + ASK);
        while ended < partitions {
            assert!(Instant::now() < until, "{topic} did not come to its end");
            match consumer.poll(ASK) {
                Some(Ok(message)) => got.entry(message.partition()).or_default().push(take(&message)),
                Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
                other => assert!(matches!(other, Some(Err(_))), "{topic}: no answer"),
            }
        }
        got.into_values().flatten().collect()
    }

    /// Shows committed records of a topic as they come, key and payload, until it is over.
    pub(crate) fn follow(&self, topic: &str, over: &dyn Fn() -> bool, take: &mut dyn FnMut(&str, &[u8])) {
        let consumer = self.consumer("test-follows");
        let mut list = TopicPartitionList::new();
        for partition in 0..self.partitions(topic) {
            list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&list).unwrap();
        while !over() {
            // A broker that is away comes back.
            let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else { continue };
            let key = String::from_utf8_lossy(message.key().unwrap_or_default());
            take(&key, message.payload().unwrap_or_default());
        }
    }

    pub(crate) fn partitions(&self, topic: &str) -> i32 {
        let metadata = self.consumer("test-asks").fetch_metadata(Some(topic), ASK).unwrap();
        i32::try_from(metadata.topics()[0].partitions().len()).unwrap()
    }

    /// Records of a topic that a group has not committed yet.
    pub(crate) fn lag(&self, group: &str, topic: &str) -> i64 {
        let (consumer, mut list) = (self.consumer(group), TopicPartitionList::new());
        let partitions = self.partitions(topic);
        (0..partitions).for_each(|partition| {
            list.add_partition(topic, partition);
        });
        let Ok(committed) = consumer.committed_offsets(list, ASK) else { return i64::MAX };
        let lag = |partition| {
            let (low, high) = consumer.fetch_watermarks(topic, partition, ASK).unwrap_or((0, i64::MAX));
            let at = committed.find_partition(topic, partition).and_then(|one| one.offset().to_raw()).unwrap_or(-1);
            high.saturating_sub(at.max(low))
        };
        (0..partitions).map(lag).fold(0, i64::saturating_add)
    }

    /// Sets a group to an offset of a topic's first partition, once its last member has left it or is given up.
    pub(crate) fn set(&self, group: &str, topic: &str, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, 0, Offset::Offset(offset)).unwrap();
        let (consumer, until) = (self.consumer(group), Instant::now() + self.patience);
        while let Err(error) = consumer.commit(&list, CommitMode::Sync) {
            assert!(Instant::now() < until, "{group} cannot be set: {error}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// The members of a group, as the broker sees it.
    pub(crate) fn members(&self, group: &str) -> Vec<String> {
        let list = self.consumer("test-asks").client().fetch_group_list(Some(group), ASK).unwrap();
        list.groups().iter().flat_map(|group| group.members()).map(|member| member.id().to_owned()).collect()
    }

    /// Whether so many members have agreed on who has which partitions.
    pub(crate) fn agreed(&self, group: &str, members: usize) -> bool {
        let list = self.consumer("test-asks").client().fetch_group_list(Some(group), ASK).unwrap();
        list.groups().iter().any(|group| group.state() == "Stable" && group.members().len() == members)
    }

    /// What the broker says of a topic and of a group: for whoever asks why nothing goes on.
    pub(crate) fn situation(&self, topics: &[&str], group: &str) -> String {
        let consumer = |isolation| -> BaseConsumer {
            let mut config = self.config();
            config.set("group.id", "test-asks").set("isolation.level", isolation).create().unwrap()
        };
        let (all, committed) = (consumer("read_uncommitted"), consumer("read_committed"));
        let log = std::fs::read_to_string(self.dir.join("1/log")).unwrap_or_default();
        let log: Vec<&str> = log.lines().collect();
        let mut lines = vec![format!("the broker's log:\n  {}", log[log.len().saturating_sub(20)..].join("\n  "))];
        for topic in topics {
            let Ok(metadata) = all.fetch_metadata(Some(topic), ASK) else {
                lines.push("the broker does not answer".into());
                break;
            };
            for partition in metadata.topics()[0].partitions() {
                let ends = [&all, &committed].map(|one| one.fetch_watermarks(topic, partition.id(), ASK));
                let ends = ends.map(|ends| ends.map_or_else(|error| error.to_string(), |(_, end)| end.to_string()));
                lines.push(format!("{topic} {}: ends at {}, committed up to {}", partition.id(), ends[0], ends[1]));
            }
        }
        match all.client().fetch_group_list(Some(group), ASK) {
            Err(error) => lines.push(format!("{group}: {error}")),
            Ok(list) => lines.extend(list.groups().iter().map(|group| {
                let members: Vec<_> = group.members().iter().map(|member| member.id()).collect();
                format!("{}: {} of {members:?}", group.name(), group.state())
            })),
        }
        lines.push(format!("{group}: {} records of {} are not committed", self.lag(group, topics[0]), topics[0]));
        lines.join("\n")
    }

    /// Waits until a group has committed all records of a topic; whether it has.
    pub(crate) fn comes_to_its_end(&self, group: &str, topic: &str, most: Duration) -> bool {
        let until = Instant::now() + most;
        while Instant::now() < until {
            if self.lag(group, topic) == 0 {
                return true;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        false
    }

    /// Waits until a group has committed all records of a topic.
    pub(crate) fn wait_for(&self, group: &str, topic: &str, most: Duration) {
        let (lag, members) = match self.comes_to_its_end(group, topic, most) {
            true => return,
            false => (self.lag(group, topic), self.members(group)),
        };
        panic!("{group}: {lag} records of {topic} are still not committed after {most:?}; members: {members:?}");
    }
}

/// Writes records.
pub(crate) struct Writer(BaseProducer);

impl Writer {
    /// Writes records, in order, and waits until the broker has them.
    pub(crate) fn send(&self, topic: &str, all: &[Sent]) {
        self.put(topic, all);
        self.flush();
    }

    /// Waits until the broker has all records.
    pub(crate) fn flush(&self) {
        // A broker that is killed and starts again takes its time.
        self.0.flush(4 * ASK).unwrap();
    }

    /// Hands records over, in order.
    pub(crate) fn put(&self, topic: &str, all: &[Sent]) {
        for sent in all {
            let mut record: BaseRecord<'_, String, String> = BaseRecord::to(topic).partition(sent.partition);
            record.key = sent.key.as_ref();
            record.payload = sent.payload.as_ref();
            record.timestamp = sent.timestamp_ms;
            if let Some((key, value)) = &sent.header {
                record = record.headers(OwnedHeaders::new().insert(Header { key, value: Some(value) }));
            }
            while let Err((KafkaError::MessageProduction(_), again)) = self.0.send(record) {
                self.0.poll(Duration::from_millis(20));
                record = again;
            }
        }
        self.0.poll(Duration::ZERO);
    }
}

fn got_of(message: &impl Message) -> Got {
    let text =
        |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default();
    let headers = message
        .headers()
        .map(|headers| headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect());
    Got { key: text(message.key()), payload: text(message.payload()), headers: headers.unwrap_or_default() }
}
