//! The same scores the plain way, two runs from the tile's start for each: what [`super::Scores`] must equal to the bit.

use unspool_model::{Events, Item, Model, dna};

use super::{Score, ScoreOptions, Strand, Variant, ln_p, options, site::strand_tokens};
use crate::{Error, Result};

/// A variant's score on one strand, and the tokens that it took.
///
/// # Errors
/// When the variant does not fit the contig, or the model refuses.
pub fn score(
    model: &Model,
    (contig, variant): (&[u8], &Variant<'_>),
    strand: Strand,
    sizes: &ScoreOptions,
) -> Result<(Score, u64)> {
    variant.check(contig, sizes).map_err(Error::Rows)?;
    let window = variant.window(contig, strand, sizes).map_err(Error::Rows)?;
    let (start, fork) = (window.start, window.start + window.context);
    let context = strand_tokens(contig, start..fork, strand).map_err(Error::Rows)?;
    let reference = strand_tokens(contig, fork..fork + window.len, strand).map_err(Error::Rows)?;
    let run = |allele: &[u32]| -> Result<f64> {
        let tokens = [&context, allele].concat();
        let mut state = model.open(&options(model))?;
        let events = Events::Tokens(&tokens[..tokens.len() - 1]);
        let outputs = model.append(&mut [Item { state: &mut state, events }])?;
        let predicted = model.next_bases(&outputs[0].rows[0])?;
        let before: Vec<_> = std::iter::once(dna::no_context()).chain(predicted).collect();
        Ok(allele.iter().zip(&before[context.len()..]).map(|(token, before)| ln_p(before, *token)).sum())
    };
    let log_ratio = run(&window.alternative)? - run(&reference)?;
    let tokens = 2 * (window.context + window.len - 1) as u64;
    Ok((Score { log_ratio, window: window.len, context: window.context }, tokens))
}
