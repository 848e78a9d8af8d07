//! Timing one case.

use std::time::Instant;

use unspool_model::encoder::{BackboneState, Encoder, Input, Packed};

use crate::error::{Error, Result};

/// Runs before those that count.
pub(super) const WARM_UP: usize = 3;

/// What the runs took, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) least_ms: f64,
    pub(super) median_ms: f64,
    pub(super) most_ms: f64,
}

/// Times `runs` calls over sequences of these lengths, after a few to warm up. The states go on from call to call, and no
/// hidden row is asked for: a row that leaves the device costs the same whoever made it.
///
/// # Errors
/// When the states do not fit into memory, or the encoder fails.
pub(super) fn time(encoder: &dyn Encoder, lengths: &[usize], runs: usize) -> Result<Times> {
    refuse_too_large(encoder, lengths.len())?;
    let mut offsets = vec![0];
    offsets.extend(lengths.iter().scan(0, |end, length| {
        *end += length;
        Some(*end)
    }));
    let vocab = u32::try_from(encoder.config().vocab).unwrap_or(u32::MAX);
    // Knuth's multiplicative hash: all tokens, in no order.
    let tokens: Vec<u32> =
        (0..lengths.iter().sum()).map(|i: usize| ((i as u32).wrapping_mul(2_654_435_761) >> 16) % vocab).collect();
    let batch = Packed { input: Input::Tokens(&tokens), offsets: &offsets };
    let mut states: Vec<BackboneState> = lengths.iter().map(|_| encoder.fresh()).collect();
    let mut states: Vec<&mut BackboneState> = states.iter_mut().collect();
    let mut times = vec![];
    for run in 0..WARM_UP + runs {
        let start = Instant::now();
        encoder.encode(&batch, &mut states, &[])?;
        if run >= WARM_UP {
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    times.sort_by(f64::total_cmp);
    let median_ms = f64::midpoint(times[(runs - 1) / 2], times[runs / 2]);
    Ok(Times { least_ms: times[0], median_ms, most_ms: times[runs - 1] })
}

/// Refuses more states than half of the memory holds.
fn refuse_too_large(encoder: &dyn Encoder, sequences: usize) -> Result<()> {
    let bytes = sequences as u64 * encoder.config().state_len() as u64 * size_of::<f32>() as u64;
    match available_bytes() {
        Some(free) if bytes > free / 2 => {
            let problem = format!("its states take {} MB, and {} MB of memory are free", bytes >> 20, free >> 20);
            Err(Error::Usage(problem))
        }
        _ => Ok(()),
    }
}

/// Memory that could be had, as Linux says.
fn available_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok().map(|kib: u64| kib << 10)
}
