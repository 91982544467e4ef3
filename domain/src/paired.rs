//! Whether one forecaster's loss is lower than another's beyond chance, from the differences of the sessions.
//!
//! The test is Diebold and Mariano's (1995). Pairs of one session move together, so a session is one observation.
//! Outcomes at a horizon of `h` sessions overlap, so neighbouring sessions are related, and the usual estimates of the
//! long-run variance are too small in samples as short as a trial: by simulation a nominal 5% is 9 to 12% with
//! Newey-West weights and the correction of Harvey, Leybourne and Newbold (1997), at every length up to 250 sessions.
//! Here it is the mean square of the first `ν` cosine transforms, held against Student's distribution with `ν` degrees of
//! freedom (Müller 2007; Lazarus, Lewis, Stock and Watson 2018). With `ν = n - 1`, which is taken where nothing overlaps,
//! it is the sample variance and the test is Student's, which the corrected Diebold-Mariano test is there, too.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// The chance of finding a difference that is there, which the count of sessions needed stands for.
const POWER: f64 = 0.8;

/// What the differences of sessions say.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PairedTest {
    /// Sessions compared.
    pub sessions: usize,
    /// The mean difference; below zero the first forecaster is better.
    pub mean_difference: f64,
    /// Its standard error; none with fewer than two sessions.
    pub standard_error: Option<f64>,
    /// The mean difference in standard errors; none where nothing varies.
    pub statistic: Option<f64>,
    /// The degrees of freedom it is held against.
    pub degrees_of_freedom: usize,
    /// The probability of a statistic as low as this if both were equally good (one-sided).
    pub p: Option<f64>,
    /// About so many more sessions would find the difference four times in five, if it stayed as it is. None where there
    /// is no difference to find, or it is found.
    pub more_sessions: Option<u64>,
}

/// Tests differences of loss, the first forecaster's minus the second's, one for each session in order.
///
/// `horizon` is the longest one in sessions, `significance` the one-sided level that [`PairedTest::more_sessions`] is
/// counted for. None without a session.
pub fn paired_test(differences: &[f64], horizon: usize, significance: f64) -> Option<PairedTest> {
    let n = differences.len();
    if n == 0 {
        return None;
    }
    let mean = differences.iter().sum::<f64>() / n as f64;
    let degrees = degrees_of_freedom(n, horizon);
    let standard_error = (degrees > 0).then(|| {
        // The transforms of all n - 1 frequencies make up the sample variance.
        let variance = if degrees == n - 1 {
            differences.iter().map(|d| (d - mean) * (d - mean)).sum::<f64>() / degrees as f64
        } else {
            (1..=degrees).map(|j| cosine_transform(differences, j).powi(2)).sum::<f64>() / degrees as f64
        };
        libm::sqrt(variance / n as f64)
    });
    let statistic = standard_error.filter(|error| *error > 0.0).map(|error| mean / error);
    Some(PairedTest {
        sessions: n,
        mean_difference: mean,
        standard_error,
        statistic,
        degrees_of_freedom: degrees,
        p: statistic.map(|statistic| student_below(statistic, degrees as f64)),
        more_sessions: statistic.and_then(|statistic| more_sessions(n, statistic, degrees, significance)),
    })
}

/// As many cosines as can be told from the overlap: half a period of the highest is as long as a horizon.
fn degrees_of_freedom(n: usize, horizon: usize) -> usize {
    if horizon <= 1 { n - 1 } else { (n / (2 * horizon)).max(1).min(n - 1) }
}

/// The `j`th type-II cosine transform of the values; the mean is in none but the zeroth.
fn cosine_transform(values: &[f64], j: usize) -> f64 {
    let n = values.len() as f64;
    let sum: f64 = values
        .iter()
        .enumerate()
        .map(|(place, value)| value * libm::cos(PI * j as f64 * (place as f64 + 0.5) / n))
        .sum();
    libm::sqrt(2.0 / n) * sum
}

fn more_sessions(n: usize, statistic: f64, degrees: usize, significance: f64) -> Option<u64> {
    let found = student_quantile(significance, degrees as f64);
    if statistic > -1e-3 || statistic <= found {
        return None;
    }
    // The quantile falls with more sessions; the normal one would be too hopeful for a short trial to come.
    let needed = found - student_quantile(POWER, degrees as f64);
    let sessions = n as f64 * (needed / statistic).powi(2);
    Some((sessions.ceil() as u64).saturating_sub(n as u64).max(1))
}

/// The probability that Student's variable with `degrees` of freedom is below `value` (Abramowitz and Stegun 1964,
/// 26.7.1 by way of the incomplete beta function).
fn student_below(value: f64, degrees: f64) -> f64 {
    let tail = 0.5 * incomplete_beta(degrees / (degrees + value * value), degrees / 2.0, 0.5);
    if value > 0.0 { 1.0 - tail } else { tail }
}

/// The value that Student's variable with `degrees` of freedom is below with this probability.
pub fn student_quantile(probability: f64, degrees: f64) -> f64 {
    let (mut low, mut high) = (-1e4, 1e4);
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if student_below(middle, degrees) < probability {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// The regularised incomplete beta function, by its continued fraction (Abramowitz and Stegun 1964, 26.5.8), on the side
/// where that converges quickly.
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return if x <= 0.0 { 0.0 } else { 1.0 };
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(1.0 - x, b, a);
    }
    let factor = libm::exp(
        libm::lgamma(a + b) - libm::lgamma(a) - libm::lgamma(b) + a * libm::log(x) + b * libm::log1p(-x),
    );
    factor * beta_fraction(x, a, b) / a
}

