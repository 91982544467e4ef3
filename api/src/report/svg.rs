//! Pictures as inline SVG: a plane with axes, and marks on it. Colours are classes of `page.css`, so that a picture is
//! light or dark as its reader is; every text is escaped.

use std::fmt::Write;

/// The size of every picture, in its own units.
const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 240.0;
/// Room for what is written beside the axes.
const LEFT: f64 = 52.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 30.0;

/// A picture in the making.
pub(super) struct Plot {
    body: String,
    x: (f64, f64),
    y: (f64, f64),
}

/// Something to be drawn at a place on the horizontal axis, from one value to another.
pub(super) struct Span {
    pub(super) at: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Plot {
    /// A plane that holds `x` and, with a little room, `y`.
    pub(super) fn new(x: (f64, f64), y: (f64, f64)) -> Self {
        let room = |(low, high): (f64, f64)| if high > low { (low, high) } else { (low - 0.5, high + 0.5) };
        Self { body: String::new(), x: room(x), y: room(y) }
    }

    fn across(&self, value: f64) -> f64 {
        LEFT + (value - self.x.0) / (self.x.1 - self.x.0) * (WIDTH - LEFT - RIGHT)
    }

    fn up(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - (value - self.y.0) / (self.y.1 - self.y.0) * (HEIGHT - TOP - BOTTOM)
    }

    fn put(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing into a string does not fail.
        let _ = self.body.write_fmt(element);
    }

    /// Lines across at round values, each with its number.
    pub(super) fn values(mut self, format: impl Fn(f64) -> String) -> Self {
        for value in round_values(self.y.0, self.y.1) {
            let (y, text) = (self.up(value), escape(&format(value)));
            let (right, beside) = (WIDTH - RIGHT, LEFT - 6.0);
            self.put(format_args!(
                r#"<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1}" y2="{y:.1}"/><text class="value" x="{beside}" y="{:.1}">{text}</text>"#,
                y + 3.5
            ));
        }
        self
    }

    /// Words below the plane.
    pub(super) fn words(mut self, words: &[(f64, String)]) -> Self {
        for (at, text) in words {
            let (x, text) = (self.across(*at), escape(text));
            self.put(format_args!(r#"<text class="word" x="{x:.1}" y="{:.1}">{text}</text>"#, HEIGHT - 10.0));
        }
        self
    }

    /// A line across, where something should be.
    pub(super) fn rule(mut self, class: &str, value: f64) -> Self {
        let (y, right) = (self.up(value), WIDTH - RIGHT);
        self.put(format_args!(
            r#"<line class="rule {class}" x1="{LEFT}" x2="{right}" y1="{y:.1}" y2="{y:.1}"/>"#
        ));
        self
    }

    /// A line through points.
    pub(super) fn line(mut self, class: &str, points: &[(f64, f64)]) -> Self {
        let path: Vec<String> =
            points.iter().map(|(x, y)| format!("{:.1},{:.1}", self.across(*x), self.up(*y))).collect();
        self.put(format_args!(r#"<polyline class="line {class}" points="{}"/>"#, path.join(" ")));
        self
    }

    /// Points.
    pub(super) fn dots(mut self, class: &str, points: &[(f64, f64)]) -> Self {
        for (x, y) in points {
            let (x, y) = (self.across(*x), self.up(*y));
            self.put(format_args!(r#"<circle class="dot {class}" cx="{x:.1}" cy="{y:.1}" r="3.5"/>"#));
        }
        self
    }

    /// Columns, `width` wide on the horizontal axis.
    pub(super) fn columns(mut self, class: &str, width: f64, spans: &[Span]) -> Self {
        for span in spans {
            let (left, right) = (self.across(span.at - width / 2.0), self.across(span.at + width / 2.0));
            let (top, bottom) = (self.up(span.high.max(span.low)), self.up(span.high.min(span.low)));
            self.put(format_args!(
                r#"<rect class="column {class}" x="{left:.1}" y="{top:.1}" width="{:.1}" height="{:.1}"/>"#,
                right - left,
                (bottom - top).max(0.5)
            ));
        }
        self
    }

    /// What an estimate may be: a line up and down with its ends.
    pub(super) fn whiskers(mut self, class: &str, spans: &[Span]) -> Self {
        for span in spans {
            let (x, low, high) = (self.across(span.at), self.up(span.low), self.up(span.high));
            self.put(format_args!(
                r#"<path class="whisker {class}" d="M{x:.1} {low:.1}V{high:.1}M{:.1} {low:.1}h8M{:.1} {high:.1}h8"/>"#,
                x - 4.0,
                x - 4.0
            ));
        }
        self
    }

    /// The picture, with what it shows in words for those who do not see it.
    pub(super) fn drawn(self, words: &str) -> String {
        let (body, words) = (self.body, escape(words));
        format!(r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{words}">{body}</svg>"#)
    }
}

/// Text as it may stand in markup.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Three to six round values between two ends.
fn round_values(low: f64, high: f64) -> Vec<f64> {
    let rough = (high - low) / 4.0;
    if !(rough.is_finite() && rough > 0.0) {
        return vec![];
    }
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .map(|times| times * power)
        .find(|step| *step >= rough * 0.999)
        .unwrap_or(10.0 * power);
    let first = (low / step - 1e-9).ceil();
    let count = ((high / step + 1e-9).floor() - first).max(-1.0) as usize + 1;
    (0..count).map(|i| (first + i as f64) * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_values_lie_between_the_ends_and_are_few() {
        assert_eq!(round_values(0.0, 1.0), [0.0, 0.25, 0.5, 0.75, 1.0]);
        assert_eq!(round_values(-3.0, 7.0), [-2.5, 0.0, 2.5, 5.0]);
        for (low, high) in [(0.013, 0.0172), (-120.0, 3.0), (0.0, 1e-9), (0.799, 0.801)] {
            let values = round_values(low, high);
            assert!((2..=7).contains(&values.len()), "{low} to {high}: {values:?}");
            assert!(values.iter().all(|value| *value >= low - 1e-12 && *value <= high + 1e-12));
        }
        assert!(round_values(f64::NAN, 1.0).is_empty() && round_values(1.0, 1.0).is_empty());
    }

    #[test]
    fn no_text_becomes_markup() {
        let drawn = Plot::new((0.0, 1.0), (0.0, 1.0))
            .words(&[(0.5, "<script>".to_owned())])
            .values(|_| "\"&'".to_owned())
            .drawn("a \"title\" <b>");
        assert!(!drawn.contains("<script>") && !drawn.contains("<b>") && drawn.contains("&lt;script&gt;"));
        assert!(drawn.contains("&quot;&amp;&#39;"));
    }
}
