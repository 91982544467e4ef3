//! From bars to forecasts: the same whatever the order, the scale or the future; and no forecast where there can be
//! none.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::ops::ControlFlow;

use almanac_ml::artefact::digest;
use almanac_ml::evaluation::{Baseline, Verdict};
use almanac_ml::models::Choices;
use almanac_ml::predict::{PredictError, forecast_on};
use almanac_ml::{
    Abstention, Artefact, Bar, Bars, DailySentiment, Family, FeatureSet, FeatureTable, Inputs, Outcome,
    Panel, Predicted, Stage, Threads, TrainError, Trained, TrainingSpec, forecast, train,
};
use chrono::{Datelike, Days, NaiveDate, Weekday};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn weekdays(count: usize) -> Vec<NaiveDate> {
    let start = NaiveDate::from_ymd_opt(2014, 1, 2).unwrap();
    (0..)
        .map(|i| start + Days::new(i))
        .filter(|date| !matches!(date.weekday(), Weekday::Sat | Weekday::Sun))
        .take(count)
        .collect()
}

/// Random walks, `rows` sessions of each instrument.
fn walks(instruments: usize, rows: usize, seed: u64) -> Vec<(String, Bar)> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut all = Vec::new();
    for instrument in 0..instruments {
        let mut close: f64 = random.random_range(10.0..200.0);
        for session in weekdays(rows) {
            let open = close * (1.0 + random.random_range(-0.01..0.01));
            close = open * (1.0 + random.random_range(-0.02..0.0205));
            let volume = f64::from(random.random_range(1_000..1_000_000_u32));
            let bar = Bar { session, open, high: open.max(close), low: open.min(close), close, volume };
            all.push((format!("I{instrument:02}"), bar));
        }
    }
    all
}

fn panel_of(rows: &[(String, Bar)]) -> Panel {
    let mut bars = Bars::default();
    for (key, bar) in rows {
        bars.push(key, *bar);
    }
    Panel::new(bars)
}

fn go_on(_: almanac_ml::Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn trained(panel: &Panel, as_of: NaiveDate) -> Trained {
    train(&Inputs::of(panel), &TrainingSpec::default(), as_of, &mut go_on).unwrap()
}

fn predicted(outcome: &Outcome) -> Predicted {
    match outcome {
        Outcome::Predicted(predicted) => *predicted,
        Outcome::Abstained(reason) => panic!("abstained: {reason}"),
    }
}

#[test]
fn a_training_gives_a_model_an_evaluation_and_a_clean_leak_report() {
    let panel = panel_of(&walks(22, 500, 1));
    let as_of = weekdays(500)[499];
    let trained = trained(&panel, as_of);
    assert!(trained.leak_report.passed() && trained.leak_report.checks.len() >= 7);
    assert_eq!(trained.leak_report.suspicions, Vec::<String>::new());
    assert_eq!(trained.artefact.models.iter().map(|model| model.horizon).collect::<Vec<_>>(), [1, 5, 20]);
    assert_eq!(trained.artefact.data_digest, panel.digest());
    for evaluation in &trained.evaluation.horizons {
        assert!(evaluation.quarters.iter().all(|quarter| quarter.train_rows > 1000));
        assert!(
            evaluation.quarters.iter().all(|quarter| quarter.r2_vs_drift_pct.is_some_and(f64::is_finite))
        );
        let ranks = evaluation.quarters.iter().any(|quarter| quarter.ic.is_some());
        assert_eq!(ranks, evaluation.model.point.ic.is_some());
        assert_eq!(evaluation.zero.point.r2_vs_zero_pct.to_bits(), 0.0_f64.to_bits());
        assert_eq!(evaluation.drift.point.r2_vs_drift_pct.to_bits(), 0.0_f64.to_bits());
        assert!(evaluation.model.distribution.is_some() && evaluation.drift.distribution.is_some());
        // Independent draws have no skill in them to be found.
        assert_ne!(evaluation.against_drift.verdict, Verdict::Better, "{}", evaluation.against_drift.words);
        // Twenty sessions ahead there are only a handful of outcomes that do not overlap.
        let near = if evaluation.horizon < 20 { 0.05 } else { 0.15 };
        for interval in &evaluation.model.intervals {
            assert!((interval.coverage - interval.level).abs() < near, "{interval:?}");
        }
        assert!(evaluation.measure("ranked_probability_score").is_some());
        let beside: Vec<Baseline> =
            evaluation.measure("qlike").unwrap().against.iter().map(|against| against.baseline).collect();
        assert_eq!(beside, [Baseline::RecentVolatility, Baseline::Climatology]);
        assert!(evaluation.calibration.as_ref().is_some_and(|report| report.instruments.len() == 22));
        assert!(evaluation.placebo.as_ref().is_some_and(|placebo| placebo.instruments == 22));
    }
    let text = serde_json::to_string(&trained.evaluation).unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap()["horizons"][0]["horizon"], 1);
}

