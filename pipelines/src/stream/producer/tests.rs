//! Errors of a transaction's steps, injected one by one by librdkafka's own mock cluster.

use rdkafka::{
    Offset,
    consumer::{BaseConsumer, Consumer},
    mocking::MockCluster,
    producer::DefaultProducerContext,
    types::{RDKafkaApiKey as Step, RDKafkaRespErr as Refusal},
};

use super::*;

const TIMEOUT: Duration = Duration::from_secs(5);

/// What a commit comes to when these steps are refused once each.
fn commit(refusals: &[(Step, Refusal)]) -> Result<(), Failed> {
    let mock: MockCluster<'_, DefaultProducerContext> = MockCluster::new(1).unwrap();
    for topic in ["in", "out"] {
        mock.create_topic(topic, 1, 1).unwrap();
    }
    let connection = Connection { bootstrap: mock.bootstrap_servers(), ..Connection::default() };
    let consumer: BaseConsumer = connection.config(&[("group.id", "g")]).create().unwrap();
    let producer = Producer::transactional(&connection, "t", TIMEOUT)?;
    for (step, refusal) in refusals {
        mock.request_errors(*step, &[*refusal]);
    }
    let letter = Letter { topic: "out".into(), payload: Some(b"x".to_vec()), ..Letter::default() };
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset("in", 0, Offset::Offset(7)).unwrap();
    let done = producer.commit(std::slice::from_ref(&letter), &offsets, &consumer.group_metadata().unwrap());
    if let Err(Failed::Aborted(_)) = done {
        // The same producer may try again.
        producer.commit(&[letter], &offsets, &consumer.group_metadata().unwrap())?;
    }
    done
}

#[test]
fn each_kind_of_error_has_its_own_consequence() {
    use Refusal as Code;
    let check = |step: Step, refusal: Refusal, expected: &str| {
        let done = commit(&[(step, refusal)]);
        let found = match &done {
            Ok(()) => "committed",
            Err(Failed::Aborted(_)) => "aborted",
            Err(Failed::Fenced(_)) => "fenced",
            Err(Failed::Refused(_)) => "refused",
        };
        assert_eq!(found, expected, "{step:?}, {refusal:?}: {done:?}");
    };
    // they pass by themselves
    check(Step::AddOffsetsToTxn, Code::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, "committed");
    check(Step::TxnOffsetCommit, Code::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, "committed");
    check(Step::EndTxn, Code::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, "committed");
    check(Step::AddPartitionsToTxn, Code::RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS, "committed");
    // the group has changed: the transaction is given up
    check(Step::TxnOffsetCommit, Code::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, "aborted");
    check(Step::TxnOffsetCommit, Code::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID, "aborted");
    check(Step::TxnOffsetCommit, Code::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID, "aborted");
    // another producer of this name has begun
    check(Step::AddOffsetsToTxn, Code::RD_KAFKA_RESP_ERR_PRODUCER_FENCED, "fenced");
    check(Step::EndTxn, Code::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, "fenced");
    // no attempt will succeed
    check(Step::AddOffsetsToTxn, Code::RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, "refused");
    check(Step::TxnOffsetCommit, Code::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, "refused");
}
