//! What is looked at before a job begins, and where each partition begins.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use unspool_ingest::kafka::client::{Admin, Assigned, Start, TopicFacts, Unready};
use unspool_model::{Front, Model};

use super::super::{
    error::{Error, Result},
    files::{self, Tail},
    job::{Begin, Guarantee, NewPartitions, StreamJob, To},
    snapshot::{Manifest, Snapshots, unique},
};

/// What a job comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Partitions of the topic now.
    pub partitions: i32,
    /// Partitions that it had when the job first began.
    pub known_partitions: i32,
    /// Where snapshots are kept.
    pub snapshots: PathBuf,
    /// What is known of the topics: of events, outputs, and dead letters.
    pub topics: Vec<(String, TopicFacts)>,
    /// Bytes of a series' state.
    pub state_bytes: usize,
}

/// Checks a job against the cluster, the model and the data folder. Nothing is written but a note of the topic's partitions.
///
/// # Errors
/// What stands in the way, and what to do.
pub fn check(job: &StreamJob, model: &Model) -> Result<Plan> {
    takes(job, model)?;
    gives(job)?;
    let state = model.save(&model.open(&job.core.emit.options(model)?)?)?;
    let admin = Admin::new(&job.connection)?;
    let input = admin.topic(&job.topic)?;
    if input.cleanup.as_deref().is_some_and(|policy| policy.contains("compact")) {
        let problem = "it is compacted (cleanup.policy): a replay would miss records that compaction removed; \
                       use a topic with cleanup.policy=delete"
            .into();
        return Err(unspool_ingest::kafka::client::Error::Topic { topic: job.topic.clone(), problem }.into());
    }
    let partitions = input.partitions;
    let mut topics = vec![(job.topic.clone(), input)];
    let output = if let To::Topic(topic) = &job.output.to { Some(topic) } else { None };
    for topic in output.into_iter().chain(&job.output.rejects) {
        topics.push((topic.clone(), admin.topic(topic)?));
    }
    let snapshots = job.data_dir.join("snapshots").join(&job.group.name).join(&job.topic);
    let known_partitions = match super::remote(job)? {
        Some(remote) => remote.known_partitions(partitions)?,
        None => known(&snapshots, partitions)?,
    };
    if partitions != known_partitions && (partitions < known_partitions || job.new_partitions == NewPartitions::Stop) {
        let problem = format!(
            "it has {partitions} partitions, and had {known_partitions} when this job began: keys may have moved away from \
             their states; say on_new_partitions = \"fresh-state\", or begin a new group and data folder"
        );
        return Err(unspool_ingest::kafka::client::Error::Topic { topic: job.topic.clone(), problem }.into());
    }
    Ok(Plan { partitions, known_partitions, snapshots, topics, state_bytes: state.len() })
}

/// Whether the model takes what the job reads.
fn takes(job: &StreamJob, model: &Model) -> Result<()> {
    use unspool_ingest::kafka::Content;
    let (front, name) = (model.info().front, &model.info().name);
    match (&job.fields.content, front) {
        (Content::Values(fields), Front::Series) if !fields.is_empty() => Ok(()),
        (Content::Sequence(_), Front::Dna) => Ok(()),
        (Content::Values(_), Front::Series) => Err(Error::Settings("values: at least one field".into())),
        (_, Front::Series) => Err(Error::Settings(format!(
            "input.sequence: {name} is a series model: give `values`, or name a DNA model, such as dna-1"
        ))),
        (_, Front::Dna) => Err(Error::Settings(format!(
            "input.values: {name} is a DNA model: give `sequence`, or leave `model` out for series"
        ))),
        (_, Front::Tokens) => Err(Error::Settings(format!("{name} takes token ids: stream jobs have none"))),
    }
}

