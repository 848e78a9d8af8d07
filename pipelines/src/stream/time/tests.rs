//! Laws of event time, over random rows.

use proptest::prelude::*;

use super::*;

const TIMED: TimeOptions = TimeOptions { order: Order::Time { lateness: 5, most_waiting: 1000 }, grid: None };

fn row(series: u8, time: i64, offset: i64, value: f64) -> Row {
    Row { series: format!("s{series}").into(), time, offset, content: Content::Value(Some(value)) }
}

/// What becomes of rows; `flush` before these offsets.
fn run(options: &TimeOptions, rows: &[Row], flush: &[i64]) -> (Vec<Row>, Vec<Row>) {
    let (mut time, mut out, mut late) = (EventTime::default(), vec![], vec![]);
    for row in rows {
        if flush.contains(&row.offset) {
            time.flush(options, &mut out);
        }
        if time.push(options, row.clone(), &mut out).is_err() {
            late.push(row.clone());
        }
    }
    (out, late)
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    prop::collection::vec((0u8..3, 0i64..6, 0u8..20), 0..60).prop_map(|steps| {
        let mut newest = 0;
        let each = steps.into_iter().enumerate().map(|(offset, (series, ahead, end))| {
            newest += ahead / 3;
            let mut row = row(series, newest - ahead * 2, offset as i64, offset as f64);
            if end == 0 {
                row.content = Content::End;
            }
            row
        });
        each.collect()
    })
}

fn options() -> impl Strategy<Value = TimeOptions> {
    let order = prop_oneof![
        Just(Order::Offset),
        (0u64..12, 1usize..20).prop_map(|(lateness, most_waiting)| Order::Time { lateness, most_waiting }),
    ];
    let grid = prop::option::of((1u64..7).prop_map(|step| Grid { step, aggregate: Aggregate::Mean, most_missing: 4 }));
    (order, grid).prop_map(|(order, grid)| TimeOptions { order, grid })
}

proptest! {
    /// Cut anywhere, saved and read back: the same rows go on, and the same ones are late.
    #[test]
    fn a_replay_decides_the_same(options in options(), rows in rows(), flush in prop::collection::vec(0i64..60, 0..3), cut in any::<prop::sample::Index>()) {
        let whole = run(&options, &rows, &flush);
        let cut = cut.index(rows.len() + 1);
        let (mut time, mut out, mut late) = (EventTime::default(), vec![], vec![]);
        for (i, row) in rows.iter().enumerate() {
            if i == cut {
                time = postcard::from_bytes(&postcard::to_stdvec(&time).unwrap()).unwrap();
            }
            if flush.contains(&row.offset) {
                time.flush(&options, &mut out);
                // a mark that is met twice, once before and once after a snapshot, changes nothing
                time.flush(&options, &mut out);
            }
            if time.push(&options, row.clone(), &mut out).is_err() {
                late.push(row.clone());
            }
        }
        prop_assert_eq!((out, late), whole);
    }

    /// Without a grid each row goes on once, is late, or waits; those of a series go on in the order of time.
    #[test]
    fn nothing_is_lost_and_order_holds(lateness in 0u64..12, rows in rows()) {
        let options = TimeOptions { order: Order::Time { lateness, most_waiting: 1000 }, grid: None };
        let (mut time, mut out, mut late) = (EventTime::default(), vec![], 0);
        for row in &rows {
            late += usize::from(time.push(&options, row.clone(), &mut out).is_err());
            let mark = time.watermark(&options);
            prop_assert!(time.waiting.keys().all(|(time, _)| Some(*time) > mark));
        }
        time.flush(&options, &mut out);
        prop_assert_eq!(time.waiting(), 0);
        prop_assert_eq!(out.len() + late, rows.len());
        let mut offsets: Vec<_> = out.iter().map(|row| row.offset).collect();
        offsets.sort_unstable();
        offsets.dedup();
        prop_assert_eq!(offsets.len(), out.len());
        for series in 0..3 {
            let name = format!("s{series}");
            let of: Vec<&Row> = out.iter().filter(|row| *row.series == *name).collect();
            let since_end = of.split(|row| row.content == Content::End);
            for part in since_end {
                prop_assert!(part.is_sorted_by_key(|row| row.time), "{part:?}");
            }
        }
    }

    /// Rows that are at most so late come out sorted, whatever the order they came in.
    #[test]
    fn enough_lateness_sorts(mut times in prop::collection::vec(0i64..50, 1..40)) {
        let rows: Vec<_> = times.iter().enumerate().map(|(i, time)| row(0, *time, i as i64, 0.0)).collect();
        let options = TimeOptions { order: Order::Time { lateness: 50, most_waiting: 1000 }, grid: None };
        let (mut time, mut out) = (EventTime::default(), vec![]);
        for row in rows {
            prop_assert!(time.push(&options, row, &mut out).is_ok());
        }
        time.flush(&options, &mut out);
        times.sort_unstable();
        prop_assert_eq!(out.iter().map(|row| row.time).collect::<Vec<_>>(), times);
    }
}

