//! Partitions that nobody reads, although the group is at rest.
//!
//! A cooperative rebalance takes partitions away in one round and gives them out in the next, which those who had them ask
//! for. A member with a lasting name that ends in between and comes back at once gets the assignment of the first round
//! again, and asks for nothing: its old partitions belong to no one until the next rebalance, whenever that is. So members
//! look at the group now and then, and one of them leaves it and joins anew where that has happened.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread,
    time::Duration,
};

use rdkafka::{
    consumer::{BaseConsumer, Consumer as _},
    groups::GroupInfo,
};

use super::{ASK, Connection, Group, Result};

/// How often a member looks; partitions must be nobody's twice in a row.
const EVERY: Duration = Duration::from_secs(8);

/// Looks, on a thread of its own, until it is dropped.
pub struct Orphans {
    found: Arc<Mutex<Option<Vec<i32>>>>,
    _ends: Sender<()>,
}

impl Orphans {
    /// Watches the partitions of a topic.
    ///
    /// # Errors
    /// When a setting is refused.
    pub fn watch(connection: &Connection, group: &Group, (topic, partitions): (&str, i32)) -> Result<Self> {
        let client: BaseConsumer =
            connection.config(&[("group.id", &group.name)]).create().map_err(|e| connection.failed(e))?;
        let (group, topic, found) = (group.clone(), topic.to_owned(), Arc::new(Mutex::new(None)));
        let (ends, ended) = channel();
        let theirs = Arc::clone(&found);
        thread::spawn(move || {
            let mut before = vec![];
            while ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                let groups = client.client().fetch_group_list(Some(&group.name), ASK);
                let now = groups.ok().and_then(|groups| {
                    let info = groups.groups().iter().find(|info| info.name() == group.name)?;
                    orphans(info, &group.member, (&topic, partitions))
                });
                let now = now.unwrap_or_default();
                if !now.is_empty() && now == before {
                    *theirs.lock().unwrap_or_else(PoisonError::into_inner) = Some(now.clone());
                }
                before = now;
            }
        });
        Ok(Self { found, _ends: ends })
    }

    /// The partitions that are nobody's, once, if it is this member's turn to do something about it.
    #[must_use]
    pub fn found(&self) -> Option<Vec<i32>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The partitions that no member has, for the first of the members alone; `None` while the group moves.
fn orphans(info: &GroupInfo, member: &str, (topic, partitions): (&str, i32)) -> Option<Vec<i32>> {
    let first = info.members().iter().min_by_key(|member| member.id())?;
    // A member's id is its lasting name and a number.
    if info.state() != "Stable" || !first.id().starts_with(&format!("{member}-")) {
        return None;
    }
    let mut had = BTreeSet::new();
    for member in info.members() {
        had.extend(assigned(member.assignment().unwrap_or_default(), topic)?);
    }
    Some((0..partitions).filter(|partition| !had.contains(partition)).collect())
}

/// The partitions of a topic in a member's assignment: version, topics with their partitions, and what the assignor added.
/// `None`: it is something else.
fn assigned(mut bytes: &[u8], topic: &str) -> Option<Vec<i32>> {
    fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
        let (taken, rest) = bytes.split_first_chunk::<N>()?;
        *bytes = rest;
        Some(*taken)
    }
    if bytes.is_empty() {
        return Some(vec![]);
    }
    take::<2>(&mut bytes)?;
    let mut partitions = vec![];
    for _ in 0..i32::from_be_bytes(take(&mut bytes)?) {
        let len = usize::try_from(i16::from_be_bytes(take(&mut bytes)?)).ok()?;
        let (name, rest) = bytes.split_at_checked(len)?;
        bytes = rest;
        for _ in 0..i32::from_be_bytes(take(&mut bytes)?) {
            let partition = i32::from_be_bytes(take(&mut bytes)?);
            partitions.extend((name == topic.as_bytes()).then_some(partition));
        }
    }
    Some(partitions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_are_read() {
        let topic = |name: &str, partitions: &[i32]| {
            let len = i16::try_from(name.len()).unwrap().to_be_bytes();
            let count = i32::try_from(partitions.len()).unwrap().to_be_bytes();
            let each: Vec<u8> = partitions.iter().flat_map(|partition| partition.to_be_bytes()).collect();
            [&len[..], name.as_bytes(), &count, &each].concat()
        };
        let bytes = [&[0, 1][..], &2i32.to_be_bytes(), &topic("a", &[0, 7]), &topic("b", &[3]), &[0; 4]].concat();
        assert_eq!(assigned(&bytes, "a"), Some(vec![0, 7]));
        assert_eq!(assigned(&bytes, "b"), Some(vec![3]));
        assert_eq!(assigned(&bytes, "c"), Some(vec![]));
        assert_eq!(assigned(&[], "a"), Some(vec![]));
        for len in 1..bytes.len() - 4 {
            assert_eq!(assigned(&bytes[..len], "a"), None, "cut to {len}");
        }
    }
}
