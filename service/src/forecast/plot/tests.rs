use super::*;

const DECILES: [f64; 9] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

fn about(levels: &[f64], time: TimeKind) -> About {
    About { lines: vec!["a <model>".into()], levels: levels.to_vec(), time }
}

fn track(values: &[f64], ahead: &[(Option<i64>, f64)], levels: usize) -> Track {
    let quantiles = |middle: f64| (0..levels).map(|i| middle + i as f64).collect();
    Track {
        id: "<a & b>".into(),
        history: (0..).zip(values.iter().copied()).collect(),
        ahead: ahead.iter().map(|(time, middle)| (*time, quantiles(*middle))).collect(),
        then: vec![],
    }
}

#[test]
fn a_page_holds_all_of_a_series() {
    let track = track(&[1.0, 2.0, f64::NAN, 4.0, f64::NAN, 3.0, 5.0], &[(Some(7), 4.0), (Some(8), 5.0)], 9);
    let html = page(&about(&DECILES, TimeKind::Step), std::slice::from_ref(&track));
    let count = |part: &str| html.matches(part).count();
    assert_eq!((count("<figure>"), count("<polygon"), count("<figcaption>&lt;a &amp; b&gt;</figcaption>")), (1, 4, 1));
    assert_eq!((count("<title>"), count("<svg "), count("</svg>")), (1 + 5 + 2, 1, 1), "{html}");
    for part in ["a &lt;model&gt;", "history", "median", "10 to 90 %", "40 to 60 %", "\nstep\n", "\nvalue\n"] {
        assert!(html.contains(part), "{part}: {html}");
    }
    assert!(html.contains("<title>step 7\n10 %: 4.0000\n20 %: 5.0000\n"), "{html}");
    // It opens offline: nothing is fetched.
    assert_eq!(count("http"), count("xmlns=\"http://www.w3.org/2000/svg\""));
    assert_eq!((count("src="), count("href="), count("url("), count("<script")), (0, 0, 0, 0));
}

#[test]
fn levels_without_a_partner_are_lines() {
    assert_eq!(figure::bands(&DECILES), [(0, 8), (1, 7), (2, 6), (3, 5)]);
    assert_eq!(figure::bands(&[0.2, 0.5, 0.9]), []);
    let track = track(&[1.0, 2.0], &[(Some(2), 4.0)], 3);
    let svg = figure::svg(&about(&[0.2, 0.5, 0.9], TimeKind::Step), &track).expect("draws");
    assert_eq!((svg.matches("<polygon").count(), svg.matches("<polyline").count() > 3), (0, true));
}

#[test]
fn odd_series_are_drawn_or_told() {
    let check = |values: &[f64], ahead: &[(Option<i64>, f64)], expected: Result<&str, &str>| {
        for time in [TimeKind::Step, TimeKind::Timestamp] {
            match (figure::svg(&about(&DECILES, time), &track(values, ahead, 9)), expected) {
                (Ok(svg), Ok(part)) => assert!(svg.contains(part) && !svg.contains("NaN"), "{part}: {svg}"),
                (found, expected) => assert_eq!(found.as_deref().map_err(String::as_str), expected),
            }
        }
    };
    check(&[5.0; 30], &[(Some(31), 5.0)], Ok("<polygon"));
    check(&[1e300, 2e300], &[(Some(2), 2e300)], Ok("e300"));
    check(&[1e-300, 2e-300], &[(Some(2), 0.0)], Ok("<polygon"));
    check(&[f64::NAN; 3], &[(Some(3), 1.0)], Ok("<polygon"));
    check(&[1.0], &[(None, 1.0), (None, 2.0)], Ok("steps after the last value"));
    check(&[-1.7e308, 1.7e308], &[(Some(2), 0.0)], Err("its values span more than can be drawn"));
    check(&[1.0, 2.0], &[], Err("there is no forecast of this series"));
}
