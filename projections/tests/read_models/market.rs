//! The part of the story that happens on the market and in the models.

use almanac_domain::calendar::Calendar;
use almanac_domain::forecast_round::{
    Calibration, ForecastRound, ForecastRoundCommand, RoundCompleted, RoundOpened,
};
use almanac_domain::ids;
use almanac_domain::ingestion::{
    BarsIngested, FindingCount, HeadlinesIngested, Ingestion, IngestionCommand, IngestionFailed,
};
use almanac_domain::instrument::{
    CorporateAction, CorporateActionRecorded, Instrument, InstrumentCommand, InstrumentDelisted,
    InstrumentHalted, InstrumentListed, InstrumentRenamed,
};
use almanac_domain::model::{
    DecidedBy, EvaluationMeasure, Model, ModelCommand, ModelVersionPromoted, ModelVersionQuarantined,
    ModelVersionRegistered, ModelVersionRetired, Origin, Processor, Recipe,
};
use almanac_domain::prediction::{
    Abstention, Forecast, Interval, Prediction, PredictionAbstained, PredictionCommand, PredictionPublished,
    Quantile, Role, Slot,
};
use almanac_domain::training_run::{
    FeatureSet, ImportedFile, ModelImport, TrainingCancelled, TrainingCompleted, TrainingFailed,
    TrainingPlan, TrainingReason, TrainingRequested, TrainingRun, TrainingRunCommand, TrainingStarted,
};
use almanac_domain::values::{
    Digest, Horizon, LogReturn, Measure, Mode, ModelName, Price, Probability, Session, StoredObject,
};
use chrono::TimeDelta;
use uuid::Uuid;

use crate::story::{AAA, ALICE, BBB, CCC, Story, day};

pub const FIRST: (i32, u32, u32) = (2024, 1, 5);
pub const SECOND: (i32, u32, u32) = (2024, 1, 8);
pub const BARS: Uuid = Uuid::from_u128(0x1b);

pub fn model() -> ModelName {
    "us-daily".parse().unwrap()
}

pub fn session((year, month, of): (i32, u32, u32)) -> Session {
    day(year, month, of)
}

fn digest(letter: char) -> Digest {
    letter.to_string().repeat(64).parse().unwrap()
}

fn object(letter: char) -> StoredObject {
    StoredObject { key: format!("bars/{letter}.parquet"), sha256: digest(letter), bytes: 1000 }
}

pub fn horizon(sessions: u32) -> Horizon {
    Horizon::new(sessions).unwrap()
}

fn log_return(value: f64) -> LogReturn {
    LogReturn::from_f64(value).unwrap()
}

/// Three instruments: one splits, one is renamed and halted, one goes. A batch of bars fails, then comes.
pub async fn market(story: &mut Story) {
    use InstrumentCommand as I;
    let from = day(2020, 1, 2);
    for (id, symbol, name) in [(AAA, "AAA", Some("Alpha")), (BBB, "BBB", Some("Beta")), (CCC, "CCC", None)] {
        let listed = InstrumentListed {
            exchange: "XNYS".parse().unwrap(),
            symbol: symbol.parse().unwrap(),
            first_session: from,
            name: name.map(str::to_owned),
            sector: Some("Letters".into()),
        };
        story.does::<Instrument>(id, I::ListInstrument(listed)).await;
    }
    let split = CorporateAction::Split { ratio: 2.into() };
    let split = CorporateActionRecorded { action: split, effective: day(2022, 6, 1) };
    story.does::<Instrument>(AAA, I::RecordCorporateAction(split)).await;
    let renamed = InstrumentRenamed { symbol: "BBX".parse().unwrap(), from: day(2023, 1, 3) };
    story.does::<Instrument>(BBB, I::RenameInstrument(renamed)).await;
    story.does::<Instrument>(BBB, I::HaltInstrument(InstrumentHalted { from: day(2024, 1, 9) })).await;
    story
        .does::<Instrument>(CCC, I::DelistInstrument(InstrumentDelisted { last_session: day(2024, 1, 4) }))
        .await;
    let failed = IngestionFailed {
        source: "folder".into(),
        reason: "missing_column".into(),
        detail: "there is no column `close`".into(),
        failed_at: story.now(),
    };
    story.does::<Ingestion>(BARS, IngestionCommand::FailIngestion(failed)).await;
    ingest_bars(story, BARS, from, session(FIRST), 'b').await;
    let headlines = HeadlinesIngested {
        source: "folder".into(),
        mode: Mode::Simulated,
        source_sha256: digest('d'),
        first_published_at: story.now() - TimeDelta::days(3),
        last_published_at: story.now() - TimeDelta::days(1),
        rows: 12,
        quarantined: 0,
        object: object('d'),
        findings: vec![],
        sentiment_model: "lexicon-1".into(),
        observed_at: story.now(),
    };
    story.does::<Ingestion>(Uuid::from_u128(0x1c), IngestionCommand::RecordHeadlines(headlines)).await;
}

