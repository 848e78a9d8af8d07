//! Where states are, and how many workers there are, is no matter of the output.

use super::*;

#[test]
fn neither_memory_nor_workers_change_a_bit() {
    let models: Vec<Arc<Model>> = (0..3).map(|_| testing::series_model()).collect();
    for give in [Give::Scores, FORECASTS, EMBEDDINGS] {
        let folder = lake();
        let usual = job(folder.path(), give.clone());
        run_whole(&usual).unwrap();
        let expected = output(&usual);
        // No state in memory; each state at once on the disk; never one on the disk; units of all sizes.
        let cases = [(0, Some(60), 80, false, 1), (2 << 20, Some(0), 80, false, 2), (0, Some(1 << 40), 30, false, 3)];
        let more = [(0, None, 1, true, 2), (64 << 20, Some(10), 31, false, 1)];
        for (number, (states_bytes, state_values, unit_rows, stretch, workers)) in
            cases.into_iter().chain(more).enumerate()
        {
            let output_dir = folder.path().join(format!("out-{number}"));
            let job = BatchJob { states_bytes, state_values, unit_rows, stretch, output: output_dir, ..usual.clone() };
            run_with(&job, &Crew::threads(&models[..workers]).unwrap(), &mut |_| ControlFlow::Continue(())).unwrap();
            assert_eq!(output(&job), expected, "{give:?}, case {number}");
            let mut found = vec![];
            saved_states(&job.output, &MODEL, &mut |saved| {
                found.push((saved.id, saved.position, saved.last_time));
                Ok(())
            })
            .unwrap();
            assert_eq!(found.len(), 4, "{give:?}, case {number}");
        }
    }
}

#[test]
fn files_of_states_that_are_hardly_needed_go_away() {
    let folder = tempfile::tempdir().unwrap();
    // `once` has a single row, in the first file; the others go on, and each unit saves their states.
    let mut rows = vec![("once", 0, Some(1.0))];
    for day in 0..12 {
        let range = day * 10..day * 10 + 10;
        rows.extend(["a", "b"].into_iter().flat_map(|id| wave(id, range.clone())));
        write(folder.path(), &format!("lake/{day:02}.parquet"), &rows);
        rows.clear();
    }
    let job = BatchJob { unit_rows: 20, state_values: Some(0), ..job(folder.path(), Give::Scores) };
    run_whole(&job).unwrap();
    let manifest = Manifest::read(&job.output).unwrap().unwrap();
    assert!(manifest.units > 6, "{}", manifest.units);
    let kept: u64 = manifest.segments.iter().map(|segment| segment.bytes).sum();
    let state = crate::state_bytes(&MODEL, &Options { anomaly: true, ..Options::default() }).unwrap() as u64;
    assert!(kept < 7 * state, "{kept} bytes for three series of {state}");
    let files = fs::read_dir(job.output.join("_states")).unwrap().count();
    assert_eq!(files, manifest.segments.len());
    let mut ids = vec![];
    saved_states(&job.output, &MODEL, &mut |saved| {
        ids.push(saved.id);
        Ok(())
    })
    .unwrap();
    assert_eq!(ids, ["once", "a", "b"]);
}

/// All rows in memory, by time.
#[derive(Debug)]
struct InMemory;

impl Sort for InMemory {
    fn open(&self, files: &[std::path::PathBuf], columns: &SeriesOptions) -> crate::Result<Box<dyn Source>> {
        let mut batches = vec![];
        for file in files {
            let mut decoder = decoder(std::slice::from_ref(file), &SeriesOptions { start: None, ..columns.clone() })?;
            while let Some(batch) = decoder.decode()? {
                batches.push(batch.rows);
            }
        }
        let rows = concat_batches(&unspool_ingest::schema::series(TimeKind::Step), &batches)?;
        let order = arrow::compute::sort_to_indices(rows.column(1), None, None)?;
        let rows = arrow::compute::take_record_batch(&rows, &order)?;
        Ok(Box::new(unspool_ingest::MemorySource::new(rows, columns.batch_rows, columns.start)))
    }
}

#[test]
fn files_that_are_out_of_order_are_sorted() {
    let folder = tempfile::tempdir().unwrap();
    let days = |order: [i64; 4]| {
        for (file, day) in order.into_iter().enumerate() {
            let range = day * 40..day * 40 + 40;
            write(
                folder.path(),
                &format!("lake/{file}.parquet"),
                &[wave("a", range.clone()), wave("b", range)].concat(),
            );
        }
    };
    days([0, 1, 2, 3]);
    let usual = job(folder.path(), FORECASTS);
    run_whole(&usual).unwrap();
    days([2, 0, 3, 1]);
    let sorted = BatchJob {
        sort: Some(Arc::new(InMemory)),
        output: folder.path().join("sorted"),
        unit_rows: 50,
        ..usual.clone()
    };
    let mut left = 6;
    let stopped = run(&sorted, &MODEL, &mut |_| {
        left -= 1;
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(stopped, Err(Error::Job(crate::Error::Cancelled))));
    let summary = run_whole(&sorted).unwrap();
    assert_eq!((output(&sorted), summary.progress.rejects), (output(&usual), 0));
}
