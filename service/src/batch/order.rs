//! Input whose rows are in no order: how it is sorted, in builds that can.

use std::{fs, io::ErrorKind, path::Path, sync::Arc};

use unspool_pipelines::batch::{BatchJob, OnCorrupt, Sort};

use super::file::{File, OrderFile};
use crate::error::{Error, Result};

/// The folder of what is sorted, in the output's folder.
const FOLDER: &str = "_sorted";

/// How a job's rows are sorted; `None`: they come in the order of time.
///
/// # Errors
/// When this build cannot sort, or settings of sorting stand where nothing is sorted.
pub(super) fn sort(file: &File, output: &Path, on_corrupt: OnCorrupt) -> Result<Option<Arc<dyn Sort>>> {
    let run = &file.run;
    match file.input.order {
        OrderFile::Sort => sorting((run.sort_memory, run.sort_disk), output, on_corrupt).map(Some),
        OrderFile::Time if run.sort_memory.is_some() || run.sort_disk.is_some() => {
            let problem = "run: `sort_memory` and `sort_disk` are of input with `order = \"sort\"`";
            Err(Error::Usage(problem.into()))
        }
        OrderFile::Time => Ok(None),
    }
}

/// Removes what was sorted for a job that is done.
///
/// # Errors
/// When the disk refuses.
pub(super) fn tidy(job: &BatchJob) -> Result<()> {
    let path = job.output.join(FOLDER);
    match fs::remove_dir_all(&path) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(Error::Io { path, source }),
        _ => Ok(()),
    }
}

#[cfg(feature = "sql")]
fn sorting(
    (memory, disk): (Option<usize>, Option<u64>),
    output: &Path,
    on_corrupt: OnCorrupt,
) -> Result<Arc<dyn Sort>> {
    /// Memory of a sort where the file does not say, in bytes.
    const MEMORY: usize = 1 << 30;
    /// Bytes that a sort may spill where the file does not say.
    const DISK: u64 = 1 << 40;
    let (memory, disk) = (memory.unwrap_or(MEMORY), disk.unwrap_or(DISK));
    Ok(Arc::new(unspool_pipelines::sql::FileSort { memory, disk, folder: output.join(FOLDER), on_corrupt }))
}

#[cfg(not(feature = "sql"))]
fn sorting(_: (Option<usize>, Option<u64>), _: &Path, _: OnCorrupt) -> Result<Arc<dyn Sort>> {
    let remedy = "build it with `cargo build --release --features sql`, or sort each series' rows by time";
    Err(Error::Usage(format!("input.order: this program cannot sort: {remedy}")))
}