/// Whether outputs can go where they are to go.
fn gives(job: &StreamJob) -> Result<()> {
    let problem = match (&job.output.to, job.guarantee) {
        (To::Stdout, Guarantee::ExactlyOnce) => {
            "standard output has no transactions: say guarantee = \"at-least-once\""
        }
        (To::Files(_), Guarantee::AtLeastOnce) => "files are written exactly once: leave output.guarantee out",
        (To::Files(_), _) if job.output.rejects.is_some() => {
            "dead letters go beside the files of outputs: leave output.rejects out"
        }
        (To::Files(options), _) => {
            let failed = |source: io::Error| Error::io(&options.dir, &source);
            fs::create_dir_all(&options.dir).map_err(failed)?;
            // Only writing shows whether one may.
            return tempfile::tempfile_in(&options.dir).map(drop).map_err(failed);
        }
        _ => return Ok(()),
    };
    Err(Error::Settings(problem.into()))
}

/// The number of partitions noted when the job first began; noted now if it never was.
fn known(dir: &Path, partitions: i32) -> Result<i32> {
    let path = dir.join("partitions");
    let failed = |source: io::Error| Error::io(&path, &source);
    match fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().map_err(|_| Error::damaged(&path, "a number expected")),
        Err(source) if source.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(dir).map_err(failed)?;
            let draft = dir.join(format!("{}.tmp", unique()));
            fs::write(&draft, partitions.to_string()).map_err(failed)?;
            fs::rename(&draft, &path).map_err(failed)?;
            Ok(partitions)
        }
        Err(source) => Err(failed(source)),
    }
}

/// Where a partition begins.
#[derive(Default)]
pub(super) struct Choice {
    /// The snapshot to begin from.
    pub manifest: Option<Manifest>,
    /// The first offset of which nothing was given yet; `None`: nothing ever was.
    pub committed: Option<i64>,
    /// The end of its files.
    pub tail: Tail,
}

/// What was chosen inside the client's callback, for the worker to load after the poll.
pub(super) type Chosen = Arc<Mutex<HashMap<i32, Choice>>>;

/// How far this process has committed each partition.
pub(super) type Reached = Arc<Mutex<HashMap<i32, i64>>>;

/// Tells the client where to begin each partition, and leaves the snapshot for the worker.
pub(super) fn starter(job: &StreamJob, (snapshots, reached): (&Snapshots, &Reached), known: i32) -> (Start, Chosen) {
    let chosen = Chosen::default();
    let (left, snapshots, begin, fresh) = (Arc::clone(&chosen), snapshots.clone(), job.begin, job.new_partitions);
    let reached = Arc::clone(reached);
    let folder = if let To::Files(options) = &job.output.to { Some(files::folder(job, options)) } else { None };
    let start = move |assigned: &Assigned| {
        let new = assigned.partition >= known;
        if new && fresh == NewPartitions::Stop {
            let problem = "the topic has grown; say on_new_partitions = \"fresh-state\" or begin anew";
            return Err(Unready::Refused(problem.to_owned()));
        }
        let begin = if new { Begin::Earliest } else { begin };
        let (offset, choice) = match &folder {
            None => {
                let reached = reached.lock().unwrap_or_else(PoisonError::into_inner).get(&assigned.partition).copied();
                not_behind(&snapshots, assigned, reached)?;
                let (offset, manifest) = place(&snapshots, assigned, begin)?;
                (offset, Choice { manifest, committed: assigned.committed, tail: Tail::default() })
            }
            Some(folder) => {
                let tail = folder.tail(assigned.partition).map_err(|e| e.to_string())?;
                let committed = tail.next.or(assigned.committed);
                let (offset, manifest) = place(&snapshots, &Assigned { committed, ..*assigned }, begin)?;
                // What the group has committed is told after a file has its name.
                if assigned.committed > tail.next.or(Some(offset)) {
                    return Err(Unready::Refused(format!(
                        "the group has committed offset {}, but its outputs end before that in {}: name the folder that \
                         they were written to (the newest file of a partition must stay there), or begin a new group",
                        assigned.committed.unwrap_or_default(),
                        folder.dir().display()
                    )));
                }
                (offset, Choice { manifest, committed, tail })
            }
        };
        left.lock().unwrap_or_else(PoisonError::into_inner).insert(assigned.partition, choice);
        Ok(offset)
    };
    (Box::new(start), chosen)
}

