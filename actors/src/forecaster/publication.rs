//! From forecasts to events: one round, one slot for each instrument and horizon.

use std::collections::HashSet;
use std::sync::Arc;

use almanac_domain::forecast_round::{
    Calibration, ForecastRound, ForecastRoundCommand, ForecastRoundRefusal, RoundCompleted, RoundOpened,
};
use almanac_domain::prediction::{
    Abstention, Forecast, Interval, Prediction, PredictionAbstained, PredictionCommand, PredictionPublished,
    PredictionRefusal, Quantile, Role, Slot,
};
use almanac_domain::values::{Horizon, InvalidValue, LogReturn, Measure, Price, Probability, Session};
use almanac_domain::{ids, scoring};
use almanac_ml::conformal::QUANTILES;
use almanac_ml::fifths::FIFTHS;
use almanac_ml::{Artefact, Inputs, Outcome, Predicted, forecast};
use almanac_projections::ingestions::Batch;
use almanac_projections::instruments;
use almanac_projections::models::Champion;
use almanac_store::StoreError;
use almanac_store::log::{Cause, CommandError, EventKey, Issued, LogReader};
use uuid::Uuid;

use super::wisdom::{Library, Wisdom};
use super::{PredictReport, see};
use crate::market::View;
use crate::parts::Parts;
use crate::trade::TradeError;

/// Publishes the round of `session` by `champion`, or what is left of it.
pub(super) async fn publish(
    parts: &Parts,
    library: &Library,
    session: Session,
    champion: &Champion,
) -> Result<PredictReport, TradeError> {
    let view = parts.market.view().await?;
    let wisdom = library.of(parts, champion, &view).await?;
    let dataset = view.dataset();
    parts.objects.put("datasets", view.manifest().to_bytes(), "json").await.map_err(StoreError::from)?;
    let round = ids::forecast_round(&champion.model, session);
    let opening = ForecastRoundCommand::OpenRound(RoundOpened {
        model: champion.model.clone(),
        version: champion.version,
        session,
        mode: parts.settings.mode,
        dataset: dataset.clone(),
        opened_at: parts.clock.now(),
    });
    let cause = cause_of(parts, &view, session, champion).await?;
    // With the version in its name, the opening of another one is seen as refused rather than as done before.
    on_round(parts, round, &format!("open {round} {}", champion.version), opening, cause).await?;
    let opened =
        EventKey { aggregate_type: "forecast_round".into(), aggregate_id: round.to_string(), sequence: 1 };
    let opened = LogReader::new(&parts.database).cause(&opened).await?;
    let forecasts = forecasts(parts, &wisdom, view, session).await?;
    let is_expired = parts.is_expired(champion.trained_through, session);
    let listed: HashSet<Uuid> = instruments::listings(parts.database.pool())
        .await?
        .into_iter()
        .filter(|listing| {
            listing.delisted_after.is_none_or(|end| end >= session) && listing.first_session <= session
        })
        .map(|listing| listing.id)
        .collect();
    let mut commands = Vec::with_capacity(forecasts.len());
    for made in &forecasts {
        let (Ok(instrument), Ok(horizon)) = (made.key.parse::<Uuid>(), Horizon::new(made.horizon as u32))
        else {
            continue;
        };
        if !listed.contains(&instrument) {
            continue;
        }
        let calendar = parts.calendar();
        let target = calendar.ahead(session, horizon);
        let slot = Slot {
            model: champion.model.clone(),
            version: champion.version,
            model_sequence: champion.sequence,
            role: Role::Published,
            round,
            instrument,
            as_of: session,
            horizon,
            target,
            target_closes_at: calendar.closes_at(target),
            next_opens_at: calendar.opens_at(calendar.next(session)),
            mode: parts.settings.mode,
            dataset: dataset.clone(),
        };
        let id = ids::prediction(&champion.model, instrument, session, horizon, Role::Published);
        commands.push((id.to_string(), fill(parts, slot, &made.outcome, &wisdom, is_expired)));
    }
    let what = format!("fill {round}");
    let (published, abstained) = fill_all(parts, round, &what, commands, opened.clone()).await?;
    let completion = ForecastRoundCommand::CompleteRound(RoundCompleted {
        model: champion.model.clone(),
        version: champion.version,
        session,
        mode: parts.settings.mode,
        published,
        abstained,
        calibration: calibrations(&wisdom.artefact, &forecasts),
        completed_at: parts.clock.now(),
    });
    on_round(parts, round, &format!("complete {round}"), completion, opened).await?;
    tracing::info!(%session, version = champion.version, published, abstained, "a round is published");
    Ok(PredictReport { round, session, version: champion.version, published, abstained })
}

