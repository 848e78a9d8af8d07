//! Whether a job may write: a record for each of its topics, in a transaction that is given up.

use super::{
    super::{
        error::{Error, Result},
        job::{Guarantee, StreamJob, To},
        producer::{Failed, Letter, Producer},
    },
    Ended,
};

/// Writes a record without a payload to the topics of outputs and of dead letters, and takes them back: readers of committed
/// records never see them. Gives the topics; none where what is written could not be taken back (at least once), or goes
/// elsewhere.
///
/// # Errors
/// When this user may not write there, or not under the job's transactional names, or the broker does not answer.
pub fn rehearse(job: &StreamJob) -> Result<Vec<String>> {
    let output = if let To::Topic(topic) = &job.output.to { Some(topic) } else { None };
    let topics: Vec<String> = output.into_iter().chain(&job.output.rejects).cloned().collect();
    if topics.is_empty() || job.guarantee != Guarantee::ExactlyOnce {
        return Ok(vec![]);
    }
    let letter =
        |topic: &String| Letter { topic: topic.clone(), key: Some(b"unspool --check".to_vec()), ..Letter::default() };
    let id = format!("{}-{}", job.group.name, job.group.member);
    let letters: Vec<Letter> = topics.iter().map(letter).collect();
    Producer::transactional(&job.connection, &id, job.pace.transaction_timeout)
        .and_then(|producer| producer.try_out(&letters))
        .map_err(|failed: Failed| match Ended::from(failed) {
            Ended::Bad(error) => error,
            Ended::Again(problem) | Ended::Fenced(problem) => {
                Error::Settings(format!("writing to {} for a try: {problem}", topics.join(" and ")))
            }
        })?;
    Ok(topics)
}
