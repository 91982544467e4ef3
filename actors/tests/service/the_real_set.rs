//! The real set, where it is there: 505 instruments and 619,040 rows through ingestion, training and prediction.

use std::path::PathBuf;
use std::time::Instant;

use almanac_actors::forecaster::predict_now;
use almanac_actors::ingestion::ingest_path;
use almanac_actors::trainer::train_now;
use almanac_domain::values::Mode;

use crate::world::{PATIENCE, World, day};

#[tokio::test(flavor = "multi_thread")]
async fn the_real_set_goes_the_whole_way_in_a_matter_of_seconds() {
    let Some(folder) = std::env::var_os("ALMANAC_REAL_DATA").map(PathBuf::from) else {
        eprintln!("skipped: ALMANAC_REAL_DATA does not name the folder of the real set");
        return;
    };
    let world = World::at_the_close_of(day("2018-02-07"), Mode::Replayed).await;
    let (parts, running) = world.keep_the_log().await;
    let began = Instant::now();
    let report = ingest_path(&parts, &folder.join("sp500_5y.parquet"), &mut |_| {}).await.unwrap();
    running.run_until_idle(PATIENCE).await.unwrap();
    let ingested = began.elapsed();
    assert_eq!(report.listed, 505);
    assert_eq!(report.recorded[0].rows + report.recorded[0].quarantined, 619_040);

    let began = Instant::now();
    let trained = train_now(&parts, parts.settings.training.plan(), &mut |_| {}).await.unwrap();
    running.run_until_idle(PATIENCE).await.unwrap();
    let training = began.elapsed();
    assert!(trained.promoted && trained.version == 1);

    let began = Instant::now();
    let predicted = predict_now(&parts).await.unwrap();
    running.run_until_idle(PATIENCE).await.unwrap();
    assert_eq!(predicted.published + predicted.abstained, 1_515);
    eprintln!("ingest {ingested:?}, train {training:?}, predict {:?}, {predicted:?}", began.elapsed());
    running.stop().await;
}
