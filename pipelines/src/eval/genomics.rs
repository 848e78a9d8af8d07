//! How good a DNA model is: bits per base beside Markov models, and a logistic probe on labelled sequences beside k-mers,
//! random weights and published models.
//!
//! Everything that is chosen (a Markov model's weights; a probe's layer and strength) is chosen on what is held out for it
//! (*E. coli* from 70 to 80 % of its genome; a task's dev split), never on what is reported (the last 20 %; the test split).

mod bits;
mod classify;
mod embeddings;
mod features;
mod kmers;
mod logistic;
mod markov;
mod probe;
pub mod published;
mod score;
mod task;

pub use self::{
    bits::{BitsPerBase, ModelBits, bits_per_base},
    classify::{classify, judge},
    embeddings::random_twin,
    markov::{MOST_ORDER, Markov},
    probe::{Columns, Probed, probe},
    score::{Classified, auc, mcc},
    task::{Case, TASKS, Task},
};
