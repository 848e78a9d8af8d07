//! The small maths of a layer, in f64.

use crate::weights::{Linear, Norm};

/// `W x + b`. x: `[n_in]` → `[n_out]`.
pub fn linear(map: &Linear, x: &[f64]) -> Vec<f64> {
    let rows = map.weight.chunks_exact(map.n_in);
    let y = rows.map(|row| row.iter().zip(x).map(|(&w, x)| f64::from(w) * x).sum::<f64>()); // [n_out]
    match &map.bias {
        Some(bias) => y.zip(bias).map(|(y, &b)| y + f64::from(b)).collect(),
        None => y.collect(),
    }
}

/// `x / rms(x) * w`, or `(x - mean(x)) / deviation(x) * w + b` for a layer norm. x: `[d]` → `[d]`.
pub fn norm(layer_norm: bool, weights: &Norm, eps: f32, x: &[f64]) -> Vec<f64> {
    let mean = if layer_norm { x.iter().sum::<f64>() / x.len() as f64 } else { 0.0 };
    let centred: Vec<f64> = x.iter().map(|x| x - mean).collect(); // [d]
    let scaled = rms_scaled(&centred, eps).into_iter().zip(&weights.weight).map(|(x, &w)| x * f64::from(w)); // [d]
    match &weights.bias {
        Some(bias) => scaled.zip(bias).map(|(x, &b)| x + f64::from(b)).collect(),
        None => scaled.collect(),
    }
}

/// `x / sqrt(mean(x²) + eps)`. x: `[d]` → `[d]`.
pub fn rms_scaled(x: &[f64], eps: f32) -> Vec<f64> {
    let mean_square = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
    let scale = 1.0 / (mean_square + f64::from(eps)).sqrt();
    x.iter().map(|x| x * scale).collect()
}

/// `x * sigmoid(x)`.
pub fn silu(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}

/// `ln(1 + exp(x))`, without overflow and without losing small values.
pub fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// `y * silu(z)`. `[d_in]`, `[d_in]` → `[d_in]`.
pub fn gated(y: &[f64], z: &[f64]) -> Vec<f64> {
    y.iter().zip(z).map(|(y, &z)| y * silu(z)).collect()
}

/// `x + y`. `[d]`, `[d]` → `[d]`.
pub fn add(x: &[f64], y: &[f64]) -> Vec<f64> {
    x.iter().zip(y).map(|(x, y)| x + y).collect()
}
