//! What every [`Sink`] must do, as a suite that each implementation's tests call.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray},
    compute::concat_batches,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use unspool_ingest::{CommitToken, Position, Reject};

use crate::{Result, Sink};

/// What can be read back from a sink's place: its rows and its rejects in order, or `None` if there is nothing.
pub type ReadBack = Option<(Vec<RecordBatch>, Vec<Reject>)>;

/// The schema of the suite's rows.
#[must_use]
pub fn schema() -> SchemaRef {
    let fields = vec![Field::new("name", DataType::Utf8, true), Field::new("number", DataType::Int64, false)];
    Arc::new(Schema::new(fields))
}

/// Checks a sink against the contract: commits stand in order, empty ones too, rows and rejects of a commit stand or
/// fall together, a wrong schema is refused, and a sink that is dropped leaves whole commits or nothing.
///
/// `create` makes a sink for rows of [`schema`] at a fresh place; `read_back` reads what stands at the last one made.
///
/// # Panics
/// With a message, when the sink breaks the contract.
pub async fn check<S: Sink>(mut create: impl FnMut() -> Result<S>, read_back: impl Fn() -> ReadBack) {
    finished(create().expect("creates"), &read_back, &[]).await;
    finished(create().expect("creates"), &read_back, &[(0, 0)]).await;
    finished(create().expect("creates"), &read_back, &[(3, 0), (0, 2), (2000, 1), (1, 0)]).await;
    abandoned(create().expect("creates"), &read_back).await;
    wrong_schema(create().expect("creates"), &read_back).await;
}

/// Commits `sizes` (rows, rejects), finishes, and compares.
async fn finished<S: Sink>(mut sink: S, read_back: &impl Fn() -> ReadBack, sizes: &[(usize, usize)]) {
    let commits = commits(sizes);
    commit(&mut sink, &commits).await;
    sink.finish().await.expect("finishes");
    drop(sink);
    let (rows, rejects) = read_back().expect("the output of a finished sink can be read");
    let (expected_rows, expected_rejects) = together(&commits);
    assert_eq!(concat_batches(&schema(), &rows).expect("the sink's schema"), expected_rows, "{sizes:?}");
    assert_eq!(rejects, expected_rejects, "{sizes:?}");
}

/// Drops the sink without finishing: what remains is the first whole commits, or nothing.
async fn abandoned<S: Sink>(mut sink: S, read_back: &impl Fn() -> ReadBack) {
    let commits = commits(&[(5, 1), (2000, 2)]);
    commit(&mut sink, &commits).await;
    drop(sink);
    let Some((rows, rejects)) = read_back() else { return };
    let rows = concat_batches(&schema(), &rows).expect("the sink's schema");
    let whole = (0..=commits.len()).any(|len| (rows.clone(), rejects.clone()) == together(&commits[..len]));
    assert!(whole, "{} rows and {} rejects are no whole commits", rows.num_rows(), rejects.len());
}

async fn wrong_schema<S: Sink>(mut sink: S, read_back: &impl Fn() -> ReadBack) {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let rows = RecordBatch::try_from_iter([("other", column)]).expect("rows");
    let refused = sink.commit(rows, vec![reject(0)], None, CommitToken::default()).await;
    assert!(refused.is_err(), "rows of another schema were taken");
    drop(sink);
    let nothing = read_back().is_none_or(|(rows, rejects)| rows.is_empty() && rejects.is_empty());
    assert!(nothing, "a refused commit left something behind");
}

type Commit = (RecordBatch, Vec<Reject>);

async fn commit<S: Sink>(sink: &mut S, commits: &[Commit]) {
    for (number, (rows, rejects)) in commits.iter().enumerate() {
        let position = Some(Position::Row(number as u64 + 1));
        sink.commit(rows.clone(), rejects.clone(), position, CommitToken::default()).await.expect("commits");
    }
}

/// Commits of the given sizes (rows, rejects) with contents that differ.
fn commits(sizes: &[(usize, usize)]) -> Vec<Commit> {
    let mut next = 0..;
    let mut numbers = |len: usize| next.by_ref().take(len).collect::<Vec<i64>>();
    let mut commits = vec![];
    for (rows, rejects) in sizes {
        let rows = numbers(*rows);
        let names: StringArray = rows.iter().map(|number| (number % 3 > 0).then(|| format!("row {number}"))).collect();
        let columns: Vec<ArrayRef> = vec![Arc::new(names), Arc::new(Int64Array::from(rows))];
        let rows = RecordBatch::try_new(schema(), columns).expect("rows");
        commits.push((rows, numbers(*rejects).into_iter().map(reject).collect()));
    }
    commits
}

fn reject(number: i64) -> Reject {
    Reject { place: format!("row {number}"), reason: "it is \"odd\"".into(), payload: vec![0, 255, 10] }
}

fn together(commits: &[Commit]) -> Commit {
    let rows = concat_batches(&schema(), commits.iter().map(|(rows, _)| rows)).expect("one schema");
    (rows, commits.iter().flat_map(|(_, rejects)| rejects.clone()).collect())
}
