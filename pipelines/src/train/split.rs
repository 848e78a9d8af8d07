//! Which real series are never trained on, so that models and recipes can be chosen by them.

/// Every so manieth series of a file is held out.
const EVERY: usize = 5;

/// Whether a series of the folder of training series is held out for validation.
///
/// Held out are all series of the NNGC1 competition, and every fifth of each other file: `index % 5 == 4`, 0-based, in the
/// file's order. Files of one series each (`classic/`) count as one file in the order of their names.
///
/// `file`: the file's name without its folder. Whatever is cut from such a series or aggregated from it is held out too.
#[must_use]
pub fn held_out(file: &str, index: usize) -> bool {
    file.starts_with("nngc1_") || index % EVERY == EVERY - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_and_a_competition_are_held_out() {
        let check = |file: &str, expected: &[usize]| {
            let held: Vec<usize> = (0..11).filter(|&i| held_out(file, i)).collect();
            assert_eq!(held, expected, "{file}");
        };
        check("nngc1_daily.tsf", &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        check("pbs_scripts_monthly.tsf", &[4, 9]);
        check("AirPassengers.csv", &[4, 9]);
    }
}
