//! What can only be seen beside a bar's neighbours: jumps of the price, and whether they look like splits.

/// Moves beyond this in one session (absolute log return) are named.
const LARGE: f64 = 0.35;
/// The whole-number ratios by which shares are split or joined in practice.
const RATIOS: [f64; 8] = [2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 20.0, 50.0];
/// How far the open may lie from the ratio (difference of logs).
const OPEN_TOLERANCE: f64 = 0.04;
/// How far the close may lie from the ratio; a whole session has passed since the open.
const CLOSE_TOLERANCE: f64 = 0.08;

/// A move of more than 35% from one close to the next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Jump {
    /// The index of the bar that jumped.
    pub at: usize,
    /// ln(close / previous close).
    pub log_return: f64,
    /// What it looks like.
    pub kind: JumpKind,
}

/// What a jump looks like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum JumpKind {
    /// A split: the price moved by a whole-number ratio and stayed. `ratio` is new shares per old share.
    Split {
        /// 4.0 for a 4:1 split, 0.1 for one new share for ten old ones.
        ratio: f64,
    },
    /// The next close takes the move back: a bad print rather than a price.
    Reversed,
    /// Neither; large moves of this kind are mostly real.
    Plain,
}

/// The jumps in one instrument's bars, oldest first. `open` may hold NaN, `close` is finite and positive.
///
/// A jump in the last bar counts as staying, as nothing yet says otherwise.
pub fn jumps(open: &[f64], close: &[f64]) -> Vec<Jump> {
    // Ratios are compared first: a logarithm for each bar of a large file would cost more than all the rest.
    let up = libm::exp(LARGE);
    let down = libm::exp(-LARGE);
    let mut found: Vec<Jump> = Vec::new();
    for at in 1..close.len() {
        let ratio = close[at] / close[at - 1];
        if (down..=up).contains(&ratio) {
            continue;
        }
        let log_return = libm::log(ratio);
        let undoes_the_last =
            found.last().is_some_and(|last| last.at + 1 == at && matches!(last.kind, JumpKind::Reversed));
        let is_undone = close
            .get(at + 1)
            .is_some_and(|next| libm::log(next / close[at - 1]).abs() < log_return.abs() / 2.0);
        let kind = if undoes_the_last {
            JumpKind::Plain
        } else if is_undone {
            JumpKind::Reversed
        } else {
            split_ratio(open[at], close[at], close[at - 1])
                .map_or(JumpKind::Plain, |ratio| JumpKind::Split { ratio })
        };
        found.push(Jump { at, log_return, kind });
    }
    found
}

/// The ratio of the split that a bar looks like beside the close before it, whatever comes after.
pub(crate) fn looks_split(open: f64, close: f64, before: f64) -> Option<f64> {
    // The smallest ratio with the largest tolerance: nothing nearer can be one, and most bars need no logarithm.
    if (0.6..=1.6).contains(&(close / before)) { None } else { split_ratio(open, close, before) }
}

fn split_ratio(open: f64, close: f64, before: f64) -> Option<f64> {
    let opened =
        if open.is_finite() && open > 0.0 { libm::log(before / open) } else { libm::log(before / close) };
    let closed = libm::log(before / close);
    let fits = |ratio: f64| {
        let exact = libm::log(ratio);
        (opened - exact).abs() < OPEN_TOLERANCE && (closed - exact).abs() < CLOSE_TOLERANCE
    };
    RATIOS.into_iter().flat_map(|ratio| [ratio, 1.0 / ratio]).find(|&ratio| fits(ratio))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(prices: &[f64]) -> Vec<JumpKind> {
        jumps(prices, prices).into_iter().map(|jump| jump.kind).collect()
    }

    #[test]
    fn a_price_that_falls_to_a_quarter_and_stays_looks_like_a_split() {
        assert_eq!(kinds(&[400.0, 404.0, 101.5, 102.0]), [JumpKind::Split { ratio: 4.0 }]);
        assert_eq!(kinds(&[1.0, 1.01, 10.0]), [JumpKind::Split { ratio: 0.1 }]);
    }

    #[test]
    fn a_print_that_is_is_undone_the_next_day_is_no_split() {
        assert_eq!(kinds(&[40.0, 20.0, 40.1, 40.0]), [JumpKind::Reversed, JumpKind::Plain]);
    }

    #[test]
    fn a_crash_that_fits_no_ratio_stays_a_large_move() {
        assert_eq!(kinds(&[100.0, 61.0, 60.0]), [JumpKind::Plain]);
        assert_eq!(kinds(&[100.0, 75.0, 60.0]), []);
    }

    #[test]
    fn a_close_at_the_ratio_after_an_open_far_from_it_is_no_split() {
        let found = jumps(&[100.0, 75.0, 50.0], &[100.0, 50.0, 50.0]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].kind, JumpKind::Plain);
    }
}
