//! What makes a training due before the schedule does: what the champion has published of late, and its age.

use almanac_domain::training_run::{TrainingFigure, TrainingReason};
use almanac_domain::values::{Horizon, Measure, Session};
use almanac_ml::drift::{self, FeatureDrift};
use almanac_ml::{Artefact, Inputs};
use almanac_projections::models::{self, Champion};
use almanac_projections::track_record::{self, RecordPoint};
use almanac_projections::trials;
use almanac_store::StoreError;

use super::schedule::sessions_after;
use crate::parts::Parts;
use crate::settings::WatchSettings;
use crate::trade::TradeError;

/// The coverage that the 80% intervals promise.
const PROMISED: f64 = 0.8;

/// Why a training is due as of the session `last`, with the figures, if one is. While a challenger is on trial none is: the
/// answer is on its way.
pub(super) async fn due(
    parts: &Parts,
    last: Session,
) -> Result<Option<(TrainingReason, Vec<TrainingFigure>)>, TradeError> {
    let (pool, name) = (parts.database.pool(), &parts.settings.model);
    let watch = &parts.settings.training.watch;
    let Some(champion) = models::champion(pool, name, i64::MAX).await? else { return Ok(None) };
    if trials::open(pool, name).await?.is_some() {
        return Ok(None);
    }
    let mut recent = Vec::new();
    for horizon in &champion.plan.horizons {
        let version = Some(champion.version);
        let points = track_record::series(pool, name, horizon.sessions(), version, i64::MAX).await?;
        // Fewer sessions than the window say too little.
        if let Some(first) = points.len().checked_sub(watch.window as usize) {
            recent.push((*horizon, points[first..].to_vec()));
        }
    }
    let told = [
        (TrainingReason::CoverageDrift, coverage(watch, &recent)),
        (TrainingReason::SkillDecay, skill(watch, &recent)),
        (TrainingReason::Age, age(watch, sessions_after(parts.calendar(), champion.trained_through, last))),
    ];
    if let Some(due) = told.into_iter().find(|(_, figures)| !figures.is_empty()) {
        return Ok(Some(due));
    }
    let figures = features(parts, watch, &champion, last).await?;
    Ok((!figures.is_empty()).then_some((TrainingReason::FeatureDrift, figures)))
}

/// One figure for each feature that is not what the champion learnt from, if there are as many as make a training due.
async fn features(
    parts: &Parts,
    watch: &WatchSettings,
    champion: &Champion,
    last: Session,
) -> Result<Vec<TrainingFigure>, TradeError> {
    if watch.features == 0 {
        return Ok(vec![]);
    }
    let bytes = parts.objects.get(&champion.artefact.key).await.map_err(StoreError::from)?;
    let artefact = Artefact::open(&bytes, champion.artefact.sha256.as_str())
        .map_err(TradeError::broken("the champion's artefact cannot be used"))?;
    let reads_news = artefact.features.iter().any(|name| name == almanac_ml::features::SENTIMENT);
    let news = if reads_news { Some(parts.news.sentiment().await?) } else { None };
    let view = parts.market.view().await?;
    let measured = tokio::task::spawn_blocking(move || {
        let panel = view.panel(last);
        drift::measure(&artefact, &Inputs::new(&panel, news.as_deref()), last)
    })
    .await
    .map_err(TradeError::broken("could not look at the features of late"))?;
    Ok(drifted(watch, &measured))
}

fn drifted(watch: &WatchSettings, measured: &[FeatureDrift]) -> Vec<TrainingFigure> {
    let drifted: Vec<&FeatureDrift> = measured.iter().filter(|feature| feature.drifted).collect();
    if drifted.len() < needed(watch.features as usize, measured.len()) {
        return vec![];
    }
    let figure = |feature: &FeatureDrift| {
        Some(TrainingFigure {
            name: format!("population stability index of {}", feature.feature),
            value: Measure::from_f64(feature.stability).ok()?,
            threshold: Measure::from_f64(feature.usual_stability).ok()?,
            sessions: drift::WINDOW as u32,
        })
    };
    drifted.into_iter().filter_map(figure).collect()
}

