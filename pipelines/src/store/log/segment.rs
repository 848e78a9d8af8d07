//! One file of the log: a header, then frames, each written and flushed to the disk as a whole before the next.
//!
//! ```text
//! header   "UNSPLOG1"  first record u64  salt [16]  check [16]
//! frame    "UFRM"  records u32  first record u64  bytes u64  check [16]  { bytes u64, record } × records
//! ```
//!
//! `check` is BLAKE3 keyed by the file's random salt, cut to 16 bytes: so no bytes that a caller sends can pass for a frame. As a
//! frame is begun only when the one before is on the disk, a crash can damage the last frame alone. Damage that
//! has a sound frame behind it is none of a crash.

use std::{
    fs::File,
    hash::{BuildHasher, RandomState},
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::super::{Error, Result, durable::Lsn, error};

const MAGIC: &[u8; 8] = b"UNSPLOG1";
const FRAME: &[u8; 4] = b"UFRM";
/// Bytes of a file's header.
pub(super) const HEADER: usize = 48;
/// Bytes of a frame before its records.
const FRAME_HEADER: usize = 40;

/// What seals the frames of one file.
#[derive(Clone, Copy)]
pub(super) struct Seal([u8; 32]);

impl Seal {
    fn of(salt: &[u8]) -> Self {
        Self(*blake3::hash(salt).as_bytes())
    }

    fn check<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        parts.into_iter().for_each(|part| {
            hasher.update(part);
        });
        let mut check = [0; 16];
        hasher.finalize_xof().fill(&mut check);
        check
    }
}

/// The name of the file whose first record is `first`: names sort as records do.
pub(super) fn name(first: Lsn) -> String {
    format!("{first:020}.log")
}

/// The first record of a file, by its name.
pub(super) fn first_of(path: &Path) -> Option<Lsn> {
    let name = path.file_name()?.to_str()?;
    name.strip_suffix(".log").filter(|digits| digits.len() == 20)?.parse().ok()
}

/// A new file with its header, on the disk, and open for frames.
pub(super) fn create(dir: &Path, first: Lsn) -> io::Result<(File, Seal)> {
    let mut salt = [0; 16];
    for half in salt.chunks_exact_mut(8) {
        half.copy_from_slice(&RandomState::new().hash_one(first).to_le_bytes());
    }
    let seal = Seal::of(&salt);
    let mut header = [&MAGIC[..], &first.to_le_bytes(), &salt].concat();
    header.extend(seal.check([&header[..]]));
    // An earlier try that failed may have left one: it holds no frame.
    let mut file = File::create(dir.join(name(first)))?;
    file.write_all(&header)?;
    file.sync_all()?;
    File::open(dir)?.sync_all()?;
    Ok((file, seal))
}

/// A frame's bytes.
pub(super) fn frame(seal: &Seal, first: Lsn, records: &[Vec<u8>]) -> Vec<u8> {
    let bytes: usize = records.iter().map(|record| 8 + record.len()).sum();
    let mut frame = Vec::with_capacity(FRAME_HEADER + bytes);
    frame.extend_from_slice(FRAME);
    frame.extend_from_slice(&(records.len() as u32).to_le_bytes());
    frame.extend_from_slice(&first.to_le_bytes());
    frame.extend_from_slice(&(bytes as u64).to_le_bytes());
    frame.extend_from_slice(&[0; 16]);
    for record in records {
        frame.extend_from_slice(&(record.len() as u64).to_le_bytes());
        frame.extend_from_slice(record);
    }
    let check = seal.check([&frame[..24], &frame[FRAME_HEADER..]]);
    frame[24..FRAME_HEADER].copy_from_slice(&check);
    frame
}

/// A file that was read.
pub(super) struct Segment {
    pub path: PathBuf,
    pub first: Lsn,
    bytes: Vec<u8>,
    seal: Seal,
}

