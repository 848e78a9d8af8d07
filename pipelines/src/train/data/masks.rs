//! What of a window the model sees, and what is asked of it: late starts, gaps, cut and missing patches.

use super::draws::Draws;

/// Of the middle patches of half of the windows, the share that is cut; and in windows of up to [`FEW`] patches, where
/// all patches are near the start of a series.
const CUT: [f32; 2] = [0.05, 0.1];
/// The share of windows that miss a run of patches up to their end, likewise.
const MISSING_END: [f32; 2] = [0.14, 0.28];
/// Short windows have up to so many patches.
const FEW: usize = 16;
/// The share of windows whose last patch (that with values, before what is missing to the end) is cut.
const LAST_CUT: f32 = 0.6;

/// A window's masks, and how its values fall into patches.
pub(super) struct Masks<'a> {
    pub(super) patch: usize,
    pub(super) patches: usize,
    /// One for each value: whether the model sees it.
    pub(super) observed: &'a mut [bool],
    /// One for each value: whether there is a true value.
    pub(super) known: &'a mut [bool],
}

impl Masks<'_> {
    /// Draws the masks of a window, for `known` as it is in the data. `late`: the probability of a later start.
    pub(super) fn draw(&mut self, d: &mut Draws, late: f32) {
        if d.chance(late) {
            self.start_late(d);
        }
        let seen = self.patch * self.patches;
        self.observed[..seen].copy_from_slice(&self.known[..seen]);
        self.observed[seen..].fill(false);
        self.scatter(d);
        self.gaps(d);
        self.miss(d);
        self.show_something();
    }

    /// Where all that is known was left out, shows the first patch of it.
    fn show_something(&mut self) {
        let seen = self.patch * self.patches;
        if self.observed[..seen].contains(&true) {
            return;
        }
        if let Some(first) = self.known[..seen].iter().position(|&known| known) {
            let patch = first..(first / self.patch + 1) * self.patch;
            self.observed[patch.clone()].copy_from_slice(&self.known[patch]);
        }
    }

    /// Forgets what is before a random value: within the first patch (half of them), or anywhere, where half start with
    /// a patch.
    fn start_late(&mut self, d: &mut Draws) {
        let seen = self.patch * self.patches;
        let start = if d.chance(0.5) {
            d.below(self.patch)
        } else {
            let start = d.below(seen - seen / 16);
            if d.chance(0.5) { start / self.patch * self.patch } else { start }
        };
        self.known[..start].fill(false);
    }

    /// Leaves out values at random, or at fixed places of a calendar (nights, weekends).
    fn scatter(&mut self, d: &mut Draws) {
        let (kind, seen) = (d.unit(), self.patch * self.patches);
        if kind < 0.11 {
            let share = 0.5 * d.unit();
            self.observed[..seen].iter_mut().for_each(|seen| *seen &= !d.chance(share));
        } else if kind < 0.13 {
            let period = d.pick(&[7, 7, 12, 24, 24, 48]);
            let (from, len) = (d.below(period), 1 + d.below(period / 2));
            let missing = |t: usize| (t + from) % period < len;
            self.observed[..seen].iter_mut().enumerate().for_each(|(t, seen)| *seen &= !missing(t));
        }
    }

    /// Leaves out runs of up to 400 values (2,000 in long windows), at most half of the window each.
    fn gaps(&mut self, d: &mut Draws) {
        let seen = self.patch * self.patches;
        let most = 2 + seen / 4096;
        let longest = if seen > 4096 { 7.6 } else { 6.0 };
        for _ in 0..most {
            if d.chance(0.13) {
                let (from, len) = (d.below(seen), d.uniform(0.0, longest).exp() as usize);
                let end = (from + len.min(seen / 2)).min(seen);
                self.observed[from..end].fill(false);
            }
        }
    }

    /// Cuts patches and leaves out whole ones: runs in the middle, and a run to the end, as forecasts beyond the head's
    /// reach feed them.
    fn miss(&mut self, d: &mut Draws) {
        let few = usize::from(self.patches <= FEW);
        if d.chance(0.5) {
            for at in 0..self.patches.saturating_sub(1) {
                if d.chance(CUT[few]) {
                    self.cut(d, at);
                }
            }
        }
        if d.chance(0.07) {
            let len = self.run(d);
            let from = d.below(self.patches + 1 - len);
            self.leave_out(from, from + len);
        }
        let mut last = self.patches;
        if self.ends_early() && d.chance(0.5) {
            last = self.last_with_targets();
        }
        if d.chance(MISSING_END[few]) {
            last = last.saturating_sub(self.run(d)).max(1);
        }
        self.leave_out(last, self.patches);
        if last > 0 && d.chance(LAST_CUT) {
            self.cut(d, last - 1);
        }
    }

    /// Whether nothing is known of the horizon's second half.
    fn ends_early(&self) -> bool {
        let half = self.patch * self.patches + (self.known.len() - self.patch * self.patches) / 2;
        !self.known[half..].contains(&true)
    }

    /// Of a series that ends early: the patches before the last third of it, so that there is something to forecast.
    fn last_with_targets(&self) -> usize {
        let start = self.known.iter().position(|&known| known).unwrap_or(0);
        let end = self.known.iter().rposition(|&known| known).unwrap_or(start);
        ((start + (end - start) * 2 / 3) / self.patch + 1).min(self.patches)
    }

    /// A number of missing patches: up to 48 and half of the window (all but one of a window of up to 32).
    fn run(&self, d: &mut Draws) -> usize {
        let most = if self.patches <= 32 { self.patches - 1 } else { (self.patches / 2).min(48) };
        if most == 0 {
            return 0;
        }
        (d.log_uniform(1.0, most as f32 + 1.0) as usize).clamp(1, most)
    }

    fn leave_out(&mut self, from: usize, to: usize) {
        self.observed[from * self.patch..to * self.patch].fill(false);
    }

    /// Leaves out the end of a patch, all but one value at most.
    fn cut(&mut self, d: &mut Draws, at: usize) {
        if self.patch > 1 {
            let kept = 1 + d.below(self.patch - 1);
            self.observed[at * self.patch + kept..(at + 1) * self.patch].fill(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts over windows: patches, partly filled ones, empty ones; windows whose last patch with values is partly filled.
    fn survey(patches: usize, late: f32) -> [f64; 4] {
        let (mut d, rounds) = (Draws::new(1), if patches > 100 { 600 } else { 3000 });
        let (mut partly, mut empty, mut ends) = (0, 0, 0);
        for _ in 0..rounds {
            let (mut observed, mut known) = (vec![true; patches * 16 + 64], vec![true; patches * 16 + 64]);
            Masks { patch: 16, patches, observed: &mut observed, known: &mut known }.draw(&mut d, late);
            assert!(observed.iter().zip(&known).all(|(o, k)| !o || *k));
            assert!(observed[patches * 16..].iter().all(|o| !o) && observed.contains(&true));
            let counts: Vec<usize> =
                observed.chunks(16).take(patches).map(|p| p.iter().filter(|&&o| o).count()).collect();
            partly += counts.iter().filter(|&&n| (1..16).contains(&n)).count();
            empty += counts.iter().filter(|&&n| n == 0).count();
            ends += usize::from(counts.iter().rev().find(|&&n| n > 0).is_some_and(|&n| n < 16));
        }
        let all = (rounds * patches) as f64;
        [all, partly as f64 / all, empty as f64 / all, f64::from(u32::try_from(ends).unwrap()) / rounds as f64]
    }

    #[test]
    fn most_patches_are_whole_and_most_last_ones_are_not() {
        for (patches, late, partly, empty) in
            [(128, 0.3, 0.12..0.18, 0.05..0.16), (8, 0.3, 0.18..0.3, 0.1..0.25), (1024, 0.0, 0.1..0.16, 0.006..0.05)]
        {
            let [_, got_partly, got_empty, got_ends] = survey(patches, late);
            assert!(partly.contains(&got_partly), "{patches}: {got_partly} partly filled");
            assert!(empty.contains(&got_empty), "{patches}: {got_empty} empty");
            assert!((0.6..0.78).contains(&got_ends), "{patches}: {got_ends} end in a part");
        }
    }

    #[test]
    fn a_window_of_one_patch_or_of_patches_of_one_value_works() {
        let mut d = Draws::new(2);
        for (patch, patches, horizon) in [(16, 1, 64), (1, 1, 1), (1, 300, 4), (5, 2, 0)] {
            for _ in 0..500 {
                let len = patch * patches + horizon;
                let (mut observed, mut known) = (vec![false; len], vec![true; len]);
                Masks { patch, patches, observed: &mut observed, known: &mut known }.draw(&mut d, 1.0);
                assert!(observed.iter().zip(&known).all(|(o, k)| !o || *k));
            }
        }
    }
}
