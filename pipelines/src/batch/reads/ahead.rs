//! Reads that are run by a cluster: the driver reads ahead, and takes what comes back in the order of the input.
//!
//! ```text
//! batches ─► stretches, between which no record is under way ─► groups of whole records ─► executors
//!                └── accounts, positions, ends of units ◄──────── rows ─────────────────────────┘
//! ```

use arrow::array::{Array, AsArray, RecordBatch};
use futures::executor::block_on;
use unspool_ingest::{Batch, Position, Reject, Source, reads};

use super::{
    commit, options, order,
    records::{self, Embedded, Records},
};
use crate::{
    batch::{
        error::{Error, Result},
        files::FileEntry,
        unit::Unit,
    },
    cluster::Cluster,
};

/// A batch that waits for its records to be run.
struct Waiting {
    batch: RecordBatch,
    rejects: Vec<Reject>,
    bytes_read: u64,
    next: Position,
}

/// Batches behind which, and before which, no record is under way.
struct Stretch {
    waiting: Vec<Waiting>,
    /// Not so behind it: the input ends within a record.
    cut: bool,
}

/// Reads a file, from where the last unit ended in it.
pub(super) fn read(unit: &mut Unit<'_, '_>, (cluster, number): (&Cluster, &mut u64), entry: &FileEntry) -> Result<()> {
    let file = unit.place.lake.bring(entry, &unit.place.job.columns)?;
    let here = file.path().display().to_string();
    let before = unit.summary.progress.bytes_read;
    let mut source = reads::open(file.path(), &options(unit)?)?;
    let (mut done, mut stretch, mut bases) = (vec![], vec![], 0);
    let read = loop {
        let batch = match block_on(source.next()) {
            Ok(Some(batch)) => batch,
            Ok(None) => break Ok(()),
            Err(error) => break Err(Error::from(error)),
        };
        let Batch { rows: batch, rejects, next, .. } = batch;
        let open = match batch.num_rows() {
            0 => !stretch.is_empty(),
            rows => !last(&batch, rows - 1)?,
        };
        bases += (0..batch.num_rows()).map(|row| bases_of(&batch, row)).sum::<usize>();
        let bytes_read = before + source.progress().map_or(0, |(read, _)| read);
        stretch.push(Waiting { batch, rejects, bytes_read, next });
        if !open {
            done.push(Stretch { waiting: std::mem::take(&mut stretch), cut: false });
            if bases >= cluster.ahead() {
                bases = 0;
                work_off(unit, (cluster, &mut *number), (std::mem::take(&mut done), entry, &here))?;
            }
        }
        unit.step()?;
    };
    if !stretch.is_empty() {
        done.push(Stretch { waiting: stretch, cut: true });
    }
    work_off(unit, (cluster, number), (done, entry, &here))?;
    read
}

/// Runs stretches, and takes what they give.
fn work_off(
    unit: &mut Unit<'_, '_>,
    (cluster, number): (&Cluster, &mut u64),
    (stretches, entry, here): (Vec<Stretch>, &FileEntry, &str),
) -> Result<()> {
    let (mut groups, mut of, mut first) = (vec![], vec![], *number);
    for stretch in &stretches {
        let all = stretch.groups(&mut first, cluster.group_values())?;
        of.push((all.len(), first));
        groups.extend(all);
    }
    let mut embedded = cluster.embed(&order(unit.place.job, cluster.model())?, groups)?.into_iter();
    for (stretch, (groups, next)) in stretches.into_iter().zip(of) {
        let (position, cut) = (stretch.waiting.last().map(|waiting| waiting.next), stretch.cut);
        stretch.take(unit, embedded.by_ref().take(groups).collect(), (entry, here))?;
        (unit.manifest.position, *number) = (position, next);
        if unit.events >= unit.place.job.unit_rows && !cut {
            commit(unit, next)?;
        }
    }
    Ok(())
}

impl Stretch {
    /// Its records in groups of so many bases; of several batches, which one record holds together, in one.
    fn groups(&self, first: &mut u64, most: usize) -> Result<Vec<Records>> {
        let batches: Vec<&RecordBatch> = self.waiting.iter().map(|waiting| &waiting.batch).collect();
        let mut cuts = vec![];
        if let [batch] = batches[..] {
            let (mut bases, rows) = (0, batch.num_rows());
            if rows == 0 {
                return Ok(vec![]);
            }
            for row in 0..rows.saturating_sub(1) {
                bases += bases_of(batch, row);
                if bases >= most && last(batch, row)? {
                    cuts.push(row + 1);
                    bases = 0;
                }
            }
            let begins = std::iter::once(0).chain(cuts.iter().copied());
            let ends = cuts.iter().copied().chain([rows]);
            let group = |(begin, end)| group(first, &[batch.slice(begin, end - begin)], self.cut && end == rows);
            return begins.zip(ends).map(group).collect();
        }
        let whole: Vec<RecordBatch> = batches.into_iter().cloned().collect();
        Ok(vec![group(first, &whole, self.cut)?])
    }

    /// Takes what its groups gave, as if its batches were run one after the other.
    fn take(self, unit: &mut Unit<'_, '_>, given: Vec<Embedded>, (entry, here): (&FileEntry, &str)) -> Result<()> {
        let one = self.waiting.len() == 1;
        let mut refused: Vec<Vec<Reject>> = vec![vec![]; if one { 1 } else { 0 }];
        let mut rest = vec![];
        for Embedded { refused: all, rows, rejects, events } in given {
            for batch in all {
                let batch = batch.into_iter().map(Reject::from);
                if one { refused[0].extend(batch) } else { refused.push(batch.collect()) }
            }
            rest.push((rows, rejects, events));
        }
        for (waiting, refused) in self.waiting.into_iter().zip(refused) {
            let rows = waiting.batch.num_rows() as u64 + waiting.rejects.len() as u64;
            unit.read((rows, here), entry, waiting.rejects)?;
            unit.summary.progress.bytes_read = waiting.bytes_read;
            unit.keep_rejects(&refused)?;
        }
        for (rows, rejects, events) in rest {
            unit.encoded(events);
            records::unpack(&rows)?.into_iter().try_for_each(|rows| unit.keep(rows))?;
            unit.keep_rejects(&rejects.into_iter().map(Reject::from).collect::<Vec<_>>())?;
            unit.step()?;
        }
        Ok(())
    }
}

/// A group of these batches; `first` is the number of its first record, and then of the one behind it.
fn group(first: &mut u64, batches: &[RecordBatch], ended: bool) -> Result<Records> {
    let group = Records { first: *first, rows: records::pack(batches)?, ended };
    for batch in batches {
        for row in 0..batch.num_rows() {
            *first += u64::from(last(batch, row)?);
        }
    }
    // The record that is cut off has its number, too.
    *first += u64::from(ended);
    Ok(group)
}

/// Whether a row is the last one of its record.
fn last(batch: &RecordBatch, row: usize) -> Result<bool> {
    let column = batch.column_by_name("last").and_then(|column| column.as_boolean_opt());
    let column = column.ok_or_else(|| crate::Error::Rows("a column 'last' of type Boolean is needed".into()))?;
    Ok(column.value(row))
}

/// Bases in a row.
fn bases_of(batch: &RecordBatch, row: usize) -> usize {
    let column = batch.column_by_name("sequence").and_then(|column| column.as_string_opt::<i32>());
    column.filter(|column| column.is_valid(row)).map_or(0, |column| column.value(row).len())
}