/// How many have to drift of so many, where `of_the_core` are enough among the features of the core.
fn needed(of_the_core: usize, measured: usize) -> usize {
    let core = almanac_ml::features::NAMES.len();
    (of_the_core * measured.max(core) + core / 2) / core
}

fn coverage(watch: &WatchSettings, recent: &[(Horizon, Vec<RecordPoint>)]) -> Vec<TrainingFigure> {
    let of = |points: &[RecordPoint]| {
        let scored: u64 = points.iter().map(|point| point.scored).sum();
        points.iter().map(|point| point.inside_80).sum::<u64>() as f64 / scored as f64
    };
    let passes = |value: f64| watch.coverage > 0.0 && (value - PROMISED).abs() > watch.coverage;
    figures("coverage_80", recent, watch.coverage, of, passes)
}

fn skill(watch: &WatchSettings, recent: &[(Horizon, Vec<RecordPoint>)]) -> Vec<TrainingFigure> {
    let of = |points: &[RecordPoint]| {
        let sum =
            |of: fn(&RecordPoint) -> Measure| points.iter().map(|point| of(point).to_f64()).sum::<f64>();
        1.0 - sum(|point| point.squared_error) / sum(|point| point.squared_error_drift)
    };
    figures("skill_vs_drift", recent, watch.skill, of, |value| watch.skill > 0.0 && value < -watch.skill)
}

/// One figure for each horizon whose value passes.
fn figures(
    name: &str,
    recent: &[(Horizon, Vec<RecordPoint>)],
    threshold: f64,
    of: impl Fn(&[RecordPoint]) -> f64,
    passes: impl Fn(f64) -> bool,
) -> Vec<TrainingFigure> {
    let figure = |(horizon, points): &(Horizon, Vec<RecordPoint>)| {
        let value = of(points);
        // What is no number passes nothing.
        if !passes(value) {
            return None;
        }
        Some(TrainingFigure {
            name: format!("{name} at {}", horizon.sessions()),
            value: Measure::from_f64(value).ok()?,
            threshold: Measure::from_f64(threshold).ok()?,
            sessions: points.len() as u32,
        })
    };
    recent.iter().filter_map(figure).collect()
}