#[test]
fn rows_before_the_watermark_are_late() {
    let rows = [row(0, 10, 0, 0.0), row(1, 5, 1, 0.0), row(0, 4, 2, 0.0), row(0, 16, 3, 0.0), row(0, 10, 4, 0.0)];
    let (out, late) = run(&TIMED, &rows, &[]);
    assert_eq!(out.iter().map(|row| row.offset).collect::<Vec<_>>(), [1, 0]);
    assert_eq!(late.iter().map(|row| row.offset).collect::<Vec<_>>(), [2, 4]);
    let (out, late) = run(&TIMED, &rows, &[1]);
    assert_eq!(out.iter().map(|row| row.offset).collect::<Vec<_>>(), [0], "a flush moves the watermark");
    assert_eq!(late.iter().map(|row| row.offset).collect::<Vec<_>>(), [1, 2, 4]);
}

#[test]
fn cells_hold_one_value_each() {
    let check = |aggregate, expected: &[(i64, f64)]| {
        let grid = Some(Grid { step: 10, aggregate, most_missing: 4 });
        let options = TimeOptions { order: Order::Offset, grid };
        let rows = [row(0, -1, 0, 7.0), row(0, 3, 1, 1.0), row(0, 9, 2, 5.0), row(0, 0, 3, 3.0), row(0, 10, 4, 0.0)];
        let (out, late) = run(&options, &rows, &[]);
        let found: Vec<_> = out.iter().map(|row| (row.time, row.content.clone())).collect();
        let expected: Vec<_> = expected.iter().map(|(time, value)| (*time, Content::Value(Some(*value)))).collect();
        assert_eq!(found, expected, "{aggregate:?}");
        assert_eq!(late, []);
        let early = row(0, -5, 5, 0.0);
        assert_eq!(run(&options, &[rows.to_vec(), vec![early.clone()]].concat(), &[]).1, [early]);
    };
    check(Aggregate::Mean, &[(-10, 7.0), (0, 3.0)]);
    check(Aggregate::Last, &[(-10, 7.0), (0, 3.0)]);
    check(Aggregate::Min, &[(-10, 7.0), (0, 1.0)]);
    check(Aggregate::Max, &[(-10, 7.0), (0, 5.0)]);
    check(Aggregate::Sum, &[(-10, 7.0), (0, 9.0)]);
    let grid = Grid { step: 10, aggregate: Aggregate::Mean, most_missing: 4 };
    for (last, next, missing) in
        [(0, 10, 0), (0, 20, 1), (0, 50, 4), (0, 1000, 4), (-20, 0, 1), (i64::MIN, i64::MAX, 4)]
    {
        assert_eq!(grid.missing(last, next), missing, "{last} to {next}");
    }
}

/// What was saved by somebody else may hold a row that is before the cell of its series: it is dropped, all others go on.
#[test]
fn a_saved_row_before_its_cell() {
    let grid = Grid { step: 2, aggregate: Aggregate::Mean, most_missing: 4 };
    let options = TimeOptions { grid: Some(grid), ..TIMED };
    let (mut time, mut out) = (EventTime::default(), vec![]);
    time.cells.add(&grid, row(0, 40, 0, 1.0), Some(1.0), &mut out).unwrap();
    time.waiting = BTreeMap::from([((41, 0), row(0, 0, 1, 2.0)), ((41, 1), row(0, 41, 2, 3.0))]);
    time.flush(&options, &mut out);
    assert_eq!(out.iter().map(|row| (row.time, row.offset)).collect::<Vec<_>>(), [(40, 0)]);
    assert_eq!((out[0].content.clone(), time.waiting()), (Content::Value(Some(2.0)), 0));
}
