//! Rows that wait for their scores.

use arrow::array::RecordBatch;

/// Rows of the unit at hand, and what the model gave of their series.
#[derive(Default)]
pub(super) struct Scores {
    waiting: Vec<(RecordBatch, Vec<u32>)>,
    /// Of each series by its number: p-values of its rows, in their order.
    answers: Vec<Vec<f64>>,
}

impl Scores {
    /// Rows, each with its series' number.
    pub(super) fn push(&mut self, rows: RecordBatch, numbers: Vec<u32>) {
        self.waiting.push((rows, numbers));
    }

    /// The p-values of a series' rows.
    pub(super) fn answer(&mut self, number: usize, scores: Vec<f64>) {
        if number >= self.answers.len() {
            self.answers.resize_with(number + 1, Vec::new);
        }
        self.answers[number].extend(scores);
    }

    /// All rows with their p-values, in the order in which they came; nothing waits then.
    pub(super) fn take(&mut self) -> impl Iterator<Item = (RecordBatch, Vec<u32>, Vec<Option<f64>>)> + use<> {
        let answers = std::mem::take(&mut self.answers);
        let mut answers: Vec<_> = answers.into_iter().map(Vec::into_iter).collect();
        std::mem::take(&mut self.waiting).into_iter().map(move |(rows, numbers)| {
            let scores = numbers.iter().map(|number| answers.get_mut(*number as usize)?.next()).collect();
            (rows, numbers, scores)
        })
    }
}
