//! The card of a trained model: what it was made of. What it is worth is for its evaluation to say.

use unspool_model::Device;
use unspool_pipelines::train::{Line, TrainConfig};

/// A README for the model's folder.
pub(super) fn text(config: &TrainConfig, lines: &[Line], device: Device) -> String {
    let t = &config.train;
    let from = config.from.as_ref().map_or_else(|| "random weights".to_owned(), |from| from.display().to_string());
    let real = match &config.data.real {
        Some(_) if config.data.real_share > 0.0 => {
            format!("and real series ({:.1} % of windows), less those held out", 100.0 * config.data.real_share)
        }
        _ => "alone".to_owned(),
    };
    let (patches, seconds) = lines.iter().fold((0, 0.0), |(p, s), line| (p + line.patches, s + line.seconds));
    let mean = |lines: &[Line]| lines.iter().map(|line| line.loss).sum::<f64>() / lines.len().max(1) as f64;
    let (first, last) = (&lines[..lines.len().min(2)], &lines[lines.len().saturating_sub(5)..]);
    format!(
        "# {name}\n\nA series forecaster of `alignment: any`, trained by `unspool train`.\n\n- **Begun from**: {from}.\n- **Data**: \
         synthetic series (seed {seed}) {real}.\n- **Recipe**: AdamW, {steps} steps of {size} patches, rate {rate:.1e} (warm-up {warmup}, \
         cosine to {floor} of it), weight decay {decay}, gradients clipped at {clip}, average of the weights {average}; partly filled \
         patches weigh {partial}. {products} products on {device}.\n- **Time**: {patches} patches in {seconds:.0} s. The loss went from \
         {begin:.4} to {end:.4}.\n- **Worth**: run `unspool eval forecast`.\n",
        name = config.name,
        seed = config.data.seed,
        steps = t.steps,
        size = t.patches,
        rate = t.rate,
        warmup = t.warmup,
        floor = t.floor,
        decay = t.decay,
        clip = t.clip,
        average = t.average,
        partial = t.partial,
        products = t.products,
        begin = mean(first),
        end = mean(last),
    )
}
