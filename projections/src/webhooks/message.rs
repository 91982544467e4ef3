//! What an event says to those outside.

use almanac_domain::forecast_round::ForecastRoundEvent;
use almanac_domain::ingestion::IngestionEvent;
use almanac_domain::model::ModelEvent;
use almanac_domain::prediction::{PredictionPublished, PredictionScored};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::models::decider;

/// One of the offered event types with what it says.
pub(super) struct Message {
    pub event_type: &'static str,
    pub data: Value,
}

impl Message {
    fn new(event_type: &'static str, data: Value) -> Self {
        Self { event_type, data }
    }
}

/// The body of a webhook message: what happened, when, under which id, and its data.
pub fn body(event_type: &str, id: Uuid, at: DateTime<Utc>, data: Value) -> Value {
    let fields = [
        ("type", Value::from(event_type)),
        ("timestamp", at.to_rfc3339_opts(SecondsFormat::Millis, true).into()),
        ("id", id.to_string().into()),
        ("data", data),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What is said of a published prediction of an instrument with this symbol and exchange.
pub(super) fn published_data(
    id: Uuid,
    published: &PredictionPublished,
    named: Option<&(String, String)>,
) -> Value {
    let slot = &published.slot;
    let (symbol, exchange) = named.map(|(symbol, exchange)| (symbol, exchange)).unzip();
    json!({
        "prediction": id,
        "model": slot.model,
        "version": slot.version,
        "round": slot.round,
        "instrument": { "id": slot.instrument, "symbol": symbol, "exchange": exchange },
        "as_of": slot.as_of,
        "horizon": slot.horizon,
        "target": slot.target,
        "target_closes_at": slot.target_closes_at,
        "mode": slot.mode,
        "dataset": slot.dataset,
        "forecast": published.forecast,
        "published_at": published.published_at,
    })
}

/// What is said of an outcome, beside what was said when it was predicted.
pub(super) fn scored_data(mut said: Value, scored: &PredictionScored) -> Value {
    if let Value::Object(data) = &mut said {
        data.insert("realised".into(), json!(scored.realised));
        data.insert("target_close".into(), json!(scored.close));
        data.insert("score".into(), json!(scored.score));
        data.insert("scored_at".into(), json!(scored.scored_at));
    }
    said
}

pub(super) fn of_round(id: Uuid, happened: ForecastRoundEvent) -> Option<Message> {
    match happened {
        ForecastRoundEvent::RoundOpened(_) => None,
        ForecastRoundEvent::RoundCompleted(completed) => Some(Message::new(
            "round.completed",
            json!({
                "round": id,
                "model": completed.model,
                "version": completed.version,
                "session": completed.session,
                "mode": completed.mode,
                "published": completed.published,
                "abstained": completed.abstained,
                "completed_at": completed.completed_at,
            }),
        )),
    }
}

/// An administrator's reason is text a person typed and stays inside.
pub(super) fn of_model(model: &str, happened: ModelEvent) -> Option<Message> {
    match happened {
        ModelEvent::ModelVersionRegistered(registered) => Some(Message::new(
            "model.registered",
            json!({
                "model": model,
                "version": registered.version,
                "family": registered.plan.family,
                "feature_set": registered.plan.feature_set,
                "horizons": registered.plan.horizons,
                "mode": registered.mode,
                "trained_through": registered.trained_through,
                "dataset": registered.dataset,
                "verdicts": registered.verdicts,
                "registered_at": registered.registered_at,
            }),
        )),
        ModelEvent::ModelVersionPromoted(promoted) => Some(Message::new(
            "model.promoted",
            json!({
                "model": model,
                "version": promoted.version,
                "by": decider(&promoted.by),
                "promoted_at": promoted.promoted_at,
            }),
        )),
        ModelEvent::PromotionRolledBack(back) => Some(Message::new(
            "model.rolled_back",
            json!({
                "model": model,
                "from": back.from,
                "to": back.to,
                "by": decider(&back.by),
                "rolled_back_at": back.rolled_back_at,
            }),
        )),
        ModelEvent::TrialDecided(decided) => Some(Message::new(
            "model.trial_decided",
            json!({
                "model": model,
                "trial": decided.trial,
                "version": decided.version,
                "champion": decided.champion,
                "outcome": decided.outcome,
                "ended_by": decided.ended_by,
                "dry_run": decided.dry_run,
                "evidence": decided.evidence,
                "by": decided.by.as_ref().map(decider),
                "decided_at": decided.decided_at,
            }),
        )),
        ModelEvent::TrialOpened(_)
        | ModelEvent::ModelVersionRetired(_)
        | ModelEvent::ModelVersionQuarantined(_) => None,
    }
}

pub(super) fn of_ingestion(id: Uuid, happened: IngestionEvent) -> Option<Message> {
    match happened {
        IngestionEvent::BarsIngested(bars) => Some(Message::new(
            "bars.ingested",
            json!({
                "ingestion": id,
                "source": bars.source,
                "mode": bars.mode,
                "first_session": bars.first_session,
                "last_session": bars.last_session,
                "rows": bars.rows,
                "quarantined": bars.quarantined,
                "instruments": bars.instruments,
                "observed_at": bars.observed_at,
            }),
        )),
        IngestionEvent::HeadlinesIngested(_) | IngestionEvent::IngestionFailed(_) => None,
    }
}
