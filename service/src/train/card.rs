//! The card of a trained model: what it was made of. What it is worth is for its evaluation to say.

use unspool_model::Device;
use unspool_pipelines::train::{DnaOptions, DnaSource, Line, TrainConfig};

/// A README for the model's folder.
pub(super) fn text(config: &TrainConfig, lines: &[Line], device: Device) -> String {
    let t = &config.train;
    let from = config.from.as_ref().map_or_else(|| "random weights".to_owned(), |from| from.display().to_string());
    let (size, seconds) = lines.iter().fold((0, 0.0), |(p, s), line| (p + line.patches, s + line.seconds));
    let mean = |lines: &[Line]| lines.iter().map(|line| line.loss).sum::<f64>() / lines.len().max(1) as f64;
    let (first, last) = (&lines[..lines.len().min(2)], &lines[lines.len().saturating_sub(5)..]);
    let (what, data, special, worth) = match &config.dna {
        Some(dna) => of_dna(dna, lines),
        None => of_series(config),
    };
    format!(
        "# {name}\n\n{what}, trained by `unspool train`.\n\n- **Begun from**: {from}.\n- **Data**: {data}.\n- **Recipe**: AdamW, {steps} \
         steps of {step_size} {unit}, rate {rate:.1e} (warm-up {warmup}, cosine to {floor} of it), weight decay {decay}, gradients \
         clipped at {clip}, average of the weights {average}; {special}. {products} products on {device}.\n- **Time**: {size} {unit} in \
         {seconds:.0} s. The loss went from {begin:.4} to {end:.4}.\n- **Worth**: {worth}\n",
        name = config.name,
        unit = config.unit(),
        steps = t.steps,
        step_size = t.patches,
        rate = t.rate,
        warmup = t.warmup,
        floor = t.floor,
        decay = t.decay,
        clip = t.clip,
        average = t.average,
        products = t.products,
        begin = mean(first),
        end = mean(last),
    )
}

/// What the model is, what it saw, what is special to its recipe, and what it is worth.
fn of_series(config: &TrainConfig) -> (&'static str, String, String, String) {
    let real = match &config.data.real {
        Some(_) if config.data.real_share > 0.0 => {
            format!("and real series ({:.1} % of windows), less those held out", 100.0 * config.data.real_share)
        }
        _ => "alone".to_owned(),
    };
    let data = format!("synthetic series (seed {}) {real}", config.data.seed);
    let special = format!("partly filled patches weigh {}", config.train.partial);
    ("A series forecaster of `alignment: any`", data, special, "run `unspool eval forecast`.".into())
}

/// As [`of_series`].
fn of_dna(dna: &DnaOptions, lines: &[Line]) -> (&'static str, String, String, String) {
    if dna.sources.is_empty() {
        let what = "A classifier of DNA that was trained on from another model";
        return (
            what,
            "labelled sequences, both strands".into(),
            "classes are told after [CLS]".into(),
            "see test.csv.".into(),
        );
    }
    let part = |source: &DnaSource| {
        let (from, to) = source.take;
        let name = source.path.file_name().unwrap_or_default().to_string_lossy();
        if (from, to) == (0.0, 1.0) { name.into_owned() } else { format!("{name} from {from} to {to} of each record") }
    };
    let all: f64 = dna.sources.iter().map(|source| source.share).sum();
    let share = |source: &DnaSource| format!("{} ({:.1} % of the bases)", part(source), 100.0 * source.share / all);
    let list = |parts: Vec<String>| parts.join("; ");
    let held = match dna.validation.iter().map(part).collect::<Vec<_>>() {
        held if held.is_empty() => String::new(),
        held => format!(". Held out to choose by: {}", list(held)),
    };
    let data = format!("both strands of {}{held}", list(dna.sources.iter().map(share).collect()));
    let special = format!("{} % of the bases were seen as N", 100.0 * dna.hidden);
    let best = lines.iter().filter_map(|line| Some((line.validation?, line.step))).min_by(|a, b| a.0.total_cmp(&b.0));
    let best = best.map_or(String::new(), |(loss, step)| {
        format!("{loss:.4} bits per held-out base, at best, after step {step}; ")
    });
    let what = "A causal DNA model, one token a base, that tells the next base";
    (what, data, special, format!("{best}run `unspool eval genomics`."))
}