/// A frame, or what stands where one should.
enum Found<'a> {
    Frame { records: Vec<&'a [u8]>, len: usize },
    Broken(&'static str),
}

impl Segment {
    /// Reads a file and its header; `None` when the header was never written whole (nor any frame, then).
    pub(super) fn read(path: PathBuf, first: Lsn) -> Result<Option<Self>> {
        let bytes = std::fs::read(&path).map_err(|source| Error::io(&path, &source))?;
        let Some((header, _)) = bytes.split_at_checked(HEADER) else { return Ok(None) };
        let seal = Seal::of(&header[16..32]);
        if header[..8] != MAGIC[..] || seal.check([&header[..32]]) != header[32..] {
            if bytes[HEADER..].is_empty() || bytes.iter().all(|byte| *byte == 0) {
                return Ok(None);
            }
            return Err(Error::Damaged { path, offset: 0, problem: "the header is not what was written".into() });
        }
        if header[8..16] != first.to_le_bytes() {
            let problem = "the file's name is not that of its first record: it was renamed".into();
            return Err(Error::Damaged { path, offset: 8, problem });
        }
        Ok(Some(Self { path, first, bytes, seal }))
    }

    /// Calls `take` with each record. Returns the number of the record that comes next, and the file's sound bytes: fewer than it has
    /// if the last frame was not written whole.
    ///
    /// # Errors
    /// [`Error::Damaged`], when a sound frame follows a broken one; what `take` says.
    pub(super) fn each(&self, mut take: impl FnMut(Lsn, &[u8], u64) -> Result<()>) -> Result<(Lsn, u64)> {
        let (mut at, mut lsn) = (HEADER, self.first);
        while at < self.bytes.len() {
            match self.frame(at, lsn) {
                Found::Frame { records, len } => {
                    for record in records {
                        take(lsn, record, at as u64)?;
                        lsn += 1;
                    }
                    at += len;
                }
                Found::Broken(problem) if self.sound_after(at, lsn) => {
                    return Err(self.damaged(at as u64, problem));
                }
                Found::Broken(_) => break,
            }
        }
        Ok((lsn, at as u64))
    }

    /// The file's length in bytes.
    pub(super) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// What seals its frames.
    pub(super) fn seal(&self) -> Seal {
        self.seal
    }

    pub(super) fn damaged(&self, offset: u64, problem: &str) -> Error {
        Error::Damaged { path: self.path.clone(), offset, problem: problem.into() }
    }

    /// The frame at byte `at`, if it is one, sound, and begins with record `lsn`.
    fn frame(&self, at: usize, lsn: Lsn) -> Found<'_> {
        let bytes = &self.bytes[at..];
        let Some((header, rest)) = bytes.split_at_checked(FRAME_HEADER) else { return Found::Broken("a frame is cut") };
        let number = |from: usize| header[from..from + 8].try_into().map_or(0, u64::from_le_bytes);
        if header[..4] != FRAME[..] {
            return Found::Broken("no frame begins here");
        }
        let payload = usize::try_from(number(16)).ok().and_then(|len| rest.get(..len));
        let Some(payload) = payload else { return Found::Broken("a frame is cut") };
        if self.seal.check([&header[..24], payload]) != header[24..] {
            return Found::Broken("a frame's checksum does not fit");
        }
        if number(8) != lsn {
            return Found::Broken("a frame does not follow the one before");
        }
        let (mut records, mut left) = (vec![], payload);
        while let Some((len, rest)) = left.split_first_chunk::<8>() {
            let cut = usize::try_from(u64::from_le_bytes(*len)).ok().and_then(|len| rest.split_at_checked(len));
            let Some((record, rest)) = cut else { return Found::Broken("a record is cut") };
            records.push(record);
            left = rest;
        }
        Found::Frame { records, len: FRAME_HEADER + payload.len() }
    }

    /// Whether a sound frame stands anywhere behind byte `at`.
    fn sound_after(&self, at: usize, lsn: Lsn) -> bool {
        let starts = memchr::memmem::find_iter(&self.bytes[at + 1..], FRAME).map(|found| at + 1 + found);
        starts.into_iter().any(|start| {
            let first = self.bytes.get(start + 8..start + 16).and_then(|first| first.try_into().ok());
            let first = first.map_or(0, u64::from_le_bytes);
            first >= lsn && matches!(self.frame(start, first), Found::Frame { .. })
        })
    }
}

/// The files of a folder's log, by their first records.
pub(super) fn list(dir: &Path) -> Result<Vec<(PathBuf, Lsn)>> {
    let failed = |source: io::Error| Error::io(dir, &source);
    let entries = std::fs::read_dir(dir).map_err(failed)?.collect::<io::Result<Vec<_>>>().map_err(failed)?;
    let mut files: Vec<_> =
        entries.iter().filter_map(|entry| first_of(&entry.path()).map(|first| (entry.path(), first))).collect();
    files.sort_by_key(|(_, first)| *first);
    Ok(files)
}

/// The log's failure, as its callers see it.
pub(super) fn failure(path: &Path, source: &io::Error) -> Error {
    Error::Log { path: path.to_owned(), problem: error::problem(source) }
}
