//! A synthetic window: a family is drawn, and what is done to its values afterwards.

use super::{
    business, chaos, compose, counts,
    draws::Draws,
    noise, regimes, trend,
    vector::{add, moments, standardise},
};

/// Windows up to here are mostly of business series.
const SHORT_VALUES: usize = 1100;
/// No value is further from zero.
const LIMIT: f32 = 1e6;

/// Where values come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Composed,
    Business,
    Regimes,
    Intermittent,
    Chaotic,
    Price,
    Held,
}

impl Family {
    /// The shares of the families, for a window of `len` values.
    fn draw(d: &mut Draws, len: usize) -> Self {
        let business = if len <= SHORT_VALUES { 0.46 } else { 0.12 };
        let mut at = d.unit();
        for (family, share) in [
            (Self::Business, business),
            (Self::Regimes, 0.035),
            (Self::Intermittent, 0.03),
            (Self::Chaotic, 0.02),
            (Self::Price, 0.03),
            (Self::Held, 0.015),
        ] {
            if at < share {
                return family;
            }
            at -= share;
        }
        Self::Composed
    }

    fn fill(self, d: &mut Draws, x: &mut [f32]) {
        match self {
            Self::Composed => compose::composed(d, x),
            Self::Business => business::business(d, x),
            Self::Regimes => regimes::regimes(d, x),
            Self::Intermittent => counts::intermittent(d, x),
            Self::Chaotic => chaos::chaotic(d, x),
            Self::Price => trend::price(d, x),
            Self::Held => held(d, x),
        }
    }
}

/// Fills a window.
pub(super) fn fill(d: &mut Draws, x: &mut [f32]) {
    let family = Family::draw(d, x.len());
    family.fill(d, x);
    if d.chance(0.15) {
        mix(d, x);
    }
    // Business figures and demand grow upwards, forwards in time and seldom have walls.
    if matches!(family, Family::Composed | Family::Regimes | Family::Chaotic) {
        if d.chance(0.1) {
            x.reverse();
        }
        if d.chance(0.08) {
            x.iter_mut().for_each(|v| *v = -*v);
        }
        if d.chance(0.1) {
            clip(d, x);
        }
    }
    if d.chance(0.08) {
        round(d, x);
    }
    if d.chance(0.03) {
        stay(d, x);
    }
    if d.chance(0.05) {
        outliers(d, x);
    }
    place(d, x);
}

/// A mean with a second series, both standardised.
fn mix(d: &mut Draws, x: &mut [f32]) {
    let mut other = d.take(x.len());
    Family::draw(d, x.len()).fill(d, &mut other);
    standardise(x);
    standardise(&mut other);
    let share = d.unit();
    x.iter_mut().for_each(|v| *v *= share);
    add(x, &other, 1.0 - share);
    d.give(other);
}

/// Walls: nothing below a floor (as of sunshine at night), or above a ceiling.
fn clip(d: &mut Draws, x: &mut [f32]) {
    let (mean, deviation) = moments(x);
    let wall = mean + deviation * if d.chance(0.5) { d.uniform(-1.6, -0.8) } else { d.uniform(-0.8, 0.7) };
    if d.chance(0.75) {
        x.iter_mut().for_each(|v| *v = v.max(wall));
    } else {
        let wall = 2.0 * mean - wall;
        x.iter_mut().for_each(|v| *v = v.min(wall));
    }
}

/// Rounds to a step of 0.02 to 0.5 deviations.
fn round(d: &mut Draws, x: &mut [f32]) {
    let step = moments(x).1 * d.log_uniform(0.02, 0.5);
    if step > 0.0 {
        x.iter_mut().for_each(|v| *v = (*v / step).round() * step);
    }
}

/// Holds a value: before a start (a launch), from an end on, or for some runs (a stuck sensor).
fn stay(d: &mut Draws, x: &mut [f32]) {
    let (kind, len) = (d.unit(), x.len());
    if kind < 0.35 {
        let start = d.below(len);
        let value = if d.chance(0.7) { x[..=start].iter().copied().fold(f32::MAX, f32::min) } else { x[start] };
        x[..start].fill(value);
    } else if kind < 0.45 {
        let end = d.below(len);
        let value = x[end];
        x[end..].fill(value);
    } else {
        for _ in 0..=d.below(2 + len / 1000) {
            let (from, run) = (d.below(len), d.log_uniform(2.0, 100.0) as usize);
            let value = x[from];
            x[from..(from + run).min(len)].fill(value);
        }
    }
}

