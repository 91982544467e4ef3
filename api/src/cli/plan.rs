//! What a training on the command line learns, where it is not what the configuration says.

use almanac_domain::training_run::{FeatureSet, TrainingPlan};
use almanac_domain::values::Horizon;
use almanac_ml::Family;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

/// Flags of the verbs that train.
#[derive(Debug, Clone, Args)]
pub(super) struct PlanFlags {
    /// The family of models; the configured one unless said
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(Family::names()))]
    pub(super) family: Option<String>,
    /// What the version looks at; the configured set unless said.
    #[arg(long, value_name = "SET", value_parser = feature_sets())]
    feature_set: Option<FeatureSet>,
    /// A horizon in sessions, once for each; the configured ones unless said.
    #[arg(long = "horizon", value_name = "SESSIONS", value_parser = horizon)]
    horizons: Vec<Horizon>,
    /// Let the daily sentiment be a feature.
    #[arg(long)]
    sentiment: bool,
    /// The seed of everything that is drawn.
    #[arg(long)]
    seed: Option<u64>,
}

impl PlanFlags {
    /// The names of the flags, for those who take a plan from elsewhere instead.
    pub(super) const NAMES: [&'static str; 5] = ["family", "feature_set", "horizons", "sentiment", "seed"];

    /// The usual plan, with what is said otherwise.
    pub(super) fn plan(&self, usual: TrainingPlan) -> TrainingPlan {
        let mut horizons = self.horizons.clone();
        horizons.sort_unstable();
        horizons.dedup();
        TrainingPlan {
            family: self.family.clone().unwrap_or(usual.family),
            feature_set: self.feature_set.unwrap_or(usual.feature_set),
            horizons: if horizons.is_empty() { usual.horizons } else { horizons },
            sentiment: usual.sentiment || self.sentiment,
            seed: self.seed.unwrap_or(usual.seed),
        }
    }
}

fn feature_sets() -> impl TypedValueParser<Value = FeatureSet> {
    PossibleValuesParser::new(FeatureSet::ALL.map(FeatureSet::as_str)).try_map(|word| word.parse())
}

/// A horizon as it is given to a flag.
pub(super) fn horizon(text: &str) -> Result<Horizon, String> {
    let sessions: u32 = text.parse().map_err(|_| "a horizon is a number of sessions".to_owned())?;
    Horizon::new(sessions).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_said_replaces_what_is_usual_and_horizons_stand_in_order_once() {
        let at = |sessions: &[u32]| sessions.iter().map(|it| Horizon::new(*it).unwrap()).collect::<Vec<_>>();
        let usual = TrainingPlan {
            family: "ensemble".into(),
            feature_set: FeatureSet::Wide,
            horizons: at(&[1, 5, 20]),
            sentiment: false,
            seed: 1,
        };
        let nothing =
            PlanFlags { family: None, feature_set: None, horizons: vec![], sentiment: false, seed: None };
        assert_eq!(nothing.plan(usual.clone()), usual);
        let family = Some("drift".to_owned());
        let said = PlanFlags {
            family,
            feature_set: Some(FeatureSet::Core),
            horizons: at(&[5, 1, 5]),
            sentiment: true,
            seed: Some(9),
        };
        let expected = TrainingPlan {
            family: "drift".into(),
            feature_set: FeatureSet::Core,
            horizons: at(&[1, 5]),
            sentiment: true,
            seed: 9,
        };
        assert_eq!(said.plan(usual), expected);
    }
}
