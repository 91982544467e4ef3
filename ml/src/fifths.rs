//! The chance of each fifth: where an instrument's return will rank among those of its session, as the M6 competition asked
//! for it (Makridakis et al. 2024).
//!
//! The chances follow from the published distributions: the bounds between the fifths are those of all instruments'
//! distributions mixed, and an instrument's chance of a fifth is what its own distribution has between them. So whoever
//! moves more is likelier at both ends.

use crate::conformal::Calibration;

/// Into so many parts a session's returns are ranked.
pub const FIFTHS: usize = 5;
/// Fewer instruments a session are not ranked.
pub const NEEDED_INSTRUMENTS: usize = 20;
/// Each distribution gives so many evenly spaced quantiles to the mixture.
const MIXED: usize = 10;

/// The bounds between the fifths of a session's returns, by the distributions of its instruments.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fifths<'a> {
    calibration: &'a Calibration,
    bounds: [f64; FIFTHS - 1],
}

impl<'a> Fifths<'a> {
    /// Those of the distributions (expected return, scale) of a session; nothing where there are too few to be ranked.
    pub fn of(calibration: &'a Calibration, forecasts: &[(f64, f64)]) -> Option<Self> {
        let enough = forecasts.len() >= NEEDED_INSTRUMENTS;
        enough.then(|| Self { calibration, bounds: bounds(calibration, forecasts) })
    }

    /// The chances of a distribution to lie below each bound; never falling.
    pub fn below(&self, expected: f64, scale: f64) -> [f64; FIFTHS - 1] {
        self.bounds.map(|bound| self.calibration.cumulative(expected, scale, bound))
    }

    /// The chances of a distribution to lie in each fifth, the lowest first; they add up to one.
    pub fn chances(&self, expected: f64, scale: f64) -> [f64; FIFTHS] {
        let below = self.below(expected, scale);
        std::array::from_fn(|fifth| {
            let up_to = below.get(fifth).copied().unwrap_or(1.0);
            up_to - fifth.checked_sub(1).map_or(0.0, |before| below[before])
        })
    }
}

/// The four bounds between the fifths of all distributions mixed.
fn bounds(calibration: &Calibration, forecasts: &[(f64, f64)]) -> [f64; FIFTHS - 1] {
    let scores: [f64; MIXED] =
        std::array::from_fn(|k| calibration.grid[(2 * k + 1) * calibration.grid.len() / (2 * MIXED)]);
    let mixed = forecasts.iter().flat_map(|(expected, scale)| scores.map(|score| expected + score * scale));
    let mut mixed: Vec<f64> = mixed.collect();
    let places: [usize; FIFTHS - 1] = std::array::from_fn(|k| (k + 1) * mixed.len() / FIFTHS);
    let mut from = 0;
    places.map(|place| {
        let (below, at, _) = mixed[from..].select_nth_unstable_by(place - from, f64::total_cmp);
        // Halfway to the value below it, so that distributions which are all alike are parted where they should be.
        let bound = f64::midpoint(below.iter().copied().fold(f64::NEG_INFINITY, f64::max), *at);
        from = place;
        bound
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing::uniform_calibration;

    #[test]
    fn forecasts_that_are_all_alike_have_a_fifth_each() {
        let calibration = uniform_calibration();
        let fifths = Fifths::of(&calibration, &[(0.01, 0.3); 40]).unwrap();
        for chance in fifths.chances(0.01, 0.3) {
            assert!((chance - 0.2).abs() < 1e-3, "{chance}");
        }
    }

    #[test]
    fn whoever_moves_more_is_likelier_at_both_ends_and_whoever_moves_less_in_the_middle() {
        let calibration = uniform_calibration();
        let forecasts: Vec<(f64, f64)> = (0..40).map(|i| (0.0, if i < 20 { 1.0 } else { 0.2 })).collect();
        let fifths = Fifths::of(&calibration, &forecasts).unwrap();
        let (wide, narrow) = (fifths.chances(0.0, 1.0), fifths.chances(0.0, 0.2));
        for end in [0, 4] {
            assert!(wide[end] > 0.25 && narrow[end] < 0.15, "{wide:?} {narrow:?}");
        }
        assert!(wide[2] < 0.15 && narrow[2] > 0.25, "{wide:?} {narrow:?}");
        assert!((wide[0] - wide[4]).abs() < 1e-9, "a symmetric distribution has as much of either: {wide:?}");
    }

    #[test]
    fn whoever_is_expected_above_all_others_is_in_the_highest_fifth() {
        let calibration = uniform_calibration();
        let forecasts: Vec<(f64, f64)> = (0..20).map(|i| (f64::from(i), 0.1)).collect();
        let fifths = Fifths::of(&calibration, &forecasts).unwrap();
        assert!(fifths.chances(19.0, 0.1)[4] > 0.99 && fifths.chances(0.0, 0.1)[0] > 0.99);
    }

    #[test]
    fn fewer_than_twenty_instruments_are_not_ranked() {
        let calibration = uniform_calibration();
        assert!(Fifths::of(&calibration, &[(0.0, 1.0); NEEDED_INSTRUMENTS - 1]).is_none());
        assert!(Fifths::of(&calibration, &[(0.0, 1.0); NEEDED_INSTRUMENTS]).is_some());
    }

    proptest::proptest! {
        #[test]
        fn the_chances_of_any_forecast_add_up_to_one_and_over_all_forecasts_to_a_fifth_each(
            forecasts in proptest::collection::vec((-0.1_f64..0.1, 1e-4_f64..0.2), 20..60),
        ) {
            let calibration = uniform_calibration();
            let fifths = Fifths::of(&calibration, &forecasts).unwrap();
            let mut mean = [0.0; FIFTHS];
            for &(expected, scale) in &forecasts {
                let chances = fifths.chances(expected, scale);
                proptest::prop_assert!(chances.iter().all(|chance| (0.0..=1.0).contains(chance)));
                proptest::prop_assert!((chances.iter().sum::<f64>() - 1.0).abs() < 1e-12);
                for (mean, chance) in mean.iter_mut().zip(chances) {
                    *mean += chance / forecasts.len() as f64;
                }
            }
            // Ten quantiles of each are a coarse mixture.
            proptest::prop_assert!(mean.iter().all(|mean| (mean - 0.2).abs() < 0.05), "{:?}", mean);
        }
    }
}
