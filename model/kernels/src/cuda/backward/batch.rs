//! A packed batch on the card.

use cudarc::driver::{CudaSlice, DevicePtr};

use super::{TrainingError, args};
use crate::cuda::Gpu;

/// Tokens from one kept h to the next, as in `backward_scan.cuh`.
pub(super) const CHUNK: usize = 8;
/// Parts that a batch is cut into for the scan, about, and the fewest tokens of one.
const PARTS: usize = 256;
const PART_TOKENS: usize = 64;
/// Tokens that are summed in one go for the embedding's gradient.
const SUMMED: usize = 64;
/// The most tokens of a batch: products' grids end there.
pub(super) const MOST_TOKENS: usize = 1 << 22;

/// Sequences packed end to end, as the kernels see them. What it has depends on the offsets and the tokens alone, and so
/// does the order of all sums.
pub(super) struct Batch {
    pub tokens: usize,
    pub sequences: usize,
    /// Kept h of all sequences.
    pub kept: usize,
    pub parts: usize,
    offsets: CudaSlice<i32>,
    kept_offsets: CudaSlice<i32>,
    part_offsets: CudaSlice<i32>,
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
    pub fn new(gpu: &Gpu, offsets: &[usize], tokens: usize) -> Result<Self, TrainingError> {
        if offsets.first() != Some(&0) || offsets.last() != Some(&tokens) || !offsets.is_sorted() {
            return Err(TrainingError::Input(format!("offsets must grow from 0 to the number of tokens, {tokens}")));
        }
        if tokens > MOST_TOKENS || offsets.len() > MOST_TOKENS {
            return Err(TrainingError::Input(format!("{tokens} tokens in a batch: {MOST_TOKENS} are the most")));
        }
        let (kept_offsets, part_offsets) = (kept_offsets(offsets), parts(offsets));
        Ok(Self {
            tokens,
            sequences: offsets.len() - 1,
            kept: kept_offsets[offsets.len() - 1],
            parts: part_offsets.len() - 1,
            offsets: upload(gpu, offsets)?,
            kept_offsets: upload(gpu, &kept_offsets)?,
            part_offsets: upload(gpu, &part_offsets)?,
            begins: gpu.zeros("a batch", tokens.max(1))?,
            ends: gpu.zeros("a batch", tokens.max(1))?,
            ids: None,
        })
    }

    /// As the scan takes it.
    pub fn argument(&self, gpu: &Gpu) -> args::Batch {
        let address = |values: &CudaSlice<i32>| values.device_ptr(gpu.stream()).0;
        let [offsets, kept_offsets, parts] = [&self.offsets, &self.kept_offsets, &self.part_offsets].map(address);
        args::Batch { offsets, kept_offsets, parts }
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
        let [ids, order, cuts, rows] = [ids, order, cuts, rows].map(|values| upload(gpu, &values));
        Ok(Self { ids: ids?, order: order?, cuts: cuts?, rows: rows?, pieces })
    }
}

/// Where each sequence's kept h begin: one before every CHUNK tokens but the first.
fn kept_offsets(offsets: &[usize]) -> Vec<usize> {
    let mut kept = vec![0];
    for pair in offsets.windows(2) {
        kept.push(kept[kept.len() - 1] + (pair[1] - pair[0]).saturating_sub(1) / CHUNK);
    }
    kept
}

/// Runs of whole sequences with about as many tokens each: sequence numbers, from 0 to all.
fn parts(offsets: &[usize]) -> Vec<usize> {
    let (sequences, tokens) = (offsets.len() - 1, offsets[offsets.len() - 1]);
    let part = tokens.div_ceil(PARTS).max(PART_TOKENS);
    let mut parts = vec![0];
    for i in 0..sequences {
        if offsets[i + 1] - offsets[parts[parts.len() - 1]] >= part || i + 1 == sequences {
            parts.push(i + 1);
        }
    }
    parts
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

fn upload(gpu: &Gpu, values: &[usize]) -> Result<CudaSlice<i32>, TrainingError> {
    let mut narrow: Vec<i32> = values.iter().map(|&value| i32::try_from(value).unwrap_or(i32::MAX)).collect();
    if narrow.is_empty() {
        narrow.push(0); // the card gives no memory of no bytes
    }
    Ok(gpu.upload("a batch", &narrow)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_runs_of_whole_sequences() {
        for lengths in
            [vec![], vec![0, 0], vec![1, 2, 3, 65, 130], vec![1; 50_000], vec![10_000, 1, 0, 7], vec![512; 64]]
        {
            let mut offsets = vec![0];
            lengths.iter().for_each(|l| offsets.push(offsets[offsets.len() - 1] + l));
            let parts = parts(&offsets);
            assert_eq!((parts[0], parts[parts.len() - 1]), (0, lengths.len()));
            assert!(parts.is_sorted_by(|a, b| a < b) && parts.len() <= PARTS + 2, "{}", parts.len());
        }
        assert_eq!(kept_offsets(&[0, 0, 1, 9, 18, 34]), [0, 0, 0, 0, 1, 2]);
    }

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
