//! The two sequence mixers, one token a call.
//!
//! Both run the recurrence
//!
//! ```text
//! h = exp(dt A) h + dt B x
//! y = C h + D x
//! ```
//!
//! with dt, B and C computed from the token; they differ in what shares what:
//!
//! | | A | dt | B, C | h |
//! |---|---|---|---|---|
//! | Mamba-1 | `[d_in, n]` | `[d_in]` | `[n]` | `[d_in, n]` |
//! | Mamba-2 | `[heads]` | `[heads]` | `[groups, n]` | `[heads, head_dim, n]` |

use super::maths::{gated, linear, rms_scaled, silu, softplus};
use crate::{
    config::{Config, MixerConfig},
    weights::{Conv, Mixer},
};

/// Mixes one token. u: `[d]`; state: one layer's window `[channels, k - 1]`, then h. Returns `[d]`.
pub fn step(config: &Config, mixer: &Mixer, u: &[f64], state: &mut [f32]) -> Vec<f64> {
    let (window, h) = state.split_at_mut(config.mixer.window_len());
    match config.mixer {
        MixerConfig::Mamba1 { .. } => mamba1(config, mixer, u, (window, h)),
        MixerConfig::Mamba2 { .. } => mamba2(config, mixer, u, (window, h)),
    }
}

/// Source: `Mamba.step` in `mamba_ssm/modules/mamba_simple.py`; dt, B, C norms: `FalconMambaMixer` in transformers.
fn mamba1(config: &Config, mixer: &Mixer, u: &[f64], (window, h): (&mut [f32], &mut [f32])) -> Vec<f64> {
    let (
        MixerConfig::Mamba1 { d_in, n, r, bcdt_norm_eps, .. },
        Mixer::Mamba1 { in_proj, conv, x_proj, dt_proj, a_log, d, out_proj },
    ) = (&config.mixer, mixer)
    else {
        unreachable!("the weights were checked against the configuration")
    };
    let (d_in, n, r) = (*d_in, *n, *r);
    let xz = linear(in_proj, u); // [2 d_in]
    let (x, z) = xz.split_at(d_in); // [d_in], [d_in]
    let x = convolve(conv, x, window); // [d_in]

    let dt_b_c = linear(x_proj, &x); // [r + 2 n]
    let normed = |part: &[f64]| bcdt_norm_eps.map_or(part.to_vec(), |eps| rms_scaled(part, eps));
    let dt = linear(dt_proj, &normed(&dt_b_c[..r])); // [d_in]
    let b = normed(&dt_b_c[r..r + n]); // [n]
    let c = normed(&dt_b_c[r + n..]); // [n]

    let mut y = Vec::with_capacity(d_in); // [d_in]
    for (i, h) in h.chunks_exact_mut(n).enumerate() {
        let dt = softplus(dt[i]);
        let mut sum = f64::from(d[i]) * x[i];
        for j in 0..n {
            let a = -f64::from(a_log[i * n + j]).exp();
            let next = (dt * a).exp() * f64::from(h[j]) + dt * b[j] * x[i];
            sum += c[j] * next;
            h[j] = next as f32;
        }
        y.push(sum);
    }
    linear(out_proj, &gated(&y, z)) // [d]
}

/// Source: `Mamba2.step` in `mamba_ssm/modules/mamba2.py`, `RMSNorm` in `mamba_ssm/ops/triton/layernorm_gated.py`.
fn mamba2(config: &Config, mixer: &Mixer, u: &[f64], (window, h): (&mut [f32], &mut [f32])) -> Vec<f64> {
    let (
        MixerConfig::Mamba2 { d_in, n, heads, head_dim, groups, norm_before_gate, dt_limit, d_per_channel, .. },
        Mixer::Mamba2 { in_proj, conv, dt_bias, a_log, d, norm, out_proj },
    ) = (&config.mixer, mixer)
    else {
        unreachable!("the weights were checked against the configuration")
    };
    let (d_in, n, head_dim, groups) = (*d_in, *n, *head_dim, *groups);
    let z_xbc_dt = linear(in_proj, u); // [2 d_in + 2 groups n + heads]
    let (z, xbc_dt) = z_xbc_dt.split_at(d_in); // [d_in], ..
    let (xbc, dt) = xbc_dt.split_at(d_in + 2 * groups * n); // [d_in + 2 groups n], [heads]
    let xbc = convolve(conv, xbc, window); // [d_in + 2 groups n]
    let (x, bc) = xbc.split_at(d_in); // [heads head_dim], ..
    let (b, c) = bc.split_at(groups * n); // [groups n], [groups n]

    let mut y = Vec::with_capacity(d_in); // [heads head_dim]
    for (i, h) in h.chunks_exact_mut(n).enumerate() {
        let head = i / head_dim;
        let group = head / (heads / groups) * n;
        let (b, c) = (&b[group..][..n], &c[group..][..n]); // [n], [n]
        let dt = softplus(dt[head] + f64::from(dt_bias[head])).clamp(f64::from(dt_limit.0), f64::from(dt_limit.1));
        let a = -f64::from(a_log[head]).exp();
        let mut sum = f64::from(d[if *d_per_channel { i } else { head }]) * x[i];
        for j in 0..n {
            let next = (dt * a).exp() * f64::from(h[j]) + dt * b[j] * x[i];
            sum += c[j] * next;
            h[j] = next as f32;
        }
        y.push(sum);
    }

    let Some(weight) = norm else { return linear(out_proj, &gated(&y, z)) };
    let normed = |y: &[f64]| -> Vec<f64> {
        let scaled = y.chunks_exact(d_in / groups).flat_map(|group| rms_scaled(group, config.norm_eps)); // [d_in]
        scaled.zip(weight).map(|(y, &w)| y * f64::from(w)).collect()
    };
    let y = if *norm_before_gate { gated(&normed(&y), z) } else { normed(&gated(&y, z)) }; // [d_in]
    linear(out_proj, &y) // [d]
}

/// `silu(conv(x))`, causal, one filter a channel; x then enters the window.
///
/// x: `[channels]`; window: `[channels, k - 1]`, oldest first. Returns `[channels]`.
fn convolve(conv: &Conv, x: &[f64], window: &mut [f32]) -> Vec<f64> {
    let k = conv.weight.len() / x.len();
    let filter = |channel: usize| {
        let weight = &conv.weight[channel * k..][..k]; // [k]
        let past = &mut window[channel * (k - 1)..][..k - 1]; // [k - 1]
        let bias = conv.bias.as_ref().map_or(0.0, |bias| f64::from(bias[channel]));
        let seen: f64 = weight.iter().zip(&*past).map(|(&w, &x)| f64::from(w) * f64::from(x)).sum();
        let y = bias + seen + f64::from(weight[k - 1]) * x[channel];
        if k > 1 {
            past.rotate_left(1);
            past[k - 2] = x[channel] as f32;
        }
        silu(y)
    };
    (0..x.len()).map(filter).collect()
}