pub async fn ingest_bars(story: &mut Story, id: Uuid, first: Session, last: Session, letter: char) {
    let bars = BarsIngested {
        source: "folder".into(),
        mode: Mode::Simulated,
        source_sha256: digest(letter),
        first_session: first,
        last_session: last,
        rows: 3000,
        quarantined: 1,
        instruments: 3,
        object: object(letter),
        findings_object: None,
        findings: vec![FindingCount { finding: "high_below_low".into(), rows: 1, quarantined: true }],
        observed_at: story.now(),
    };
    story.does::<Ingestion>(id, IngestionCommand::RecordBars(bars)).await;
}

fn plan() -> TrainingPlan {
    TrainingPlan {
        family: "ridge".into(),
        feature_set: FeatureSet::Wide,
        horizons: vec![horizon(1), horizon(5)],
        sentiment: false,
        seed: 7,
    }
}

async fn request(story: &mut Story, run: u128, reason: TrainingReason) {
    ask(story, run, reason, plan(), None).await;
}

async fn ask(
    story: &mut Story,
    run: u128,
    reason: TrainingReason,
    plan: TrainingPlan,
    import: Option<ModelImport>,
) {
    let by = (reason == TrainingReason::Manual).then_some(ALICE);
    let request =
        TrainingRequested { model: model(), reason, figures: vec![], plan, import, requested_by: by };
    story.does::<TrainingRun>(Uuid::from_u128(run), TrainingRunCommand::RequestTraining(request)).await;
}

async fn start(story: &mut Story, run: u128) {
    let started = TrainingStarted {
        as_of: session(FIRST),
        dataset: digest('e'),
        rows: 3000,
        instruments: 3,
        started_at: story.now(),
    };
    story.does::<TrainingRun>(Uuid::from_u128(run), TrainingRunCommand::StartTraining(started)).await;
}

pub async fn register(story: &mut Story, version: u32) {
    let value = |value| Measure::from_f64(value).ok();
    let registered = ModelVersionRegistered {
        model: model(),
        version,
        training_run: Uuid::from_u128(0x700 + u128::from(version)),
        plan: plan(),
        mode: Mode::Simulated,
        trained_through: session(FIRST),
        dataset: digest('e'),
        artefact: object('f'),
        evaluation_object: object('0'),
        evaluation: vec![EvaluationMeasure {
            horizon: horizon(1),
            measure: "rmse_return".into(),
            value: value(0.0168),
            zero: value(0.0167),
            drift: value(0.0167),
        }],
        verdicts: vec!["cannot be told from drift".into(), "worse than drift".into()],
        leak_checks: vec!["future_changes_nothing".into()],
        code_version: "0.1.0".into(),
        recipe: Some(Recipe {
            features: digest('1'),
            parameters: [("alpha".to_owned(), "1000".to_owned())].into(),
            processor: Processor {
                architecture: "x86_64".into(),
                level: "x86-64-v3".into(),
                extensions: vec!["avx2".into()],
            },
        }),
        origin: Origin::Trained,
        registered_at: story.now(),
    };
    story.does::<Model>(model(), ModelCommand::RegisterVersion(Box::new(registered))).await;
}

pub async fn promote(story: &mut Story, version: u32, by: DecidedBy) {
    let promoted_at = story.now();
    let promoted = ModelVersionPromoted { version, by, reason: "it looks right".into(), promoted_at };
    story.does::<Model>(model(), ModelCommand::PromoteVersion(promoted)).await;
}

/// One run becomes version 1, which the gate promotes; one fails; one is called off; one that brings in a model goes on.
pub async fn training(story: &mut Story) {
    use TrainingRunCommand as T;
    request(story, 0x701, TrainingReason::FirstVersion).await;
    start(story, 0x701).await;
    register(story, 1).await;
    let completed = TrainingCompleted { version: 1, completed_at: story.now() };
    story.does::<TrainingRun>(Uuid::from_u128(0x701), T::CompleteTraining(completed)).await;
    promote(story, 1, DecidedBy::Gate { rule: "first version".into() }).await;
    request(story, 0x7f1, TrainingReason::Schedule).await;
    start(story, 0x7f1).await;
    let failed = TrainingFailed {
        reason: "leak_found".into(),
        detail: "a feature knew the future".into(),
        failed_at: story.now(),
    };
    story.does::<TrainingRun>(Uuid::from_u128(0x7f1), T::FailTraining(failed)).await;
    request(story, 0x7f2, TrainingReason::Manual).await;
    let cancelled = TrainingCancelled { by: ALICE };
    story.does::<TrainingRun>(Uuid::from_u128(0x7f2), T::CancelTraining(cancelled)).await;
    let file = |sessions, letter| ImportedFile { horizon: horizon(sessions), object: object(letter) };
    let import =
        ModelImport { files: vec![file(1, '2'), file(5, '3')], learnt_through: Some(day(2023, 12, 29)) };
    let plan = TrainingPlan { family: "onnx".into(), feature_set: FeatureSet::Core, ..plan() };
    ask(story, 0x7f3, TrainingReason::Manual, plan, Some(import)).await;
    start(story, 0x7f3).await;
}