/// The continued fraction, by the method of Lentz (1976).
fn beta_fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away_from_zero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut numerator = 1.0;
    let mut denominator = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = denominator;
    for step in 1..500 {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let before = fraction;
        for term in [even, odd] {
            denominator = 1.0 / away_from_zero(1.0 + term * denominator);
            numerator = away_from_zero(1.0 + term / numerator);
            fraction *= denominator * numerator;
        }
        if (fraction / before - 1.0).abs() < 1e-15 {
            break;
        }
    }
    fraction
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::distr::{Distribution, StandardUniform};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const DIFFERENCES: [f64; 24] = [
        0.31, -0.52, -0.18, 0.07, -0.66, -0.21, 0.12, -0.44, -0.09, -0.35, 0.26, -0.58, -0.02, -0.41, 0.18,
        -0.27, -0.49, 0.05, -0.33, -0.14, 0.22, -0.61, -0.11, -0.38,
    ];

    fn close(value: f64, reference: f64) {
        assert!((value / reference - 1.0).abs() < 1e-8, "{value} is not {reference}");
    }

    /// scipy 1.x: `t.cdf`, `t.ppf`.
    #[test]
    fn students_distribution_is_that_of_scipy() {
        for (value, degrees, reference) in [
            (-2.5, 3.0, 0.043_853_323_5),
            (-0.3, 1.0, 0.407_226_420_9),
            (1.7, 29.0, 0.950_083_104),
            (0.0, 7.0, 0.5),
            (-40.0, 2.0, 3.122_073_36e-4),
        ] {
            close(student_below(value, degrees), reference);
        }
        close(student_quantile(0.05, 4.0), -2.131_846_786_326_651);
    }

    /// scipy: `ttest_1samp(DIFFERENCES, 0, alternative="less")`.
    #[test]
    fn without_overlap_it_is_students_test() {
        let test = paired_test(&DIFFERENCES, 1, 0.05).unwrap();
        close(test.statistic.unwrap(), -3.191_185_385_507_317);
        close(test.p.unwrap(), 0.002_031_664_918_506_621);
        assert_eq!((test.degrees_of_freedom, test.more_sessions), (23, None));
    }

    /// numpy: the cosine transforms by their definition.
    #[test]
    fn with_overlap_it_is_that_of_the_first_cosines() {
        let test = paired_test(&DIFFERENCES, 3, 0.05).unwrap();
        close(test.mean_difference, -0.190_833_333_333_333_3);
        close(test.standard_error.unwrap(), 0.017_119_364_789_241_694);
        close(test.p.unwrap(), 0.000_184_292_086_633_621_7);
        assert_eq!(test.degrees_of_freedom, 4);
    }

    #[test]
    fn all_cosines_together_are_the_sample_variance() {
        let n = DIFFERENCES.len();
        let mean = DIFFERENCES.iter().sum::<f64>() / n as f64;
        let squares: f64 = (1..n).map(|j| cosine_transform(&DIFFERENCES, j).powi(2)).sum();
        close(squares, DIFFERENCES.iter().map(|d| (d - mean).powi(2)).sum());
    }

    #[test]
    fn the_other_way_round_it_says_the_opposite() {
        let reverse: Vec<f64> = DIFFERENCES.iter().map(|difference| -difference).collect();
        let (one, other) =
            (paired_test(&DIFFERENCES, 3, 0.05).unwrap(), paired_test(&reverse, 3, 0.05).unwrap());
        assert!((one.p.unwrap() + other.p.unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(one.standard_error, other.standard_error);
    }

    #[test]
    fn nothing_to_compare_says_nothing() {
        assert_eq!(paired_test(&[], 1, 0.05), None);
        let one = paired_test(&[-0.1], 5, 0.05).unwrap();
        assert_eq!((one.standard_error, one.p), (None, None));
        let same = paired_test(&[0.0; 30], 5, 0.05).unwrap();
        assert_eq!((same.statistic, same.p, same.more_sessions), (None, None, None));
    }

    #[test]
    fn a_difference_that_is_not_found_says_how_many_sessions_would_find_it() {
        let faint: Vec<f64> = DIFFERENCES.iter().map(|difference| difference + 0.12).collect();
        let test = paired_test(&faint, 1, 0.05).unwrap();
        assert!(test.p.unwrap() > 0.05);
        // 24 sessions give 1.2 standard errors; 2.57 are needed.
        assert!((80..110).contains(&test.more_sessions.unwrap()), "{test:?}");
    }

    /// Differences that are sums of `horizon` neighbouring draws, as overlapping outcomes are, and mean nothing.
    #[test]
    fn of_forecasters_that_are_equally_good_about_one_in_twenty_is_called_better() {
        let mut draws = ChaCha8Rng::seed_from_u64(7);
        for (horizon, sessions, least, most) in
            [(1, 60, 0.040, 0.060), (5, 60, 0.045, 0.070), (5, 20, 0.045, 0.070)]
        {
            let rounds = 6_000;
            let called = (0..rounds)
                .filter(|_| {
                    let noise: Vec<f64> = (0..sessions + horizon - 1)
                        .map(|_| {
                            let draw: f64 = StandardUniform.sample(&mut draws);
                            draw - 0.5
                        })
                        .collect();
                    let sums: Vec<f64> = noise.windows(horizon).map(|window| window.iter().sum()).collect();
                    paired_test(&sums, horizon, 0.05).unwrap().p.unwrap() <= 0.05
                })
                .count();
            let share = called as f64 / f64::from(rounds);
            assert!((least..=most).contains(&share), "horizon {horizon}, {sessions} sessions: {share}");
        }
    }
}
