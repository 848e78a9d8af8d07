//! NAB's scoring: what detections are worth, the threshold that suits the corpus best, and the scale from 0 to 100.

use super::File;

/// What right and wrong detections are worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Profile {
    /// Its name.
    pub name: &'static str,
    /// Of a window that is found at its start.
    pub found: f64,
    /// What a window costs that is not found.
    pub missed: f64,
    /// What a detection costs far from any window.
    pub false_alarm: f64,
}

/// NAB's three profiles, in the order of its scoreboard.
pub const PROFILES: [Profile; 3] = [
    Profile { name: "standard", found: 1.0, missed: 1.0, false_alarm: 0.11 },
    Profile { name: "reward low FP", found: 1.0, missed: 1.0, false_alarm: 0.22 },
    Profile { name: "reward low FN", found: 1.0, missed: 2.0, false_alarm: 0.11 },
];

/// A detector's result under a profile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scores {
    /// From what score on a value is a detection; above all of them where it is best to detect nothing.
    pub threshold: f64,
    /// 0: as good as detecting nothing; 100: every window found at its first row, and nothing else.
    pub normalized: f64,
    /// Windows that were found, and windows in all.
    pub found: (usize, usize),
    /// Detections outside of windows.
    pub false_alarms: usize,
}

/// A value that counts.
struct Point {
    score: f64,
    /// Its window, of all files'; `None` outside.
    window: Option<usize>,
    /// What its detection is worth.
    worth: f64,
}

/// Scores a detector: `scores` holds a score for each value of each file, greater for what is odder.
///
/// The threshold is the one that is best for the whole corpus under the profile, as NAB's optimiser chooses it.
#[must_use]
pub fn score(files: &[File], scores: &[Vec<f64>], profile: &Profile) -> Scores {
    let (mut points, mut windows) = (vec![], 0);
    for (file, scores) in files.iter().zip(scores) {
        points.extend(file_points(file, scores, windows, profile));
        windows += file.windows.len();
    }
    points.sort_by(|a: &Point, b: &Point| b.score.total_cmp(&a.score));
    // Windows that no value counts in, since they lie in the probation, can be neither found nor missed.
    let mut best_worths = vec![None; windows];
    points.iter().filter_map(|point| point.window).for_each(|window| best_worths[window] = Some(-profile.missed));
    let null: f64 = best_worths.iter().flatten().sum();
    let mut now = Scores { threshold: f64::INFINITY, normalized: null, found: (0, windows), false_alarms: 0 };
    let mut best = now;
    for same in points.chunk_by(|a, b| a.score == b.score) {
        now.threshold = same[0].score;
        for point in same {
            match point.window {
                None => {
                    now.normalized += point.worth;
                    now.false_alarms += 1;
                }
                Some(window) => {
                    let before = best_worths[window].unwrap_or(-profile.missed);
                    now.found.0 += usize::from(before <= -profile.missed);
                    now.normalized += (point.worth - before).max(0.0);
                    best_worths[window] = Some(point.worth.max(before));
                }
            }
        }
        if now.normalized > best.normalized {
            best = now;
        }
    }
    let perfect = windows as f64 * profile.found;
    Scores { normalized: 100.0 * (best.normalized - null) / (perfect - null), ..best }
}

/// The values of a file that count, those after its probation.
fn file_points(file: &File, scores: &[f64], first_window: usize, profile: &Profile) -> Vec<Point> {
    let mut windows = file.windows.iter().enumerate().peekable();
    let mut before: Option<(usize, usize)> = None;
    let mut points = vec![];
    for (row, &score) in scores.iter().enumerate() {
        while windows.next_if(|(_, window)| window.1 < row).map(|(_, window)| before = Some(*window)).is_some() {}
        let inside = windows.peek().filter(|(_, window)| window.0 <= row);
        let (window, worth) = match inside {
            Some((number, (from, to))) => {
                let place = -((to + 1 - row) as f64) / (to + 1 - from) as f64;
                (Some(first_window + number), profile.found * worth(place) / worth(-1.0))
            }
            None => {
                let past = before.map(|(from, to)| (row - to) as f64 / (to - from) as f64);
                (None, profile.false_alarm * past.map_or(-1.0, worth))
            }
        };
        if row >= file.probation() {
            points.push(Point { score, window, worth });
        }
    }
    points
}

/// What a detection is worth by its place: near 1 where a window begins (-1), 0 at its end, near -1 a window's length after.
fn worth(place: f64) -> f64 {
    if place > 3.0 { -1.0 } else { 2.0 / (1.0 + libm::exp(5.0 * place)) - 1.0 }
}
