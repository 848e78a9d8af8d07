//! The CPU encoder beside candle-transformers and HF transformers, in one run: rates and ratios.
//!
//! `cargo run --release --manifest-path model/benches/peers/Cargo.toml -- [--python PYTHON]`
//!
//! The weights are random, the same for ours and candle-transformers, whose outputs are compared too. PYTHON is an
//! interpreter with torch and transformers; without it HF's columns stay empty.

use std::{collections::HashMap, process::Command, time::Instant};

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::mamba as peer;
use unspool_model::{
    config::Config,
    cpu::{CpuEncoder, CpuOptions},
    encoder::{Encoder, Input, Packed},
    init,
    weights::{Backbone, Mixer},
};

const VOCAB: usize = 256;

struct Shape {
    d: usize,
    layers: usize,
    prefill: usize,
    steps: usize,
}

fn main() -> Result<()> {
    let python = std::env::args().skip_while(|arg| arg != "--python").nth(1);
    println!("{:34} {:>10} {:>10} {:>10} {:>9} {:>9}", "tokens a second", "unspool", "candle", "HF", "/ candle", "/ HF");
    for shape in [
        Shape { d: 768, layers: 24, prefill: 512, steps: 20 },
        Shape { d: 256, layers: 8, prefill: 2048, steps: 200 },
    ] {
        compare(&shape, python.as_deref())?;
    }
    Ok(())
}

fn compare(shape: &Shape, python: Option<&str>) -> Result<()> {
    let config = Config { layers: shape.layers, vocab: VOCAB, ..Config::mamba1(shape.d) };
    let weights = init::scattered(&config, 1)?;
    let candle = Candle::new(shape, &weights)?;
    let ours = CpuEncoder::new(config, &weights, CpuOptions::default())?;
    let tokens: Vec<u32> = (0..shape.prefill as u32).map(|i| (i * i + 7 * i) % VOCAB as u32).collect();
    same_outputs(&ours, &candle, &weights)?;

    let theirs = candle.rate(&tokens, shape.steps)?;
    let hf = python.map(|python| hf(python, shape)).transpose()?;
    let (prefill, step) = (prefill_rate(&ours, &tokens)?, step_rate(&ours, 1, shape.steps)?);
    let name = format!("d={}, {} layers", shape.d, shape.layers);
    row(&format!("{name}: prefill {}", shape.prefill), prefill, Some(theirs), hf.as_ref().map(|hf| hf.0));
    row(&format!("{name}: step, batch 1"), step, Some(theirs), hf.as_ref().map(|hf| hf.1));
    row(&format!("{name}: step, batch 64"), step_rate(&ours, 64, shape.steps)?, None, None);
    Ok(())
}

fn row(name: &str, ours: f64, candle: Option<f64>, hf: Option<f64>) {
    let rate = |rate: Option<f64>| rate.map_or("-".into(), |rate| format!("{rate:.0}"));
    let ratio = |rate: Option<f64>| rate.map_or("-".into(), |rate| format!("{:.1} x", ours / rate));
    let (a, b) = (ratio(candle), ratio(hf));
    println!("{name:34} {ours:>10.0} {:>10} {:>10} {a:>9} {b:>9}", rate(candle), rate(hf));
}

/// Median seconds of `runs` after one to warm up.
fn seconds(runs: usize, mut run: impl FnMut() -> Result<()>) -> Result<f64> {
    run()?;
    let mut times = vec![];
    for _ in 0..runs {
        let start = Instant::now();
        run()?;
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[runs / 2])
}

fn prefill_rate(encoder: &CpuEncoder, tokens: &[u32]) -> Result<f64> {
    let taps = [encoder.config().layers];
    let packed = Packed { input: Input::Tokens(tokens), offsets: &[0, tokens.len()] };
    let seconds = seconds(5, || {
        encoder.encode(&packed, &mut [&mut encoder.fresh()], &taps)?;
        Ok(())
    })?;
    Ok(tokens.len() as f64 / seconds)
}

fn step_rate(encoder: &CpuEncoder, batch: usize, steps: usize) -> Result<f64> {
    let taps = [encoder.config().layers];
    let mut states: Vec<_> = (0..batch).map(|_| encoder.fresh()).collect();
    let (tokens, offsets): (Vec<u32>, Vec<usize>) = ((0..batch as u32).collect(), (0..=batch).collect());
    let seconds = seconds(steps, || {
        let mut states: Vec<_> = states.iter_mut().collect();
        encoder.encode(&Packed { input: Input::Tokens(&tokens), offsets: &offsets }, &mut states, &taps)?;
        Ok(())
    })?;
    Ok(batch as f64 / seconds)
}

/// candle-transformers' Mamba: one token a call, whatever the length.
struct Candle {
    model: peer::Model,
    config: peer::Config,
}

