//! A packed batch on the card.

use cudarc::driver::{CudaSlice, DevicePtr};

use super::{
    TrainingError, args,
    launch::{Scanned, int},
    layer::Sizes,
    segments::Segments,
};
use crate::cuda::Gpu;

/// Tokens from one kept h to the next, as in `backward_scan.cuh`.
pub(super) const CHUNK: usize = 8;
/// Tokens that are summed in one go for the embedding's gradient.
const SUMMED: usize = 64;
/// The most tokens of a batch: products' grids end there.
pub(super) const MOST_TOKENS: usize = 1 << 22;

/// Sequences packed end to end, as the kernels see them. What it has depends on the offsets, the tokens and the shape alone,
/// and so does the order of all sums.
pub(super) struct Batch {
    pub tokens: usize,
    pub sequences: usize,
    /// `[sequences + 1]`
    pub offsets: CudaSlice<i32>,
    segments: Segments,
    segment_offsets: CudaSlice<i32>,
    kept: CudaSlice<i32>,
    parts: CudaSlice<i32>,
    joints: CudaSlice<i32>,
    chained: CudaSlice<i32>,
    pub begins: CudaSlice<i32>,
    pub ends: CudaSlice<i32>,
    pub ids: Option<Ids>,
}

/// The tokens of a batch, and how their gradients are summed.
pub(super) struct Ids {
    /// `[t]`
    pub ids: CudaSlice<i32>,
    /// Token numbers sorted by id, `[t]`.
    pub order: CudaSlice<i32>,
    /// Pieces of the order that have one id each, `[pieces + 1]`.
    pub cuts: CudaSlice<i32>,
    /// The pieces of each id, `[vocab + 1]`.
    pub rows: CudaSlice<i32>,
    pub pieces: usize,
}

impl Batch {
    /// # Errors
    /// When the offsets do not grow from 0 to `tokens`, those are too many, or the card refuses.
    ///
    /// blocks: of channels, that a part of the scan has.
    pub fn new(gpu: &Gpu, offsets: &[usize], (tokens, blocks): (usize, usize)) -> Result<Self, TrainingError> {
        if offsets.first() != Some(&0) || offsets.last() != Some(&tokens) || !offsets.is_sorted() {
            return Err(TrainingError::Input(format!("offsets must grow from 0 to the number of tokens, {tokens}")));
        }
        if tokens > MOST_TOKENS || offsets.len() > MOST_TOKENS {
            return Err(TrainingError::Input(format!("{tokens} tokens in a batch: {MOST_TOKENS} are the most")));
        }
        let segments = Segments::new(offsets, blocks);
        let sizes = |values: &[usize]| values.iter().map(|&value| int(value)).collect::<Vec<_>>();
        let joints: Vec<i32> = segments.joints.iter().map(|joint| joint.map_or(-1, int)).collect();
        let chained: Vec<i32> = segments.chained.iter().map(|&chained| i32::from(chained)).collect();
        Ok(Self {
            tokens,
            sequences: offsets.len() - 1,
            offsets: upload(gpu, sizes(offsets))?,
            segment_offsets: upload(gpu, sizes(&segments.offsets))?,
            kept: upload(gpu, sizes(&segments.kept))?,
            parts: upload(gpu, sizes(&segments.parts))?,
            joints: upload(gpu, joints)?,
            chained: upload(gpu, chained)?,
            segments,
            begins: gpu.zeros("a batch", tokens.max(1))?,
            ends: gpu.zeros("a batch", tokens.max(1))?,
            ids: None,
        })
    }

    pub fn sizes(&self) -> Sizes {
        let Segments { kept, parts, chained, .. } = &self.segments;
        let pieces = self.ids.as_ref().map_or(0, |ids| ids.pieces);
        let kept = kept[kept.len() - 1];
        Sizes { tokens: self.tokens, kept, parts: parts.len() - 1, joints: chained.len(), pieces }
    }

    /// As the scan takes it.
    pub fn scanned(&self, gpu: &Gpu) -> Scanned {
        let address = |values: &CudaSlice<i32>| values.device_ptr(gpu.stream()).0;
        let [offsets, kept_offsets, parts] = [&self.segment_offsets, &self.kept, &self.parts].map(address);
        let batch = args::Batch { offsets, kept_offsets, parts, joints: address(&self.joints) };
        let Sizes { parts, joints, .. } = self.sizes();
        Scanned { batch, parts, joints, chained: address(&self.chained) }
    }
}

impl Ids {
    /// # Errors
    /// When an id is outside the vocabulary, or the card refuses.
    pub fn new(gpu: &Gpu, ids: &[u32], vocab: usize) -> Result<Self, TrainingError> {
        if let Some(id) = ids.iter().find(|&&id| id as usize >= vocab) {
            return Err(TrainingError::Input(format!("token {id} is outside the vocabulary of {vocab}")));
        }
        let (order, cuts, rows) = sorted(ids, vocab);
        let ids: Vec<usize> = ids.iter().map(|&id| id as usize).collect();
        let pieces = cuts.len() - 1;
        let narrow = |values: Vec<usize>| upload(gpu, values.into_iter().map(int).collect());
        let [ids, order, cuts, rows] = [ids, order, cuts, rows].map(narrow);
        Ok(Self { ids: ids?, order: order?, cuts: cuts?, rows: rows?, pieces })
    }
}

/// Token numbers by id, in order; pieces of at most SUMMED of one id; each id's pieces.
fn sorted(ids: &[u32], vocab: usize) -> (Vec<usize>, Vec<usize>, Vec<usize>) {
    let mut ends = vec![0; vocab + 1];
    ids.iter().for_each(|&id| ends[id as usize + 1] += 1);
    (0..vocab).for_each(|id| ends[id + 1] += ends[id]);
    let mut next = ends.clone();
    let mut order = vec![0; ids.len()];
    for (token, &id) in ids.iter().enumerate() {
        order[next[id as usize]] = token;
        next[id as usize] += 1;
    }
    let (mut cuts, mut rows) = (vec![0], vec![0]);
    for id in 0..vocab {
        cuts.extend((ends[id]..ends[id + 1]).step_by(SUMMED).map(|first| ends[id + 1].min(first + SUMMED)));
        rows.push(cuts.len() - 1);
    }
    (order, cuts, rows)
}

fn upload(gpu: &Gpu, mut values: Vec<i32>) -> Result<CudaSlice<i32>, TrainingError> {
    if values.is_empty() {
        values.push(0); // the card gives no memory of no bytes
    }
    Ok(gpu.upload("a batch", &values)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_tokens_are_a_stable_sort() {
        let ids: Vec<u32> = (0..1000).map(|i| i * i % 7 + u32::from(i == 500)).collect();
        let (order, cuts, rows) = sorted(&ids, 9);
        let mut expected: Vec<usize> = (0..1000).collect();
        expected.sort_by_key(|&i| ids[i]);
        assert_eq!(order, expected);
        assert_eq!((cuts[cuts.len() - 1], rows.len(), rows[9]), (1000, 10, cuts.len() - 1));
        for id in 0..9 {
            let pieces = &cuts[rows[id]..=rows[id + 1]];
            assert!(pieces.windows(2).all(|piece| piece[0] < piece[1] && piece[1] - piece[0] <= SUMMED));
            assert!(order[pieces[0]..pieces[pieces.len() - 1]].iter().all(|&token| ids[token] as usize == id));
        }
    }
}
