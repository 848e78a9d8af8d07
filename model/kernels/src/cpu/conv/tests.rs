use super::*;

#[test]
fn the_convolution_is_its_sum() {
    let value = |i: usize| ((i * 7919 + 13) % 1009) as f32 / 504.5 - 1.0;
    for (channels, k) in [(16, 4), (37, 3), (5, 2), (300, 4), (16, 1), (20, 7)] {
        let lengths = [1, 0, 2, k - 1, k, 50];
        let (t, width) = (lengths.iter().sum::<usize>(), padded(channels));
        let stride = width + 16;
        let (weight, bias): (Vec<f32>, Vec<f32>) =
            ((0..channels * k).map(value).collect(), (0..channels).map(|c| value(c + 5)).collect());
        let x: Vec<f32> = (0..t * stride).map(|i| value(i + 3)).collect();
        let conv = Conv::new(&weight, k, Some(&bias));
        let mut windows: Vec<Vec<f32>> =
            lengths.iter().map(|l| (0..conv.window_len()).map(|i| value(i + l)).collect()).collect();
        let before = windows.clone();
        let offsets: Vec<usize> = (0..=lengths.len()).map(|i| lengths[..i].iter().sum()).collect();
        let mut y = vec![0f32; t * width];
        let mut each: Vec<&mut [f32]> = windows.iter_mut().map(|window| &mut window[..]).collect();
        let args = ConvArgs { x: &x, x_stride: stride, offsets: &offsets, windows: &mut each, y: &mut y };
        conv.forward((Isa::detect().unwrap(), &Team::new(2).unwrap()), args);
        for (i, length) in lengths.iter().enumerate() {
            // the window, then the rows: what the convolution sees
            let seen = |row: usize, c: usize| match row.checked_sub(k - 1) {
                Some(row) => x[(offsets[i] + row) * stride + c],
                None => before[i][row * width + c],
            };
            for c in 0..channels {
                for row in 0..*length {
                    let taps = (0..k).map(|j| f64::from(weight[c * k + j]) * f64::from(seen(row + j, c)));
                    let sum = f64::from(bias[c]) + taps.sum::<f64>();
                    let expected = sum / (1.0 + (-sum).exp());
                    let found = f64::from(y[(offsets[i] + row) * width + c]);
                    assert!((found - expected).abs() < 1e-5, "{found}, {expected} expected, k {k}, row {row}");
                }
                for row in 0..k - 1 {
                    assert_eq!(windows[i][row * width + c], seen(length + row, c), "window, k {k}, length {length}");
                }
            }
        }
    }
}
