//! The index beside a BAM, VCF or BCF file: BAI, TBI or CSI, and the parts of the file that it names.

use std::{io::Read, path::PathBuf};

use noodles::{
    bam::bai,
    bgzf,
    csi::{self, BinningIndex},
    tabix,
};

use super::{
    index_layout,
    input::{Chunks, Input, beside, read_whole},
    region,
};
use crate::{Error, Place, Result};

/// A kind of index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bai,
    Csi,
    Tbi,
}

/// An index that was read.
pub(crate) struct Index {
    index: Box<dyn BinningIndex>,
    path: PathBuf,
    /// The command that makes it.
    tool: &'static str,
}

impl Kind {
    fn extension(self) -> &'static str {
        match self {
            Self::Bai => "bai",
            Self::Csi => "csi",
            Self::Tbi => "tbi",
        }
    }

    fn parse(self, bytes: &[u8]) -> Result<Box<dyn BinningIndex>, String> {
        let text = |error: std::io::Error| error.to_string();
        Ok(match self {
            Self::Bai => {
                index_layout::check_bai(bytes)?;
                Box::new(bai::io::Reader::new(bytes).read_index().map_err(text)?)
            }
            Self::Csi => {
                index_layout::check_csi(&inflated(bytes)?)?;
                Box::new(csi::io::Reader::new(bytes).read_index().map_err(text)?)
            }
            Self::Tbi => {
                index_layout::check_tbi(&inflated(bytes)?)?;
                Box::new(tabix::io::Reader::new(bytes).read_index().map_err(text)?)
            }
        })
    }
}

fn inflated(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut plain = vec![];
    bgzf::io::Reader::new(bytes).read_to_end(&mut plain).map_err(|e| e.to_string())?;
    Ok(plain)
}

impl Index {
    /// Reads the first index of these kinds that is there: `FILE.csi` and so on; a BAI may also lack the file's own extension.
    /// `tool` is the command that makes them.
    ///
    /// # Errors
    /// When there is none, or it is damaged.
    pub(crate) fn read(input: &Input, kinds: &[Kind], tool: &'static str) -> Result<Self> {
        let mut places: Vec<(Kind, PathBuf)> =
            kinds.iter().map(|kind| (*kind, beside(input.path(), kind.extension()))).collect();
        if kinds.contains(&Kind::Bai) {
            places.push((Kind::Bai, input.path().with_extension("bai")));
        }
        for (kind, path) in places {
            let Some(bytes) = read_whole(&path)? else { continue };
            return match kind.parse(&bytes) {
                Ok(index) => Ok(Self { index, path, tool }),
                Err(reason) => {
                    let problem = format!("the index is damaged ({reason}): make it with `{tool}`");
                    Err(Error::Invalid { path, place: Place::Whole, problem })
                }
            };
        }
        let extensions: Vec<_> = kinds.iter().map(|kind| format!(".{}", kind.extension())).collect();
        Err(input.request(format!("a region needs an index, {}: make it with `{tool}`", extensions.join(" or "))))
    }

    /// What it says of itself.
    pub(crate) fn get(&self) -> &dyn BinningIndex {
        &*self.index
    }

    /// The parts of the file that may hold records of bases `start..end` (0-based) of a reference.
    ///
    /// # Errors
    /// When the index does not know the reference, or reaches less far.
    pub(crate) fn chunks(&self, reference: usize, (start, end): (u64, u64)) -> Result<Chunks> {
        let tool = self.tool;
        let invalid = |problem| Error::Invalid { path: self.path.clone(), place: Place::Whole, problem };
        if self.index.reference_sequences().nth(reference).is_none() {
            return Err(invalid(format!(
                "the index does not know this reference: it is another file's; make it with `{tool}`"
            )));
        }
        let chunks = self.index.query(reference, region::interval(start, end)).map_err(|source| {
            invalid(format!("the index does not reach the region ({source}): make a CSI with `{tool} -c`"))
        })?;
        Ok(Chunks::new(chunks))
    }
}