/// A slot of a round of the story.
pub fn slot(version: u32, instrument: Uuid, as_of: Session, ahead: u32) -> Slot {
    let calendar = Calendar::UnitedStates;
    let target = calendar.ahead(as_of, horizon(ahead));
    Slot {
        model: model(),
        version,
        model_sequence: 2,
        role: Role::Published,
        round: ids::forecast_round(&model(), as_of),
        instrument,
        as_of,
        horizon: horizon(ahead),
        target,
        target_closes_at: calendar.closes_at(target),
        next_opens_at: calendar.opens_at(calendar.next(as_of)),
        mode: Mode::Simulated,
        dataset: digest('e'),
    }
}

pub fn id_of(slot: &Slot) -> Uuid {
    ids::prediction(&slot.model, slot.instrument, slot.as_of, slot.horizon, slot.role)
}

fn forecast(expected: f64) -> Forecast {
    let interval =
        |reach: f64| Interval { low: log_return(expected - reach), high: log_return(expected + reach) };
    let quantile = |level: f64, value: f64| Quantile {
        level: Probability::from_f64(level).unwrap(),
        value: log_return(value),
    };
    Forecast {
        close: Price::from_f64(100.25).unwrap(),
        expected: log_return(expected),
        scale: log_return(0.015),
        probability_up: Probability::from_f64(0.53).unwrap(),
        interval_80: interval(0.02),
        interval_95: interval(0.035),
        quantiles: vec![quantile(0.1, expected - 0.02), quantile(0.9, expected + 0.02)],
        drift: log_return(0.0005),
        half_width_80: Measure::from_f64(1.3).unwrap(),
        half_width_95: Measure::from_f64(2.3).unwrap(),
        volatility: Some(log_return(0.017)),
        fifths: Some([0.21, 0.19, 0.18, 0.2, 0.22].map(|chance| Probability::from_f64(chance).unwrap())),
    }
}

pub async fn publish(story: &mut Story, slot: Slot, expected: f64) {
    let published = PredictionPublished {
        slot,
        forecast: forecast(expected),
        scoring_rule: almanac_domain::scoring::RULE.into(),
        void_after_sessions: 3,
        published_at: story.now(),
    };
    let id = id_of(&published.slot);
    story.does::<Prediction>(id, PredictionCommand::PublishPrediction(Box::new(published))).await;
}

pub async fn score(story: &mut Story, slot: &Slot, realised: f64) {
    story.clock.advance_to(slot.target_closes_at);
    let score = PredictionCommand::ScorePrediction {
        session: slot.target,
        realised: log_return(realised),
        close: Price::from_f64(101.5).unwrap(),
        batches: vec![BARS],
        at: story.now(),
    };
    story.does::<Prediction>(id_of(slot), score).await;
}

pub async fn open(story: &mut Story, version: u32, session: Session) {
    let opened = RoundOpened {
        model: model(),
        version,
        session,
        mode: Mode::Simulated,
        dataset: digest('e'),
        opened_at: story.now(),
    };
    let id = ids::forecast_round(&model(), session);
    story.does::<ForecastRound>(id, ForecastRoundCommand::OpenRound(opened)).await;
}

pub async fn complete(story: &mut Story, version: u32, session: Session, published: u64, abstained: u64) {
    let width = |width| Measure::from_f64(width).unwrap();
    let completed = RoundCompleted {
        model: model(),
        version,
        session,
        mode: Mode::Simulated,
        published,
        abstained,
        calibration: vec![Calibration {
            horizon: horizon(1),
            scores: 250,
            half_width_80: width(1.3),
            half_width_95: width(2.3),
            level: Some(width(1.1)),
        }],
        completed_at: story.now(),
    };
    let id = ids::forecast_round(&model(), session);
    story.does::<ForecastRound>(id, ForecastRoundCommand::CompleteRound(completed)).await;
}