/// One figure when the champion is so many sessions old.
fn age(watch: &WatchSettings, age: u32) -> Vec<TrainingFigure> {
    let figure = || {
        Some(TrainingFigure {
            name: "sessions since its data ended".to_owned(),
            value: Measure::from_f64(f64::from(age)).ok()?,
            threshold: Measure::from_f64(f64::from(watch.age)).ok()?,
            sessions: age,
        })
    };
    (watch.age > 0 && age >= watch.age).then(figure).flatten().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(scored: u64, inside_80: u64, model: f64, drift: f64) -> RecordPoint {
        let measure = |value| Measure::from_f64(value).unwrap();
        RecordPoint {
            session: Session::MIN,
            scored,
            inside_80,
            inside_95: scored,
            squared_error: measure(model),
            squared_error_zero: measure(drift),
            squared_error_drift: measure(drift),
            hits: 0,
            hit_predictions: 0,
        }
    }

    fn lately(points: Vec<RecordPoint>) -> Vec<(Horizon, Vec<RecordPoint>)> {
        vec![(Horizon::new(5).unwrap(), points)]
    }

    #[test]
    fn intervals_that_hold_too_little_or_too_much_are_told() {
        let watch = WatchSettings::default();
        for (inside, told) in [(68, true), (72, false), (88, false), (92, true)] {
            let figures = coverage(&watch, &lately(vec![point(100, inside, 1.0, 1.0)]));
            assert_eq!(!figures.is_empty(), told, "{inside}");
        }
        let figures = coverage(&watch, &lately(vec![point(100, 60, 1.0, 1.0), point(100, 70, 1.0, 1.0)]));
        assert_eq!((figures[0].name.as_str(), figures[0].sessions), ("coverage_80 at 5", 2));
        assert!((figures[0].value.to_f64() - 0.65).abs() < 1e-9);
    }

    #[test]
    fn an_error_above_the_drifts_is_told_and_one_below_is_not() {
        let watch = WatchSettings::default();
        for (error, told) in [(1.05, true), (1.01, false), (0.5, false)] {
            let figures = skill(&watch, &lately(vec![point(100, 80, error, 1.0)]));
            assert_eq!(!figures.is_empty(), told, "{error}");
        }
    }

    #[test]
    fn the_error_is_that_of_all_sessions_together_and_is_told_with_what_it_was_held_against() {
        let watch = WatchSettings { skill: 0.02, ..WatchSettings::default() };
        // The one bad session weighs by its errors: 1 - 5.25 / 5.
        let figures = skill(&watch, &lately(vec![point(10, 8, 1.0, 1.0), point(10, 8, 4.25, 4.0)]));
        let [figure] = figures.as_slice() else { panic!("{figures:?}") };
        assert_eq!((figure.name.as_str(), figure.sessions), ("skill_vs_drift at 5", 2));
        assert!(
            (figure.value.to_f64() + 0.05).abs() < 1e-9 && (figure.threshold.to_f64() - 0.02).abs() < 1e-9
        );
    }

    #[test]
    fn each_horizon_that_passes_is_told_and_no_other() {
        let at = |sessions, inside| (Horizon::new(sessions).unwrap(), vec![point(100, inside, 1.0, 1.0)]);
        let figures = coverage(&WatchSettings::default(), &[at(1, 60), at(5, 80), at(20, 99)]);
        let names: Vec<&str> = figures.iter().map(|figure| figure.name.as_str()).collect();
        assert_eq!(names, ["coverage_80 at 1", "coverage_80 at 20"]);
    }

    #[test]
    fn a_champion_is_old_from_the_session_on_that_the_setting_says() {
        let watch = WatchSettings { age: 126, ..WatchSettings::default() };
        assert_eq!(age(&watch, 125), []);
        let figures = age(&watch, 126);
        let [figure] = figures.as_slice() else { panic!("{figures:?}") };
        assert_eq!((figure.name.as_str(), figure.sessions), ("sessions since its data ended", 126));
        assert_eq!((figure.value.to_f64(), figure.threshold.to_f64()), (126.0, 126.0));
        assert_eq!(age(&WatchSettings { age: 0, ..watch }, 9_999), [], "switched off");
    }

    #[test]
    fn a_feature_that_drifted_is_told_by_its_index_beside_the_largest_of_training() {
        let feature = FeatureDrift {
            feature: "std_20".to_owned(),
            rows: 500,
            stability: 0.5,
            usual_stability: 0.3,
            distance: 0.4,
            usual_distance: 0.2,
            drifted: true,
        };
        let figures = drifted(&WatchSettings { features: 1, ..WatchSettings::default() }, &[feature]);
        let [figure] = figures.as_slice() else { panic!("{figures:?}") };
        assert_eq!((figure.name.as_str(), figure.sessions), ("population stability index of std_20", 20));
        assert_eq!((figure.value.to_f64(), figure.threshold.to_f64()), (0.5, 0.3));
    }

    #[test]
    fn so_many_features_as_the_setting_says_have_to_drift() {
        let feature = |name: &str, drifted| FeatureDrift {
            feature: name.to_owned(),
            rows: 500,
            stability: 0.5,
            usual_stability: 0.3,
            distance: 0.4,
            usual_distance: 0.2,
            drifted,
        };
        let measured = [feature("r1", true), feature("r5", false), feature("vol_20", true)];
        let told =
            |features| drifted(&WatchSettings { features, ..WatchSettings::default() }, &measured).len();
        assert_eq!((told(2), told(3)), (2, 0));
        assert_eq!([19, 20, 50, 51].map(|measured| needed(3, measured)), [3, 3, 8, 8]);
    }

    #[test]
    fn a_threshold_of_nothing_is_never_passed_and_nothing_scored_tells_nothing() {
        let off = WatchSettings { coverage: 0.0, skill: 0.0, ..WatchSettings::default() };
        let bad = lately(vec![point(100, 10, 9.0, 1.0)]);
        assert!(coverage(&off, &bad).is_empty() && skill(&off, &bad).is_empty());
        let empty = lately(vec![point(0, 0, 0.0, 0.0)]);
        let watch = WatchSettings::default();
        assert!(coverage(&watch, &empty).is_empty() && skill(&watch, &empty).is_empty());
    }
}