impl Candle {
    fn new(shape: &Shape, weights: &Backbone) -> Result<Self> {
        let config =
            peer::Config { d_model: shape.d, n_layer: shape.layers, vocab_size: VOCAB, pad_vocab_size_multiple: 8 };
        let tensors = tensors(shape, weights)?;
        let model = peer::Model::new(&config, VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu))?;
        Ok(Self { model, config })
    }

    fn step(&self, token: u32, state: &mut peer::State) -> Result<Tensor> {
        Ok(self.model.forward(&Tensor::new(&[token], &Device::Cpu)?, state)?)
    }

    fn fresh(&self) -> Result<peer::State> {
        Ok(peer::State::new(1, &self.config, DType::F32, &Device::Cpu)?)
    }

    fn rate(&self, tokens: &[u32], steps: usize) -> Result<f64> {
        let mut state = self.fresh()?;
        let mut tokens = tokens.iter().cycle();
        let seconds = seconds(steps, || self.step(*tokens.next().context("a token")?, &mut state).map(drop))?;
        Ok(1.0 / seconds)
    }
}

/// The weights under candle-transformers' names.
fn tensors(shape: &Shape, weights: &Backbone) -> Result<HashMap<String, Tensor>> {
    let (d, d_in, n, r) = (shape.d, 2 * shape.d, 16, shape.d.div_ceil(16));
    let mut tensors = HashMap::new();
    let mut put = |name: String, values: &[f32], shape: &[usize]| -> Result<()> {
        tensors.insert(name, Tensor::from_slice(values, shape, &Device::Cpu)?);
        Ok(())
    };
    put("embedding.weight".into(), &weights.embedding, &[VOCAB, d])?;
    put("norm_f.weight".into(), &weights.norm_f.weight, &[d])?;
    for (i, layer) in weights.layers.iter().enumerate() {
        let at = |name: &str| format!("layers.{i}.{name}");
        let Mixer::Mamba1 { in_proj, conv, x_proj, dt_proj, a_log, d: skip, out_proj } = &layer.mixer else {
            anyhow::bail!("Mamba-1 only")
        };
        put(at("norm.weight"), &layer.norm.weight, &[d])?;
        put(at("mixer.in_proj.weight"), &in_proj.weight, &[2 * d_in, d])?;
        put(at("mixer.conv1d.weight"), &conv.weight, &[d_in, 1, 4])?;
        put(at("mixer.conv1d.bias"), conv.bias.as_deref().context("bias")?, &[d_in])?;
        put(at("mixer.x_proj.weight"), &x_proj.weight, &[r + 2 * n, d_in])?;
        put(at("mixer.dt_proj.weight"), &dt_proj.weight, &[d_in, r])?;
        put(at("mixer.dt_proj.bias"), dt_proj.bias.as_deref().context("bias")?, &[d_in])?;
        put(at("mixer.A_log"), a_log, &[d_in, n])?;
        put(at("mixer.D"), skip, &[d_in])?;
        put(at("mixer.out_proj.weight"), &out_proj.weight, &[d, d_in])?;
    }
    Ok(tensors)
}

/// Both compute the same: the logits of the last token agree.
fn same_outputs(ours: &CpuEncoder, candle: &Candle, weights: &Backbone) -> Result<()> {
    let tokens: &[u32] = &[3, 1, 4, 1, 5, 9, 2, 6, 5, 3];
    let packed = Packed { input: Input::Tokens(tokens), offsets: &[0, tokens.len()] };
    let hidden = ours.encode(&packed, &mut [&mut ours.fresh()], &[ours.config().layers])?;
    let d = ours.config().d;
    let hidden = Tensor::from_slice(&hidden[0][hidden[0].len() - d..], (1, d), &Device::Cpu)?;
    let mut state = candle.fresh()?;
    let mut logits = None;
    for token in tokens {
        logits = Some(candle.step(*token, &mut state)?);
    }
    let theirs = logits.context("a token")?.flatten_all()?.to_vec1::<f32>()?;
    let embedding = Tensor::from_slice(&weights.embedding, (VOCAB, d), &Device::Cpu)?;
    let mine = hidden.matmul(&embedding.t()?)?.flatten_all()?.to_vec1::<f32>()?;
    let scale = theirs.iter().fold(0f32, |max, v| max.max(v.abs()));
    let worst = mine.iter().zip(&theirs).fold(0f32, |max, (a, b)| max.max((a - b).abs())) / scale;
    ensure!(worst < 1e-3, "outputs differ by {worst} of their range");
    Ok(())
}

/// HF transformers' rates of prefill and step, from `hf.py`.
fn hf(python: &str, shape: &Shape) -> Result<(f64, f64)> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/hf.py");
    let arguments = [shape.d, shape.layers, shape.prefill, shape.steps].map(|v| v.to_string());
    let output = Command::new(python).arg(script).args(arguments).output().context(python.to_owned())?;
    ensure!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    let answer = String::from_utf8(output.stdout)?;
    eprintln!("{}", answer.trim());
    let number = |key: &str| -> Result<f64> {
        let rest = answer.split_once(&format!("\"{key}\": ")).context("hf.py's answer")?.1;
        Ok(rest.split([',', '}']).next().unwrap_or_default().parse()?)
    };
    Ok((number("prefill")?, number("step")?))
}