/// What made the round due: its bars or its champion, whichever came later.
async fn cause_of(
    parts: &Parts,
    view: &View,
    session: Session,
    champion: &Champion,
) -> Result<Option<Cause>, TradeError> {
    let of_session = |batch: &&Batch| batch.first_session <= session && session <= batch.last_session;
    let bars = view.batches().iter().filter(of_session).map(|batch| batch.ordinal).max();
    let ordinal = bars.unwrap_or(0).max(champion.since_ordinal);
    Ok(LogReader::new(&parts.database).at_ordinal(ordinal).await?.as_ref().map(Cause::from))
}

/// A command on the round; that it was done before is as good.
async fn on_round(
    parts: &Parts,
    round: Uuid,
    what: &str,
    command: ForecastRoundCommand,
    cause: Option<Cause>,
) -> Result<(), TradeError> {
    let issued = Issued::new(ids::reaction("forecaster", what)).correlated(round).caused_by_any(cause);
    match parts.bus.execute::<ForecastRound>(&round.to_string(), command, &issued).await {
        Ok(committed) => match committed.last() {
            Some(event) => see(parts, event).await,
            None => Ok(()),
        },
        Err(CommandError::Refused(ForecastRoundRefusal::Complete)) => Ok(()),
        // It came first; the next look finds its round open and goes on with it.
        Err(CommandError::Refused(refusal @ ForecastRoundRefusal::OtherVersion(_))) => {
            Err(TradeError::Held(refusal.to_string()))
        }
        Err(CommandError::Broken(error)) => Err(error.into()),
        Err(error) => Err(TradeError::broken("could not write down a round")(error)),
    }
}

pub(super) async fn forecasts(
    parts: &Parts,
    wisdom: &Arc<Wisdom>,
    view: Arc<View>,
    session: Session,
) -> Result<Vec<almanac_ml::Forecast>, TradeError> {
    let reads_news = wisdom.artefact.features.iter().any(|name| name == almanac_ml::features::SENTIMENT);
    let news = if reads_news { Some(parts.news.sentiment().await?) } else { None };
    let wisdom = Arc::clone(wisdom);
    tokio::task::spawn_blocking(move || {
        let panel = view.panel(session);
        forecast(&wisdom.artefact, &Inputs::new(&panel, news.as_deref()), session)
    })
    .await
    .map_err(TradeError::broken("could not compute forecasts"))?
    .map_err(TradeError::broken("the version's artefact does not fit this program"))
}

/// The command that fills a slot. A forecast that cannot be written as decimals is abstained from, and so is every one of a
/// version that has expired.
pub(super) fn fill(
    parts: &Parts,
    slot: Slot,
    outcome: &Outcome,
    wisdom: &Wisdom,
    is_expired: bool,
) -> PredictionCommand {
    let now = parts.clock.now();
    let forecast = match outcome {
        _ if is_expired => Err(Abstention::ExpiredModel),
        Outcome::Predicted(predicted) => {
            let place = wisdom
                .artefact
                .models
                .iter()
                .position(|model| model.horizon as u32 == slot.horizon.sessions());
            let drift = place.map_or(0.0, |place| wisdom.drifts[place]);
            in_decimals(predicted, drift).map_err(|_| Abstention::NotFinite)
        }
        Outcome::Abstained(reason) => Err(abstention(reason)),
    };
    match forecast {
        Ok(forecast) => PredictionCommand::PublishPrediction(Box::new(PredictionPublished {
            slot,
            forecast,
            scoring_rule: scoring::RULE.to_owned(),
            void_after_sessions: parts.settings.void_after,
            published_at: now,
        })),
        Err(reason) => {
            PredictionCommand::Abstain(Box::new(PredictionAbstained { slot, reason, abstained_at: now }))
        }
    }
}

/// The stable word for a reason to abstain.
pub(crate) fn abstention(reason: &almanac_ml::Abstention) -> Abstention {
    use almanac_ml::Abstention as Reason;
    match reason {
        Reason::NoBarAtSession { .. } => Abstention::StaleData,
        Reason::TooLittleHistory { .. } => Abstention::TooLittleHistory,
        Reason::UnresolvedSplit { .. } => Abstention::UnresolvedSplit,
        Reason::FeatureOutOfRange { value, .. } if !value.is_finite() => Abstention::NotFinite,
        // Whatever a newer library abstains for, it is that the inputs are not what the model knows.
        _ => Abstention::OutOfRange,
    }
}

