//! How the report writes numbers and names.

/// A share in percent.
pub(super) fn percent(share: f64, digits: usize) -> String {
    format!("{}%", signed(share * 100.0, digits))
}

/// A number with a true minus sign.
pub(super) fn signed(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    match text.strip_prefix('-') {
        Some(zero) if zero.chars().all(|digit| matches!(digit, '0' | '.')) => zero.to_owned(),
        Some(size) => format!("−{size}"),
        None => text,
    }
}

/// Four significant digits: errors of returns are small numbers.
pub(super) fn measure(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return signed(value, 1);
    }
    let before = value.abs().log10().floor() as i32;
    signed(value, usize::try_from(3 - before).unwrap_or(0).min(12))
}

/// A value, or that there is none.
pub(super) fn or_none(value: Option<f64>, write: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| "–".to_owned(), write)
}

/// Words of the service as a sentence.
pub(super) fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    let stop = if words.ends_with('.') { "" } else { "." };
    format!("{first}{}{stop}", letters.as_str())
}

/// What a measure, a baseline or a family is called.
pub(super) fn name(word: &str) -> String {
    let known = match word {
        "squared_error" => "squared error of the return",
        "absolute_error" => "absolute error of the return",
        "hit_rate" => "direction right",
        "information_coefficient" => "daily rank correlation (IC)",
        "crps" => "continuous ranked probability score",
        "pinball" => "pinball loss",
        "interval_score_80" => "interval score, 80%",
        "interval_score_95" => "interval score, 95%",
        "coverage_80" => "inside the 80% interval",
        "coverage_95" => "inside the 95% interval",
        "qlike" => "QLIKE loss of the variance",
        "brier" => "Brier score of a rise",
        "log_score" => "logarithmic score of a rise",
        "ranked_probability_score" => "ranked probability score (M6)",
        "zero" => "no change",
        "platt" => "by a logistic curve (Platt)",
        "isotonic" => "by isotonic regression",
        "recent_volatility" => "20-day volatility",
        "always_up" => "always up",
        "nominal" => "its level",
        other => return other.replace('_', " "),
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_digits_that_count_and_a_true_minus_sign() {
        assert_eq!(measure(0.016_745_6), "0.01675");
        assert_eq!(measure(-0.000_028), "−0.00002800");
        assert_eq!(measure(123_456.0), "123456");
        assert_eq!(signed(-0.0001, 2), "0.00");
        assert_eq!(percent(0.8034, 1), "80.3%");
        assert_eq!(sentence("better than drift: squared error"), "Better than drift: squared error.");
    }
}
