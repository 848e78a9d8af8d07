//! Configurations of Caduceus (kuleshov-group/caduceus, `CaduceusConfig`): those of state-spaces/mamba, and what is read how.

use serde_json::Value;

use super::mamba_ssm;
use crate::{
    Result,
    config::{Config, Join, MixerConfig, Strands, WindowConfig, json::Keys},
};

/// The known layouts of a vocabulary: the tokens of A, C, G, T and of any other base. Caduceus (whose N is a token), and
/// PlantCaduceus (whose N is unknown).
const ALPHABETS: [[u32; 5]; 2] = [[7, 8, 9, 10, 11], [3, 4, 5, 6, 2]];
/// The largest vocabulary of bases that is believed.
const MOST_TOKENS: usize = 4096;

pub fn config(keys: &Keys<'_>) -> Result<WindowConfig> {
    match keys.text("model_type")? {
        Some("caduceus") => {}
        found => return Err(keys.problem(format!("'model_type' \"caduceus\" is expected, found {found:?}"))),
    }
    let backbone = Config {
        norm_eps: keys.epsilon("norm_epsilon", 1e-5)?,
        tie_embeddings: keys.flag("tie_word_embeddings", true)?,
        ..mamba_ssm::config(keys)?
    };
    if !matches!(backbone.mixer, MixerConfig::Mamba1 { .. }) || backbone.mlp_hidden > 0 {
        return Err(keys.problem("a Caduceus model of other layers than Mamba-1 is not supported".into()));
    }
    if backbone.vocab > MOST_TOKENS {
        return Err(keys.problem(format!("a vocabulary of {} tokens is not one of bases", backbone.vocab)));
    }
    let strands = match keys.flag("rcps", false)? {
        true => Strands::Both { swapped: keys.flag("fused_add_norm", true)? },
        false => Strands::One,
    };
    let complement = complement(keys, backbone.vocab, strands)?;
    let fits = |bases: &&[u32; 5]| {
        let of = |token: u32| complement.get(token as usize).copied();
        of(bases[0]) == Some(bases[3]) && of(bases[1]) == Some(bases[2]) && of(bases[4]) == Some(bases[4])
    };
    let Some(&alphabet) = ALPHABETS.iter().find(fits) else {
        let problem = "which tokens are A, C, G and T: neither 7 to 10 nor 3 to 6 are each other's complements";
        return Err(keys.problem(format!("'complement_map' does not tell {problem}")));
    };
    let tied = keys.flag("bidirectional_weight_tie", true)?;
    Ok(WindowConfig { backbone, directions: directions(keys)?, tied, strands, complement, alphabet })
}

fn directions(keys: &Keys<'_>) -> Result<Option<Join>> {
    // A published configuration says "true,": a text that is not empty is true in Python.
    let both = match keys.get("bidirectional") {
        Some(Value::String(text)) if text.trim_end_matches(',') == "true" => true,
        _ => keys.flag("bidirectional", true)?,
    };
    let join = match keys.text("bidirectional_strategy")?.unwrap_or("add") {
        "add" => Join::Add,
        "ew_multiply" => Join::Multiply,
        other => {
            let problem = format!("'bidirectional_strategy' {other:?} is not known; known are add, ew_multiply");
            return Err(keys.problem(problem));
        }
    };
    Ok(both.then_some(join))
}

/// Each token's complement: itself where the map does not name it. Keys are tokens in whatever order, since a configuration
/// that was read and written again has them sorted as texts.
fn complement(keys: &Keys<'_>, vocab: usize, strands: Strands) -> Result<Vec<u32>> {
    let mut complement: Vec<u32> = (0..vocab as u32).collect();
    let wrong = |found: &Value| keys.wrong("complement_map", &format!("pairs of tokens below {vocab}"), found);
    match keys.get("complement_map") {
        Some(Value::Object(map)) => {
            for (token, other) in map {
                let place = token.parse::<usize>().ok().filter(|token| *token < vocab);
                let other = other.as_u64().filter(|other| *other < vocab as u64);
                let (Some(place), Some(to)) = (place, other) else { return Err(wrong(&Value::Object(map.clone()))) };
                complement[place] = to as u32;
            }
        }
        Some(other) => return Err(wrong(other)),
        None if strands != Strands::One => {
            return Err(keys.problem("'complement_map' is missing: a model of both strands ('rcps') has one".into()));
        }
        None => {
            // A to T: each the mirror of its complement.
            if let Some(bases) = complement.get_mut(7..=10) {
                bases.reverse();
            }
        }
    }
    let pairs = complement.iter().enumerate().all(|(token, &other)| complement[other as usize] as usize == token);
    if pairs {
        Ok(complement)
    } else {
        Err(keys.problem("'complement_map': a complement's complement is another token".into()))
    }
}