/// Refuses a committed offset before one that was committed: of this process, or of a snapshot, which is never further. Kafka 4.3.1 has
/// been seen to answer so after a crash, with offsets and members of seventeen minutes before, while its log had all of them: outputs
/// since then would come twice. What was committed after both is known to the broker alone, so that nobody can go on without it.
fn not_behind(snapshots: &Snapshots, assigned: &Assigned, reached: Option<i64>) -> Result<(), Unready> {
    let Assigned { partition, committed, .. } = *assigned;
    let saved = snapshots.newest(partition, i64::MAX).map_err(|e| e.to_string())?.map(|manifest| manifest.next);
    let known = match committed {
        Some(committed) => reached.max(saved).filter(|known| *known > committed),
        None => reached,
    };
    let Some(known) = known else { return Ok(()) };
    let says = committed.map_or("none".to_owned(), |offset| offset.to_string());
    Err(Unready::Behind(format!(
        "the committed offset is {says}, and was {known} before: the broker has not found again what it was told (started \
         anew it reads its log again), or the group was set back; nothing is given twice. To give all from there on once more, begin a \
         new group and data folder"
    )))
}

/// Where a partition begins, and the snapshot that it begins from.
fn place(snapshots: &Snapshots, assigned: &Assigned, begin: Begin) -> Result<(i64, Option<Manifest>), String> {
    let Assigned { partition, committed, low, high } = *assigned;
    // Without a committed offset, what there is was written before the first commit.
    let newest = snapshots.newest(partition, committed.unwrap_or(i64::MAX)).map_err(|e| e.to_string())?;
    let offset = match (&newest, committed, begin) {
        (Some(manifest), ..) => manifest.next,
        (None, None, Begin::Earliest) => low,
        (None, None, Begin::Latest) => high,
        (None, Some(_), _) if low == 0 && begin == Begin::Earliest => 0,
        (None, Some(committed), _) => {
            let dir = snapshots.partition(partition);
            return Err(format!(
                "the group has committed offset {committed}, but {} has no snapshot at or before it: name the data folder \
                 that this job ran with, or begin a new group",
                dir.display()
            ));
        }
    };
    if offset < low {
        return Err(format!(
            "the states are those of offset {offset}, but the broker has deleted the records before {low}: the gap cannot be \
             replayed; keep records longer (retention.ms), or begin a new group and data folder"
        ));
    }
    Ok((offset, newest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::time::EventTime;

    #[test]
    fn what_was_committed_stays_so() {
        let dir = tempfile::tempdir().unwrap();
        let snapshots = Snapshots::new(dir.path().to_owned(), "{}".into());
        let manifest = |next| Manifest { identity: "{}".into(), next, segments: vec![], time: EventTime::default() };
        let check = |committed, reached, behind: Option<&str>| {
            let assigned = Assigned { partition: 0, committed, low: 0, high: 100 };
            match (not_behind(&snapshots, &assigned, reached), behind) {
                (Ok(()), None) => {}
                (Err(Unready::Behind(problem)), Some(known)) => assert!(problem.contains(known), "{problem}"),
                (found, _) => panic!("{committed:?}, {reached:?}: {found:?}"),
            }
        };
        check(None, None, None);
        check(Some(5), None, None);
        check(Some(5), Some(5), None);
        check(Some(5), Some(6), Some("is 5, and was 6 before"));
        check(None, Some(6), Some("is none, and was 6 before"));
        snapshots.write(0, &manifest(20)).unwrap();
        snapshots.write(0, &manifest(30)).unwrap();
        check(Some(30), Some(6), None);
        check(Some(31), Some(31), None);
        check(Some(29), None, Some("is 29, and was 30 before"));
        check(Some(29), Some(40), Some("and was 40 before"));
        check(None, None, None); // the first snapshot is written before the first commit
    }
}