/// Two rounds by two champions with hits, misses, an abstention, a voided prediction, a trial, and what stays open; then
/// the second champion is rolled back and shut out, and a third version is retired while on trial.
pub async fn rounds(story: &mut Story) {
    let first = session(FIRST);
    open(story, 1, first).await;
    publish(story, slot(1, AAA, first, 1), 0.001).await;
    publish(story, slot(1, AAA, first, 5), 0.004).await;
    publish(story, slot(1, BBB, first, 1), -0.002).await;
    let mut trial = slot(1, BBB, first, 1);
    trial.role = Role::Trial { trial: Uuid::from_u128(0x77) };
    publish(story, trial.clone(), 0.003).await;
    let slot_left = slot(1, CCC, first, 1);
    let (id, abstained_at) = (id_of(&slot_left), story.now());
    let left = PredictionAbstained { slot: slot_left, reason: Abstention::StaleData, abstained_at };
    story.does::<Prediction>(id, PredictionCommand::Abstain(Box::new(left))).await;
    complete(story, 1, first, 3, 1).await;
    score(story, &slot(1, AAA, first, 1), 0.0125).await;
    let void = PredictionCommand::VoidPrediction { sessions_without_bar: 3, at: story.now() };
    story.does::<Prediction>(id_of(&slot(1, BBB, first, 1)), void).await;
    score(story, &trial, -0.5).await;

    let second = session(SECOND);
    ingest_bars(story, Uuid::from_u128(0x1d), second, second, '1').await;
    register(story, 2).await;
    promote(story, 2, DecidedBy::Administrator { account: ALICE }).await;
    open(story, 2, second).await;
    publish(story, slot(2, AAA, second, 1), 0.002).await;
    publish(story, slot(2, BBB, second, 1), 0.001).await;
    complete(story, 2, second, 2, 0).await;
    score(story, &slot(2, AAA, second, 1), -0.04).await;
    score(story, &slot(1, AAA, first, 5), 0.01).await;

    let by = DecidedBy::Administrator { account: ALICE };
    let back = ModelCommand::RollBack { by, reason: "it was worse".into(), at: story.now() };
    story.does::<Model>(model(), back).await;
    let shut = ModelVersionQuarantined {
        by: Some(DecidedBy::Administrator { account: ALICE }),
        version: 2,
        reason: "not to be trusted".into(),
        quarantined_at: story.now(),
    };
    story.does::<Model>(model(), ModelCommand::QuarantineVersion(shut)).await;
    register(story, 3).await;
    crate::trials::open_trial(story, Uuid::from_u128(0x77), 3).await;
    let retired = ModelVersionRetired {
        version: 3,
        by: Some(DecidedBy::Administrator { account: ALICE }),
        reason: "never needed".into(),
        retired_at: story.now(),
    };
    story.does::<Model>(model(), ModelCommand::RetireVersion(retired)).await;
}

/// Something that may happen to the model and its predictions, drawn at random; a rule may refuse it.
pub async fn something(story: &mut Story, below: &(dyn Fn(u64) -> u64 + Sync)) {
    let calendar = Calendar::UnitedStates;
    let session = (0..below(4)).fold(session(FIRST), |session, _| calendar.next(session));
    let version = 1 + below(3) as u32;
    let by = DecidedBy::Gate { rule: "chance".into() };
    let reason = "chance".to_owned();
    match below(9) {
        0 => {
            let next = story.bus().load::<Model>("us-daily").await.unwrap().next_version();
            register(story, next).await;
        }
        1 => {
            let promoted = ModelVersionPromoted { version, by, reason, promoted_at: story.now() };
            story.tries::<Model>(model(), ModelCommand::PromoteVersion(promoted)).await;
        }
        2 => {
            let back = ModelCommand::RollBack { by, reason, at: story.now() };
            story.tries::<Model>(model(), back).await;
        }
        3 => {
            let retired = ModelVersionRetired { version, by: None, reason, retired_at: story.now() };
            story.tries::<Model>(model(), ModelCommand::RetireVersion(retired)).await;
        }
        4 => ingest_bars(story, Uuid::from_u128(u128::from(below(u64::MAX))), session, session, '2').await,
        5..=7 => {
            let instrument = [AAA, BBB, CCC][below(3) as usize];
            let slot = slot(version, instrument, session, [1, 5][below(2) as usize]);
            let id = id_of(&slot);
            let published = PredictionPublished {
                slot,
                forecast: forecast(0.001 * below(9) as f64),
                scoring_rule: almanac_domain::scoring::RULE.into(),
                void_after_sessions: 3,
                published_at: story.now(),
            };
            story.tries::<Prediction>(id, PredictionCommand::PublishPrediction(Box::new(published))).await;
        }
        _ => {
            let slot = slot(1, [AAA, BBB, CCC][below(3) as usize], session, 1);
            story.clock.advance_to(slot.target_closes_at);
            let score = PredictionCommand::ScorePrediction {
                session: slot.target,
                realised: log_return(0.002 * below(20) as f64 - 0.02),
                close: Price::from_f64(101.5).unwrap(),
                batches: vec![BARS],
                at: story.now(),
            };
            story.tries::<Prediction>(id_of(&slot), score).await;
        }
    }
}
