//! Published predictions are made again from the log and the objects, and come out equal.

use almanac_actors::explanations::{Explanations, Rebuilt};
use almanac_actors::settings::SourceSettings;
use almanac_domain::values::LogReturn;
use almanac_projections::instruments;
use almanac_projections::predictions::{self, Prediction};

use crate::world::{PATIENCE, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_published_prediction_is_made_again_to_the_last_digit_also_after_its_bars_were_corrected() {
    let (mut world, sessions) = World::simulated_with(24, 2).await;
    let (parts, running) = world.serve();
    running.run_until_idle(PATIENCE).await.unwrap();
    let pool = world.database.pool();
    let published = predictions::latest(pool, None, None).await.unwrap();
    let explanations = Explanations::default();
    let mut explained = 0;
    for prediction in &published {
        let made = explanations.of(&parts, prediction).await.unwrap();
        assert_eq!(made.rebuilt, Rebuilt::Same, "{prediction:?}");
        let Ok(explanation) = made.outcome else { continue };
        explained += 1;
        let forecast = prediction.forecast.as_ref().unwrap();
        let sum: rust_decimal::Decimal = forecast.fifths.unwrap().iter().map(|chance| chance.decimal()).sum();
        assert!((sum - rust_decimal::Decimal::ONE).abs() <= "0.0000000005".parse().unwrap(), "{sum}");
        assert!(forecast.volatility.unwrap() > LogReturn::ZERO);
        let reasons = &explanation.reasons;
        let sum = reasons.base + reasons.contributions.iter().map(|part| part.amount).sum::<f64>();
        assert!((sum - forecast.expected.to_f64()).abs() < 1e-9);
        assert!(explanation.before.is_some_and(|before| before.session < prediction.as_of));
        assert!(explanation.cases.nearest.iter().all(|case| case.ended <= prediction.as_of));
    }
    assert!(explained > 0, "everything was abstained from");

    // A later batch says something else about a session before.
    let first: &Prediction = published.iter().find(|prediction| prediction.forecast.is_some()).unwrap();
    let listing = instruments::find(pool, first.instrument.id).await.unwrap().unwrap();
    let (earlier, next) = (sessions[sessions.len() - 5], sessions[sessions.len() - 2]);
    let lines = [earlier, next].map(|session| format!("{},{session},70,70,70,70,1000\n", listing.symbol));
    world.write("corrected.csv", &format!("symbol,date,open,high,low,close,volume\n{}", lines.concat()));
    running.stop().await;
    world.settings.sources = vec![SourceSettings::Folder(world.inbox())];
    world.close(next);
    let (parts, running) = world.serve();
    running.run_until_idle(PATIENCE).await.unwrap();
    let bars = parts.market.bars(first.instrument.id, Some(earlier), Some(earlier), 1).await.unwrap().bars;
    assert!((bars[0].close - 70.0).abs() < 1e-12, "the correction was not taken in: {bars:?}");
    let made = Explanations::default().of(&parts, first).await.unwrap();
    assert_eq!(made.rebuilt, Rebuilt::Same);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_published_otherwise_is_said_to_differ() {
    let (world, _) = World::simulated_with(24, 1).await;
    let (parts, running) = world.serve();
    running.run_until_idle(PATIENCE).await.unwrap();
    let published = predictions::latest(world.database.pool(), None, None).await.unwrap();
    let honest = published.into_iter().find(|prediction| prediction.forecast.is_some()).unwrap();
    let explanations = Explanations::default();
    for (change, verdict) in [("0.0000000001", Rebuilt::Rounding), ("0.0000000002", Rebuilt::Differs)] {
        let mut other = honest.clone();
        let forecast = other.forecast.as_mut().unwrap();
        let moved = forecast.expected.decimal() + change.parse::<rust_decimal::Decimal>().unwrap();
        forecast.expected = serde_json::from_value(moved.to_string().into()).unwrap();
        assert_eq!(explanations.of(&parts, &other).await.unwrap().rebuilt, verdict);
    }
    let mut other = honest.clone();
    other.forecast.as_mut().unwrap().fifths.as_mut().unwrap().reverse();
    assert_eq!(explanations.of(&parts, &other).await.unwrap().rebuilt, Rebuilt::Differs);
    let mut older = honest.clone();
    let forecast = older.forecast.as_mut().unwrap();
    (forecast.volatility, forecast.fifths) = (None, None);
    let rebuilt = explanations.of(&parts, &older).await.unwrap().rebuilt;
    assert_eq!(rebuilt, Rebuilt::Same, "what an older program did not publish counts for nothing");
    let mut unranked = honest.clone();
    unranked.forecast.as_mut().unwrap().fifths = None;
    assert_eq!(explanations.of(&parts, &unranked).await.unwrap().rebuilt, Rebuilt::Differs);
    let mut abstained = honest;
    abstained.forecast = None;
    abstained.abstention = Some("stale_data".to_owned());
    assert_eq!(explanations.of(&parts, &abstained).await.unwrap().rebuilt, Rebuilt::Differs);
    running.stop().await;
}
