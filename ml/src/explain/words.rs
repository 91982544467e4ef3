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
        "sentiment" => ("tone of the news", Unit::Score),
        _ => return None,
    };
    Some(Meaning { words, unit })
}
