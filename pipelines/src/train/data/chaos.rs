//! Chaotic systems, standardised: what looks random and is not.

use super::{
    draws::Draws,
    vector::{add, standardise},
};

/// A logistic map, a Mackey-Glass equation or a Lorenz system, in some with noise on top.
pub(super) fn chaotic(d: &mut Draws, x: &mut [f32]) {
    match d.below(3) {
        0 => logistic_map(d, x),
        1 => mackey_glass(d, x),
        _ => lorenz(d, x),
    }
    standardise(x);
    if d.chance(0.5) {
        let (mut errors, size) = (d.take(x.len()), d.log_uniform(0.01, 0.4));
        d.normals(&mut errors);
        add(x, &errors, size);
        d.give(errors);
    }
}

/// `x' = r x (1 - x)`; in f64, where it does not fall into a cycle within any window.
fn logistic_map(d: &mut Draws, x: &mut [f32]) {
    let (rate, mut state) = (f64::from(d.uniform(3.57, 4.0)), f64::from(d.uniform(0.1, 0.9)));
    for _ in 0..30 {
        state *= rate * (1.0 - state);
    }
    for v in x {
        state *= rate * (1.0 - state);
        *v = state as f32;
    }
}

/// `x' = 0.2 x(t - tau) / (1 + x(t - tau)^10) - 0.1 x`, in steps of a half, every so manieth one.
fn mackey_glass(d: &mut Draws, x: &mut [f32]) {
    let (delay, every) = (2 * (17 + d.below(14)), 1 + d.below(8));
    let mut past = d.take(delay);
    past.fill_with(|| d.uniform(0.6, 1.3));
    let (mut now, mut at) = (1.0_f32, 0);
    let mut step = || {
        let then = std::mem::replace(&mut past[at], now);
        at = if at + 1 == delay { 0 } else { at + 1 };
        let (square, fourth) = (then * then, (then * then) * (then * then));
        now += 0.5 * (0.2 * then / (1.0 + fourth * fourth * square) - 0.1 * now);
        now
    };
    for _ in 0..10 * delay {
        step();
    }
    for v in x {
        for _ in 1..every {
            step();
        }
        *v = step();
    }
    d.give(past);
}

/// One coordinate of the Lorenz system, by the midpoint rule.
fn lorenz(d: &mut Draws, x: &mut [f32]) {
    let (step, every, coordinate) = (d.uniform(0.004, 0.02), 1 + d.below(5), d.below(3));
    let slopes = |[x, y, z]: [f32; 3]| [10.0 * (y - x), x * (28.0 - z) - y, x * y - 8.0 / 3.0 * z];
    let moved = |s: [f32; 3], k: [f32; 3], h: f32| [s[0] + h * k[0], s[1] + h * k[1], s[2] + h * k[2]];
    let next = |s: [f32; 3]| moved(s, slopes(moved(s, slopes(s), 0.5 * step)), step);
    let mut state = [d.uniform(-8.0, 8.0), d.uniform(-8.0, 8.0), d.uniform(15.0, 30.0)];
    for _ in 0..500 {
        state = next(state);
    }
    for v in x {
        for _ in 0..every {
            state = next(state);
        }
        *v = state[coordinate];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::data::vector::moments;

    #[test]
    fn orbits_stay_on_their_attractors() {
        let mut d = Draws::new(1);
        let mut x = vec![0.0; 5000];
        for round in 0..30 {
            logistic_map(&mut d, &mut x);
            assert!(x.iter().all(|v| (0.0..=1.0).contains(v)), "{round}");
            mackey_glass(&mut d, &mut x);
            assert!(x.iter().all(|v| (0.05..2.0).contains(v)), "{round}");
            lorenz(&mut d, &mut x);
            assert!(x.iter().all(|v| (-40.0..60.0).contains(v)), "{round}");
            let (_, deviation) = moments(&x);
            assert!(deviation > 1.0, "{round}: {deviation}");
        }
    }
}