/// A forecast as it is written down, beside the drift.
pub(crate) fn in_decimals(predicted: &Predicted, drift: f64) -> Result<Forecast, InvalidValue> {
    let interval = |(low, high): (f64, f64)| {
        Ok::<_, InvalidValue>(Interval { low: LogReturn::from_f64(low)?, high: LogReturn::from_f64(high)? })
    };
    let half_width = |(low, high): (f64, f64)| Measure::from_f64((high - low) / 2.0 / predicted.scale);
    let quantiles = QUANTILES.into_iter().zip(predicted.quantiles).map(|(level, value)| {
        Ok(Quantile { level: Probability::from_f64(level)?, value: LogReturn::from_f64(value)? })
    });
    Ok(Forecast {
        close: Price::from_f64(predicted.close)?,
        expected: LogReturn::from_f64(predicted.expected)?,
        scale: LogReturn::from_f64(predicted.scale)?,
        probability_up: Probability::from_f64(predicted.probability_up)?,
        interval_80: interval(predicted.interval_80)?,
        interval_95: interval(predicted.interval_95)?,
        quantiles: quantiles.collect::<Result<_, InvalidValue>>()?,
        drift: LogReturn::from_f64(drift)?,
        half_width_80: half_width(predicted.interval_80)?,
        half_width_95: half_width(predicted.interval_95)?,
        volatility: Some(LogReturn::from_f64(predicted.volatility)?),
        fifths: predicted.fifths.map(chances).transpose()?,
    })
}

fn chances(of_fifths: [f64; FIFTHS]) -> Result<[Probability; FIFTHS], InvalidValue> {
    let [lowest, low, middle, high, highest] = of_fifths.map(Probability::from_f64);
    Ok([lowest?, low?, middle?, high?, highest?])
}

/// Fills these slots and counts the published and the abstained ones among them, whenever they were filled.
pub(super) async fn fill_all(
    parts: &Parts,
    round: Uuid,
    what: &str,
    commands: Vec<(String, PredictionCommand)>,
    cause: Option<Cause>,
) -> Result<(u64, u64), TradeError> {
    let slots: Vec<(String, bool)> = commands
        .iter()
        .map(|(id, command)| (id.clone(), matches!(command, PredictionCommand::PublishPrediction(_))))
        .collect();
    let issued = Issued::new(ids::reaction("forecaster", what)).correlated(round).caused_by_any(cause);
    let outcomes = parts.bus.execute_batch::<Prediction>(commands, &issued).await?;
    let (mut published, mut abstained) = (0, 0);
    for (outcome, (id, fills)) in outcomes.into_iter().zip(slots) {
        match outcome {
            // Filled before the round was cut off, from what was known then: that is what counts.
            Ok(committed) if committed.repeated => match parts.bus.load::<Prediction>(&id).await? {
                Prediction::Abstained => abstained += 1,
                Prediction::Absent => {}
                Prediction::Published(_) | Prediction::Scored | Prediction::Voided => published += 1,
            },
            Ok(_) if fills => published += 1,
            Ok(_) | Err(CommandError::Refused(PredictionRefusal::AlreadyAbstained)) => abstained += 1,
            Err(CommandError::Refused(PredictionRefusal::AlreadyPublished)) => published += 1,
            // The market has opened: the slot stays empty, and the round says so by its counts.
            Err(CommandError::Refused(refusal)) => tracing::warn!(%refusal, "a prediction was refused"),
            Err(CommandError::Broken(error)) => return Err(error.into()),
            Err(error) => return Err(TradeError::broken("could not publish a prediction")(error)),
        }
    }
    Ok((published, abstained))
}

/// The half-widths of the intervals in units of the scale and the state of the online correction, by horizon.
fn calibrations(artefact: &Artefact, forecasts: &[almanac_ml::Forecast]) -> Vec<Calibration> {
    let level = |horizon: usize| {
        forecasts.iter().find_map(|made| match &made.outcome {
            Outcome::Predicted(predicted) if made.horizon == horizon => Some(predicted.level),
            Outcome::Predicted(_) | Outcome::Abstained(_) => None,
        })
    };
    let of = |model: &almanac_ml::artefact::HorizonModel| {
        let unit = model.calibration.distribution(0.0, 1.0);
        let half_width = |(low, high): (f64, f64)| Measure::from_f64((high - low) / 2.0);
        Ok::<_, InvalidValue>(Calibration {
            horizon: Horizon::new(model.horizon as u32)?,
            scores: model.calibration.rows as u64,
            half_width_80: half_width(unit.interval_80())?,
            half_width_95: half_width(unit.interval_95())?,
            level: level(model.horizon).map(Measure::from_f64).transpose()?,
        })
    };
    artefact.models.iter().filter_map(|model| of(model).ok()).collect()
}
