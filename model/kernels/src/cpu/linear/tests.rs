use super::*;

/// One chain of fused multiply-adds over k, then the bias.
fn reference(weight: &[f32], bias: Option<&[f32]>, x: &[f32]) -> Vec<f32> {
    let chain = |row: &[f32]| row.iter().zip(x).fold(0f32, |sum, (w, x)| x.mul_add(*w, sum));
    let bias = |o: usize| bias.map_or(0.0, |bias| bias[o]);
    weight.chunks_exact(x.len()).enumerate().map(|(o, row)| chain(row) + bias(o)).collect()
}

fn values(seed: u32, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn every_row_has_the_reference_s_bits_whatever_the_rows_threads_and_instructions() {
    for (n_out, n_in) in [(1, 1), (5, 7), (48, 33), (64, 16), (80, 130), (200, 64)] {
        let (weight, bias, x) = (values(1, n_out * n_in), values(2, n_out), values(3, 29 * n_in));
        let linear = Linear::new(&weight, n_in, Some(&bias));
        for isa in Isa::available() {
            for threads in [1, 3] {
                let team = Team::new(threads).unwrap();
                for rows in [1, 2, 5, 6, 7, 13, 29] {
                    let stride = linear.n_out() + 16;
                    let mut y = vec![1f32; rows * stride];
                    linear.forward((*isa, &team), (&x, n_in), rows, Out { y: &mut y, stride, accumulate: false });
                    for (x, y) in x.chunks_exact(n_in).zip(y.chunks_exact(stride)) {
                        assert_eq!(
                            y[..n_out],
                            reference(&weight, Some(&bias), x),
                            "{n_out} x {n_in}, {rows} rows, {isa}"
                        );
                        assert!(y[n_out..linear.n_out()].iter().all(|v| *v == 0.0), "padding");
                        assert!(y[linear.n_out()..].iter().all(|v| *v == 1.0), "beyond the row");
                    }
                }
            }
        }
    }
}

#[test]
fn accumulating_adds_to_what_is_there() {
    let (weight, x) = (values(4, 16 * 9), values(5, 9));
    let linear = Linear::new(&weight, 9, None);
    let (team, mut y) = (Team::new(1).unwrap(), vec![2f32; 16]);
    linear.forward((Isa::Portable, &team), (&x, 9), 1, Out { y: &mut y, stride: 16, accumulate: true });
    let expected: Vec<f32> = reference(&weight, None, &x).iter().map(|v| 2.0 + v).collect();
    assert_eq!(y, expected);
}