#[test]
fn the_order_of_rows_and_what_came_later_change_no_byte_of_the_artefact_and_nothing_of_the_evaluation() {
    let rows = walks(6, 520, 2);
    let as_of = weekdays(520)[470];
    let first = trained(&panel_of(&rows), as_of);
    let same = |other: &Trained| {
        assert_eq!(other.artefact.to_bytes(), first.artefact.to_bytes());
        assert_eq!(other.evaluation, first.evaluation, "bootstrap, placebos and all");
        assert_eq!(other.leak_report.suspicions, first.leak_report.suspicions);
    };

    let mut shuffled = rows.clone();
    shuffled.shuffle(&mut ChaCha8Rng::seed_from_u64(3));
    same(&trained(&panel_of(&shuffled), as_of));

    let mut other = rows;
    for (_, bar) in other.iter_mut().filter(|(_, bar)| bar.session > as_of) {
        bar.close *= 3.0;
        bar.volume += 1.0;
    }
    same(&trained(&panel_of(&other), as_of));
}

#[test]
fn forecasts_do_not_see_later_bars_and_survive_the_way_through_the_artefact() {
    let panel = panel_of(&walks(6, 520, 4));
    let sessions = weekdays(520);
    let artefact = trained(&panel, sessions[470]).artefact;
    let bytes = artefact.to_bytes();
    let opened = Artefact::open(&bytes, &digest(&bytes)).unwrap();
    let session = sessions[480];
    let full = forecast(&artefact, &Inputs::of(&panel), session).unwrap();
    let known = panel.as_of(session);
    assert_eq!(forecast(&opened, &Inputs::of(&known), session).unwrap(), full);
    assert_eq!(full.len(), 18);
    for forecast in &full {
        let predicted = predicted(&forecast.outcome);
        assert!(predicted.quantiles.windows(2).all(|pair| pair[0] <= pair[1]));
        assert!(
            predicted.interval_95.0 <= predicted.interval_80.0
                && predicted.interval_80.1 <= predicted.interval_95.1
        );
        assert!((0.0..=1.0).contains(&predicted.probability_up) && predicted.scale > 0.0);
        // A distribution is wider than its middle half and narrower than all of what is published of it.
        let width = |low: usize, high: usize| predicted.quantiles[high] - predicted.quantiles[low];
        assert!(predicted.volatility > width(2, 4) / 4.0 && predicted.volatility < width(0, 6));
        assert_eq!(predicted.fifths, None, "six are too few to be ranked");
    }
}

