//! What the features mean, for people.

/// What a feature is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A difference of logarithms of prices.
    LogReturn,
    /// Standard deviations.
    Deviations,
    /// A number between minus one and one.
    Score,
    /// A share of the price.
    ShareOfPrice,
    /// One or zero.
    YesOrNo,
    /// A number without a unit.
    Number,
}

/// A feature in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meaning {
    /// What it is called.
    pub words: &'static str,
    /// What it is measured in.
    pub unit: Unit,
}

/// What a feature means; nothing for one that has no words here, whose name has to do.
pub fn meaning(feature: &str) -> Option<Meaning> {
    let (words, unit) = match feature {
        "lr_1" => ("return of the session", Unit::LogReturn),
        "lr_2" => ("return over 2 sessions", Unit::LogReturn),
        "lr_5" => ("return over 5 sessions", Unit::LogReturn),
        "lr_10" => ("return over 10 sessions", Unit::LogReturn),
        "lr_20" => ("return over 20 sessions", Unit::LogReturn),
        "mean_5" => ("mean daily return of 5 sessions", Unit::LogReturn),
        "mean_20" => ("mean daily return of 20 sessions", Unit::LogReturn),
        "mean_60" => ("mean daily return of 60 sessions", Unit::LogReturn),
        "std_5" => ("volatility of 5 sessions", Unit::LogReturn),
        "std_20" => ("volatility of 20 sessions", Unit::LogReturn),
        "std_60" => ("volatility of 60 sessions", Unit::LogReturn),
        "rsi14" => ("relative strength of 14 sessions", Unit::Score),
        "macd" => ("distance of the 12- and 26-session averages", Unit::ShareOfPrice),
        "macd_hist" => ("how that distance changes", Unit::ShareOfPrice),
        "vol_z20" => ("volume beside its last 20 sessions", Unit::Deviations),
        "dow_tue" => ("whether it is a Tuesday", Unit::YesOrNo),
        "dow_wed" => ("whether it is a Wednesday", Unit::YesOrNo),
        "dow_thu" => ("whether it is a Thursday", Unit::YesOrNo),
        "dow_fri" => ("whether it is a Friday", Unit::YesOrNo),
        "parkinson_5" => ("logarithm of the variance of 5 sessions by their ranges", Unit::Number),
        "parkinson_22" => ("logarithm of the variance of 22 sessions by their ranges", Unit::Number),
        "garman_klass_5" => ("logarithm of the variance of 5 sessions by all their prices", Unit::Number),
        "garman_klass_22" => ("logarithm of the variance of 22 sessions by all their prices", Unit::Number),
        "range_1_22" => ("range beside its last 22 sessions (logarithm)", Unit::Number),
        "range_5_66" => ("ranges of 5 sessions beside 66 (logarithm)", Unit::Number),
        "range_22_250" => ("ranges of 22 sessions beside 250 (logarithm)", Unit::Number),
        "night_1" => ("return of the night before", Unit::LogReturn),
        "day_1" => ("return from open to close", Unit::LogReturn),
        "night_20" => ("mean return of 20 nights", Unit::LogReturn),
        "day_20" => ("mean return of 20 days from open to close", Unit::LogReturn),
        "below_high_250" => ("distance from the highest close of 250 sessions", Unit::LogReturn),
        "above_low_250" => ("distance from the lowest close of 250 sessions", Unit::LogReturn),
        "place_in_range" => ("place of the close in the range", Unit::Score),
        "volume_1_20" => ("volume beside 20 sessions (logarithm)", Unit::Number),
        "volume_5_60" => ("volume of 5 sessions beside 60 (logarithm)", Unit::Number),
        "illiquidity_20" => ("how far turnover moves the price (logarithm)", Unit::Number),
        "day_of_month" => ("day of the month", Unit::Number),
        "month_ends" => ("whether the month ends", Unit::YesOrNo),
        "month_begins" => ("whether the month begins", Unit::YesOrNo),
        "market_1" => ("median return of all stocks", Unit::LogReturn),
        "market_5" => ("median return of all stocks over 5 sessions", Unit::LogReturn),
        "dispersion_1" => ("spread of the returns of all stocks", Unit::LogReturn),
        "above_1" => ("return above the median of all", Unit::LogReturn),
        "above_5" => ("return over 5 sessions above the median of all", Unit::LogReturn),
        "above_20" => ("return over 20 sessions above the median of all", Unit::LogReturn),
        "rank_1" => ("rank of the return among all", Unit::Score),
        "rank_5" => ("rank of the return over 5 sessions", Unit::Score),
        "rank_20" => ("rank of the return over 20 sessions", Unit::Score),
        "rank_std_20" => ("rank of the volatility among all", Unit::Score),
        "rank_volume" => ("rank of the unusual volume among all", Unit::Score),
        "sentiment" => ("tone of the news", Unit::Score),
        _ => return None,
    };
    Some(Meaning { words, unit })
}
