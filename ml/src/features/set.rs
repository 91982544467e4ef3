//! Which features a model looks at.

use serde::{Deserialize, Serialize};

use super::{NAMES, WARM_UP_ROWS, wide};

/// The features of a version. Sets are never changed, as registered versions look at them: a better one is another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeatureSet {
    /// The nineteen of [`NAMES`]: an instrument's own closes, its volumes, the weekday.
    #[default]
    Core,
    /// Those, and 31 more: ranges, nights, distance from highs and lows, shocks of volume, the month, and the place among
    /// the others of the session.
    Wide,
}

impl FeatureSet {
    /// Every set.
    pub const ALL: [Self; 2] = [Self::Core, Self::Wide];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Wide => "wide",
        }
    }

    /// The set of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|set| set.name() == name)
    }

    /// The names of its features, in their order; the sentiment of the news, where there is one, comes after them.
    pub fn features(self) -> Vec<&'static str> {
        match self {
            Self::Core => NAMES.to_vec(),
            Self::Wide => [NAMES.as_slice(), wide::NAMES.as_slice()].concat(),
        }
    }

    /// The set whose features begin a list of names. Whether the list is that set's and nothing else is for the caller to
    /// compare: a list of other names begins with no set, and is taken for the core.
    pub fn of(names: &[impl AsRef<str>]) -> Self {
        let is = |set: &Self| {
            let features = set.features();
            names.len() >= features.len()
                && features.iter().zip(names).all(|(feature, name)| *feature == name.as_ref())
        };
        Self::ALL.into_iter().rev().find(is).unwrap_or_default()
    }

    /// Whether it is the first one, which is never written down.
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes what may be left out by reference")]
    pub(crate) fn is_core(&self) -> bool {
        *self == Self::Core
    }

    /// Rows before a row that the features of one row take, beside recursive ones.
    pub(crate) const fn look_back(self) -> usize {
        match self {
            Self::Core => WARM_UP_ROWS,
            Self::Wide => wide::LOOK_BACK,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_known_by_its_name_and_by_the_features_a_list_begins_with() {
        for set in FeatureSet::ALL {
            assert_eq!(FeatureSet::named(set.name()), Some(set));
            let mut names: Vec<String> = set.features().into_iter().map(str::to_owned).collect();
            assert_eq!(FeatureSet::of(&names), set);
            names.push("sentiment".to_owned());
            assert_eq!(FeatureSet::of(&names), set);
        }
        assert_eq!(FeatureSet::of(&["lr_1".to_owned()]), FeatureSet::Core);
        assert_eq!(FeatureSet::named("prophet"), None);
    }
}