#[test]
fn forecasts_say_how_likely_each_fifth_of_those_is_that_are_forecast_at_all() {
    let mut rows = walks(22, 480, 13);
    let session = weekdays(480)[479];
    let artefact = trained(&panel_of(&rows), session).artefact;
    let mut made = |without: usize| -> Vec<Predicted> {
        let gone: Vec<String> = (0..without).map(|instrument| format!("I{instrument:02}")).collect();
        rows.retain(|(key, bar)| bar.session < session || !gone.contains(key));
        let forecasts = forecast(&artefact, &Inputs::of(&panel_of(&rows)), session).unwrap();
        assert_eq!(forecasts.len(), 66);
        let outcomes = forecasts.into_iter().map(|forecast| forecast.outcome);
        outcomes.filter(|outcome| matches!(outcome, Outcome::Predicted(_))).map(|it| predicted(&it)).collect()
    };
    let (all, fewer, too_few) = (made(0), made(2), made(3));
    assert_eq!((all.len(), fewer.len(), too_few.len()), (66, 60, 57));
    for predicted in all.iter().chain(&fewer) {
        let chances = predicted.fifths.unwrap();
        assert!(chances.iter().all(|chance| (0.0..=1.0).contains(chance)));
        assert!((chances.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }
    assert_ne!(all[65].fifths, fewer[59].fifths, "who is not forecast is not ranked");
    assert!(too_few.iter().all(|predicted| predicted.fifths.is_none() && predicted.volatility > 0.0));
}

#[test]
fn a_published_forecast_is_bit_by_bit_that_of_the_whole_table() {
    let panel = panel_of(&walks(4, 500, 5));
    let sessions = weekdays(500);
    let artefact = trained(&panel, sessions[499]).artefact;
    let table = FeatureTable::compute(&Inputs::of(&panel));
    let mut values = Vec::new();
    for t in [60, 61, 77, 300, 499] {
        for forecast in forecast(&artefact, &Inputs::of(&panel), sessions[t]).unwrap() {
            let model = artefact.models.iter().find(|model| model.horizon == forecast.horizon).unwrap();
            table.row(panel.rows(panel.position(&forecast.key).unwrap()).start + t, &mut values);
            let expected = model.fitted.predict(&values);
            assert_eq!(predicted(&forecast.outcome).expected.to_bits(), expected.to_bits());
        }
    }
}

#[test]
fn prices_in_another_currency_give_the_same_returns() {
    let rows = walks(4, 480, 6);
    let as_of = weekdays(480)[479];
    let mut scaled = rows.clone();
    for (_, bar) in &mut scaled {
        for price in [&mut bar.open, &mut bar.high, &mut bar.low, &mut bar.close] {
            *price *= 149.37;
        }
    }
    let of = |rows: &[(String, Bar)]| {
        let panel = panel_of(rows);
        let trained = trained(&panel, as_of);
        (forecast(&trained.artefact, &Inputs::of(&panel), as_of).unwrap(), trained.evaluation)
    };
    let ((forecasts, evaluation), (others, other)) = (of(&rows), of(&scaled));
    for (a, b) in evaluation.horizons.iter().zip(&other.horizons) {
        for (a, b) in a.measures.iter().zip(&b.measures) {
            assert_eq!(a.measure, b.measure);
            assert!((a.value - b.value).abs() < 1e-6, "{}: {} {}", a.measure, a.value, b.value);
            assert_eq!(a.against.len(), b.against.len());
        }
    }
    for (a, b) in forecasts.iter().zip(others) {
        let (a, b) = (predicted(&a.outcome), predicted(&b.outcome));
        assert!((a.expected - b.expected).abs() < 1e-11);
        assert!((a.probability_up - b.probability_up).abs() < 1e-8);
        assert!(a.quantiles.iter().zip(b.quantiles).all(|(a, b)| (a - b).abs() < 1e-10));
    }
}

#[test]
fn where_nothing_can_be_said_the_reason_is_and_it_silences_nobody_else() {
    for features in FeatureSet::ALL {
        abstains_where_it_has_to(features);
    }
}

fn abstains_where_it_has_to(features: FeatureSet) {
    let mut rows = walks(5, 500, 7);
    let sessions = weekdays(500);
    let session = sessions[499];
    let spec = TrainingSpec { family: Family::Drift, features, ..TrainingSpec::default() };
    let artefact = train(&Inputs::of(&panel_of(&rows)), &spec, session, &mut go_on).unwrap().artefact;
    // I00 has no bar today, I01 is young, I02 was split and nobody said so, I03 moved beyond everything.
    rows.retain(|(key, bar)| match key.as_str() {
        "I00" => bar.session < session,
        "I01" => bar.session >= sessions[440],
        _ => true,
    });
    for (key, bar) in &mut rows {
        let factor = match key.as_str() {
            "I02" if bar.session >= sessions[480] => 0.25,
            "I03" if bar.session == session => 1e-3,
            _ => 1.0,
        };
        for price in [&mut bar.open, &mut bar.high, &mut bar.low, &mut bar.close] {
            *price *= factor;
        }
    }
    let forecasts = forecast(&artefact, &Inputs::of(&panel_of(&rows)), session).unwrap();
    let reason = |key: &str| match &forecasts.iter().find(|forecast| forecast.key == key).unwrap().outcome {
        Outcome::Abstained(reason) => reason.clone(),
        Outcome::Predicted(_) => panic!("{key} was predicted"),
    };
    assert_eq!(reason("I00"), Abstention::NoBarAtSession { session, latest: Some(sessions[498]) });
    assert_eq!(reason("I01"), Abstention::TooLittleHistory { rows: 60, needed: 61 });
    assert_eq!(reason("I02"), Abstention::UnresolvedSplit { session: sessions[480], ratio: 4.0 });
    assert!(matches!(reason("I03"), Abstention::FeatureOutOfRange { .. }));
    assert_eq!(
        forecasts.iter().filter(|forecast| matches!(forecast.outcome, Outcome::Predicted(_))).count(),
        3
    );
}

#[test]
fn a_split_that_is_recorded_is_no_reason_to_abstain() {
    let mut rows = walks(4, 500, 8);
    let sessions = weekdays(500);
    let artefact = trained(&panel_of(&rows), sessions[470]).artefact;
    let whole = forecast(&artefact, &Inputs::of(&panel_of(&rows)), sessions[499]).unwrap();
    for (_, bar) in rows.iter_mut().filter(|(key, bar)| key == "I02" && bar.session >= sessions[480]) {
        for price in [&mut bar.open, &mut bar.high, &mut bar.low, &mut bar.close] {
            *price /= 4.0;
        }
        bar.volume *= 4.0;
    }
    let split = almanac_ml::Split { key: "I02".to_owned(), effective: sessions[480], ratio: 4.0 };
    let adjusted = panel_of(&rows).adjust(&[split], sessions[499]);
    for (a, b) in forecast(&artefact, &Inputs::of(&adjusted), sessions[499]).unwrap().iter().zip(&whole) {
        // Not equal: four times the shares are not four times as many in ln(1 + volume).
        assert!((predicted(&a.outcome).expected - predicted(&b.outcome).expected).abs() < 1e-7);
    }
}

#[test]
fn a_training_can_be_broken_off_before_each_step() {
    let panel = panel_of(&walks(4, 480, 9));
    let as_of = weekdays(480)[479];
    let mut stages = Vec::new();
    for stop in 0..8 {
        let refused = train(&Inputs::of(&panel), &TrainingSpec::default(), as_of, &mut |progress| {
            assert_eq!(progress.steps, 8);
            if progress.step == stop {
                stages.push(progress.stage);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        assert!(matches!(refused, Err(TrainError::Cancelled)));
    }
    let per_horizon = |horizon| [Stage::Fitting { horizon }, Stage::Evaluating { horizon }];
    let expected =
        [[Stage::Features, Stage::LeakChecks], per_horizon(1), per_horizon(5), per_horizon(20)].concat();
    assert_eq!(stages, expected);
}

#[test]
fn too_little_history_is_said_in_numbers() {
    let short = |rows| {
        let panel = panel_of(&walks(4, rows, 10));
        train(&Inputs::of(&panel), &TrainingSpec::default(), weekdays(rows)[rows - 1], &mut go_on)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        short(50),
        "not enough data: no instrument has the 81 sessions that features and a horizon of 20 take"
    );
    assert!(short(250).contains("2 of them can be forecast"), "{}", short(250));
    assert!(short(250).contains("at least 5 are needed"), "{}", short(250));
    let nothing = train(
        &Inputs::of(&Panel::new(Bars::default())),
        &TrainingSpec::default(),
        weekdays(1)[0],
        &mut go_on,
    );
    assert_eq!(nothing.unwrap_err().to_string(), "not enough data: there is not a single bar");
}

#[test]
fn every_family_can_be_trained_and_specifications_that_cannot_be_are_refused() {
    let panel = panel_of(&walks(4, 480, 11));
    let as_of = weekdays(480)[479];
    let with = |spec: TrainingSpec| train(&Inputs::of(&panel), &spec, as_of, &mut go_on);
    for family in [Family::Zero, Family::Drift, Family::Ridge { alpha: 1.0 }] {
        let trained = with(TrainingSpec { family, horizons: vec![20], ..TrainingSpec::default() }).unwrap();
        assert_eq!(forecast(&trained.artefact, &Inputs::of(&panel), as_of).unwrap().len(), 4);
    }
    for spec in [
        TrainingSpec { horizons: vec![], ..TrainingSpec::default() },
        TrainingSpec { horizons: vec![0, 1], ..TrainingSpec::default() },
        TrainingSpec { family: Family::Ridge { alpha: f64::NAN }, ..TrainingSpec::default() },
    ] {
        assert!(matches!(with(spec), Err(TrainError::BadSpec(_))));
    }
}

#[test]
fn the_number_of_threads_changes_no_bit_of_a_forecast() {
    let panel = panel_of(&walks(23, 700, 13));
    let as_of = weekdays(700)[699];
    let choices = Choices { trees: 5, parts: 2, smallest_leaf: 50, ..Choices::CHOSEN };
    for family in [Family::Boosted(choices), Family::Ridge { alpha: 1.0 }] {
        let spec = TrainingSpec {
            family,
            features: FeatureSet::Wide,
            horizons: vec![1, 5],
            ..TrainingSpec::default()
        };
        let trained = train(&Inputs::of(&panel), &spec, as_of, &mut go_on).unwrap();
        let on = |threads| {
            forecast_on(&trained.artefact, &Inputs::of(&panel), as_of, Threads::new(threads).unwrap())
                .unwrap()
        };
        let alone = on(1);
        let levels = alone.iter().filter_map(|forecast| match &forecast.outcome {
            Outcome::Predicted(predicted) => Some(predicted.level),
            Outcome::Abstained(_) => None,
        });
        assert!(levels.clone().count() == 46 && levels.clone().all(|level| (level - 1.0).abs() > 1e-6));
        for threads in [2, 3, 40] {
            assert_eq!(on(threads), alone, "{threads}");
        }
    }
}

#[test]
fn news_are_a_feature_of_their_own_that_a_model_must_be_given_again() {
    let panel = panel_of(&walks(4, 480, 12));
    let sessions = weekdays(480);
    let news: Vec<DailySentiment> = (0..480)
        .map(|t| DailySentiment {
            key: format!("I{:02}", t % 4),
            published: sessions[t],
            first_seen: sessions[t],
            value: (t % 5) as f64 / 2.0 - 1.0,
        })
        .collect();
    let inputs = Inputs::new(&panel, Some(&news));
    let trained = train(&inputs, &TrainingSpec::default(), sessions[479], &mut go_on).unwrap();
    assert_eq!(trained.artefact.features.len(), 20);
    assert_eq!(forecast(&trained.artefact, &inputs, sessions[479]).unwrap().len(), 12);
    let refused = forecast(&trained.artefact, &Inputs::of(&panel), sessions[479]).unwrap_err();
    assert!(matches!(refused, PredictError::OtherFeatures { .. }));
}
