//! The family that is trained by default, from bars to a prediction that is explained.

use almanac_actors::explanations::{Explanations, Rebuilt};
use almanac_actors::settings::{SourceSettings, TrainingSettings};
use almanac_actors::trainer::{Outcome, rebuild};
use almanac_domain::values::{Horizon, Mode};
use almanac_ml::models::Fitted;
use almanac_ml::simulator::{Market, Settings};
use almanac_ml::{Artefact, Family};
use almanac_projections::{models, predictions};

use crate::world::{PATIENCE, World};

#[tokio::test(flavor = "multi_thread")]
async fn the_ensemble_is_trained_made_again_to_the_same_bytes_published_and_explained() {
    // The trees want four thousand rows before the first quarter.
    let market = Settings::of_years(20, 3, 5);
    let last = *Market::new(&market).sessions().last().unwrap();
    let mut world = World::at_the_close_of(last, Mode::Simulated).await;
    world.settings.sources = vec![SourceSettings::Simulator(market)];
    let usual = TrainingSettings::default();
    world.settings.training =
        TrainingSettings { horizons: vec![Horizon::new(1).unwrap()], retrain_every: 0, ..usual };
    assert_eq!(world.settings.training.family, "ensemble", "the family by default");
    let (parts, running) = world.serve();
    running.run_until_idle(PATIENCE).await.unwrap();

    let (pool, name) = (world.database.pool(), &parts.settings.model);
    let champion = models::champion(pool, name, i64::MAX).await.unwrap().unwrap();
    let bytes = parts.objects.get(&champion.artefact.key).await.unwrap();
    let artefact = Artefact::open(&bytes, champion.artefact.sha256.as_str()).unwrap();
    assert!(matches!(artefact.family, Family::Ensemble { .. }), "{:?}", artefact.family);
    assert!(matches!(artefact.models[0].fitted, Fitted::Blend(_)));
    let again = rebuild(&parts, name, champion.version, &mut |_| {}).await.unwrap();
    assert_eq!(again.outcome, Outcome::SameBytes, "{again:#?}");

    let published = predictions::latest(pool, None, None).await.unwrap();
    let forecasts: Vec<_> = published.iter().filter(|prediction| prediction.forecast.is_some()).collect();
    assert!(!forecasts.is_empty(), "{published:?}");
    let explanations = Explanations::default();
    for prediction in forecasts {
        assert_eq!((prediction.version, prediction.as_of), (champion.version, last));
        let made = explanations.of(&parts, prediction).await.unwrap();
        assert_eq!(made.rebuilt, Rebuilt::Same, "{prediction:?}");
        let reasons = made.outcome.unwrap().reasons;
        let sum = reasons.base + reasons.contributions.iter().map(|part| part.amount).sum::<f64>();
        assert!((sum - prediction.forecast.as_ref().unwrap().expected.to_f64()).abs() < 1e-9);
    }
    assert!(running.reports().iter().all(|report| report.error.is_none()), "{:#?}", running.reports());
    running.stop().await;
}
