use super::*;

/// Evenly drawn values between -1 and 1.
fn values(seed: u32, len: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// One channel of the recurrence in f64, as the papers write it. Returns y, `[l]`; h, `[n]`, moves on.
fn reference((a_log, d): (&[f32], f32), tokens: &[Token64], h: &mut [f64]) -> Vec<f64> {
    let step = |token: &Token64| {
        let dt = token.dt.exp().ln_1p();
        let mut y = f64::from(d) * token.x;
        for (j, h) in h.iter_mut().enumerate() {
            *h = (dt * -f64::from(a_log[j]).exp()).exp() * *h + dt * token.x * token.b[j];
            y += *h * token.c[j];
        }
        y * token.z / (1.0 + (-token.z).exp())
    };
    tokens.iter().map(step).collect()
}

struct Token64 {
    dt: f64,
    x: f64,
    z: f64,
    b: Vec<f64>,
    c: Vec<f64>,
}

/// Sequences of the given lengths through the kernel and the reference, from a state that is not zero.
fn check(channels: usize, n: usize, lengths: &[usize]) {
    let (t, width) = (lengths.iter().sum::<usize>(), padded(channels));
    let (a_log, d) = (values(1, channels * n), values(2, channels));
    let (mut dt, x, z, bc) =
        (values(3, t * width), values(4, t * width), values(5, t * width), values(6, t * (2 * n + 3)));
    let scan = Scan::new(&a_log, n, &d);
    let mut states: Vec<Vec<f32>> = lengths.iter().map(|l| values(*l as u32, scan.state_len())).collect();
    let offsets: Vec<usize> = (0..=lengths.len()).map(|i| lengths[..i].iter().sum()).collect();
    let at = |c: usize, j: usize| (c / LANES * n + j) * LANES + c % LANES;
    let wide = |v: &[f32]| v.iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
    let mut expected = vec![vec![0.0; channels]; t];
    let mut expected_states = vec![];
    for (i, state) in states.iter().enumerate() {
        for c in 0..channels {
            let row = |t: usize| Token64 {
                dt: f64::from(dt[t * width + c]),
                x: f64::from(x[t * width + c]),
                z: f64::from(z[t * width + c]),
                b: wide(&bc[t * (2 * n + 3) + 3..][..n]),
                c: wide(&bc[t * (2 * n + 3) + 3 + n..][..n]),
            };
            let tokens: Vec<Token64> = (offsets[i]..offsets[i + 1]).map(row).collect();
            let mut h: Vec<f64> = (0..n).map(|j| f64::from(state[at(c, j)])).collect();
            let y = reference((&a_log[c * n..(c + 1) * n], d[c]), &tokens, &mut h);
            y.iter().enumerate().for_each(|(t, y)| expected[offsets[i] + t][c] = *y);
            expected_states.push(h);
        }
    }
    let isa = Isa::detect().unwrap();
    let mut each: Vec<&mut [f32]> = states.iter_mut().map(|state| &mut state[..]).collect();
    let bc_layout = (2 * n + 3, 3, 3 + n);
    let args = ScanArgs {
        dt: &mut dt,
        x: &x,
        bc: &bc,
        bc_layout,
        z: &z,
        z_stride: width,
        offsets: &offsets,
        states: &mut each,
    };
    scan.forward((isa, &Team::new(2).unwrap()), args);
    for (y, expected) in dt.chunks_exact(width).zip(&expected) {
        for (y, expected) in y.iter().zip(expected) {
            assert!(
                (f64::from(*y) - expected).abs() < 1e-5 * (1.0 + expected.abs()),
                "{y}, {expected} expected, n {n}"
            );
        }
    }
    for (i, h) in expected_states.iter().enumerate() {
        for (j, h) in h.iter().enumerate() {
            let found = f64::from(states[i / channels][at(i % channels, j)]);
            assert!((found - h).abs() < 1e-5 * (1.0 + h.abs()), "state {found}, {h} expected, n {n}");
        }
    }
}

#[test]
fn the_scan_is_the_recurrence() {
    for (channels, n) in [(16, 16), (37, 8), (5, 5), (130, 16), (48, 32), (16, 1)] {
        check(channels, n, &[1, 0, 2, RUN - 1, RUN, RUN + 1, 100]);
    }
}