/// Single values far off, of one sign or both.
fn outliers(d: &mut Draws, x: &mut [f32]) {
    let (rate, size) = (d.log_uniform(0.001, 0.02), moments(x).1 * d.log_uniform(3.0, 20.0));
    let (sign, both) = (d.sign(), d.chance(0.4));
    let mut at = d.gap(rate) - 1;
    while at < x.len() {
        let sign = if both { d.sign() } else { sign };
        x[at] += sign * size * (0.5 * d.normal()).exp();
        at += d.gap(rate);
    }
}

/// Values that stay: steps at random times to new levels, a switch, or one level for ever.
fn held(d: &mut Draws, x: &mut [f32]) {
    let (rate, kind) = (d.log_uniform(2.0 / x.len() as f32, 0.2), d.unit());
    let levels = [d.normal(), d.normal()];
    let (mut level, mut until) = (levels[0], if kind > 0.92 { usize::MAX } else { d.gap(rate) });
    let mut state = 0;
    for (t, v) in x.iter_mut().enumerate() {
        if t == until {
            state = 1 - state;
            level = match () {
                () if kind < 0.5 => level + d.normal(),
                () if kind < 0.7 => d.normal(),
                () => levels[state],
            };
            until += d.gap(rate);
        }
        *v = level;
    }
    if d.chance(0.2) {
        let (mut errors, size) = (d.take(x.len()), d.log_uniform(0.003, 0.1));
        noise::noise(d, &mut errors);
        add(x, &errors, size);
        d.give(errors);
    }
    if d.chance(0.15) {
        let mut slow = d.take(x.len());
        trend::trend(d, &mut slow);
        add(x, &slow, 1.0);
        d.give(slow);
    }
}

/// Gives half of the windows a unit and a zero of their own, and makes all values finite.
fn place(d: &mut Draws, x: &mut [f32]) {
    let (scale, offset) = if d.chance(0.5) {
        let scale = (2.0 * d.normal()).clamp(-6.0, 6.0).exp();
        (scale, if d.chance(0.5) { scale * moments(x).1 * d.uniform(-30.0, 30.0) } else { 0.0 })
    } else {
        (1.0, 0.0)
    };
    for v in x {
        let placed = *v * scale + offset;
        *v = if placed.is_finite() { placed.clamp(-LIMIT, LIMIT) } else { 0.0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_occur_in_their_shares() {
        let mut d = Draws::new(1);
        let mut share = |family, len| {
            let drawn = (0..20_000).filter(|_| Family::draw(&mut d, len) == family).count();
            drawn as f32 / 20_000.0
        };
        for (family, len, expected) in [
            (Family::Business, 192, 0.46),
            (Family::Business, 2112, 0.12),
            (Family::Composed, 192, 0.41),
            (Family::Composed, 2112, 0.75),
            (Family::Regimes, 2112, 0.035),
            (Family::Intermittent, 2112, 0.03),
            (Family::Chaotic, 2112, 0.02),
            (Family::Price, 2112, 0.03),
            (Family::Held, 192, 0.015),
        ] {
            let got = share(family, len);
            assert!((got - expected).abs() < 0.015, "{family:?} of {len}: {got}");
        }
    }

    #[test]
    fn outliers_stand_out() {
        let mut d = Draws::new(2);
        for _ in 0..50 {
            let mut x: Vec<f32> = (0..3000).map(|t| (t as f32 * 0.7).sin()).collect();
            let before = x.clone();
            outliers(&mut d, &mut x);
            let moved = x.iter().zip(&before).filter(|(a, b)| a != b).count();
            assert!(moved < 120, "{moved}");
        }
    }

    #[test]
    fn held_values_mostly_stay() {
        let mut d = Draws::new(3);
        let mut stays = 0;
        for _ in 0..200 {
            let mut x = vec![0.0; 400];
            held(&mut d, &mut x);
            stays += usize::from(x.windows(2).filter(|w| w[0] == w[1]).count() > 300);
        }
        assert!(stays > 110, "{stays} of 200");
    }

    #[test]
    fn any_window_is_finite_and_most_vary() {
        let mut d = Draws::new(4);
        let (mut vary, mut all) = (0, 0);
        for len in [1, 2, 3, 17, 80, 192, 640, 2112, 5000] {
            for _ in 0..(20_000 / (len + 200)) {
                let mut x = vec![0.0; len];
                fill(&mut d, &mut x);
                assert!(x.iter().all(|v| v.is_finite() && v.abs() <= LIMIT), "{len}");
                let (mean, deviation) = moments(&x);
                if len > 60 {
                    all += 1;
                    vary += usize::from(deviation > 1e-5 * mean.abs());
                }
            }
        }
        assert!(vary * 100 > 97 * all, "{vary} of {all}");
    }
}
