//! Reading columns into the domain's types, and events out of the log.

use almanac_domain::values::Horizon;
use almanac_domain::{Event, UnreadableEvent};
use almanac_store::log::{HandlerError, Recorded};
use rust_decimal::Decimal;
use serde::de::value::Error as ValueError;
use serde::de::{DeserializeOwned, IntoDeserializer};
use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use uuid::Uuid;

/// The event as the domain knows it.
pub(crate) fn read(event: &Recorded) -> Result<Event, HandlerError> {
    event.event().map_err(|error| match error {
        UnreadableEvent::Shape { source, .. } => HandlerError::Unfit(format!("{}: {source}", event.key)),
        unknown => HandlerError::Unknown(unknown),
    })
}

/// The id of the event's aggregate, where that is a uuid.
pub(crate) fn id(event: &Recorded) -> Result<Uuid, HandlerError> {
    let id = &event.key.aggregate_id;
    id.parse().map_err(|_| HandlerError::Unfit(format!("the aggregate id `{id}` is not a uuid")))
}

fn undecodable(column: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_owned(), source: error.into() }
}

/// A text column as a value that is written as a string.
pub(crate) fn word<T: DeserializeOwned>(row: &PgRow, column: &str) -> Result<T, sqlx::Error> {
    let text: String = row.try_get(column)?;
    parsed(column, text)
}

/// The same where the column may be null.
pub(crate) fn word_or_none<T: DeserializeOwned>(row: &PgRow, column: &str) -> Result<Option<T>, sqlx::Error> {
    let text: Option<String> = row.try_get(column)?;
    text.map(|text| parsed(column, text)).transpose()
}

fn parsed<T: DeserializeOwned>(column: &str, text: String) -> Result<T, sqlx::Error> {
    let deserializer: serde::de::value::StringDeserializer<ValueError> = text.into_deserializer();
    T::deserialize(deserializer).map_err(|error| undecodable(column, error))
}

/// A numeric column as one of the domain's decimals; null where it is null.
pub(crate) fn decimal_or_none<T: DeserializeOwned>(
    row: &PgRow,
    column: &str,
) -> Result<Option<T>, sqlx::Error> {
    let decimal: Option<Decimal> = row.try_get(column)?;
    decimal.map(|decimal| parsed(column, decimal.to_string())).transpose()
}

/// A column of sessions ahead.
pub(crate) fn horizon(row: &PgRow, column: &str) -> Result<Horizon, sqlx::Error> {
    Horizon::new(number(row, column)?).map_err(|error| undecodable(column, error))
}

/// A JSON column.
pub(crate) fn json<T: DeserializeOwned>(row: &PgRow, column: &str) -> Result<T, sqlx::Error> {
    row.try_get::<Json<T>, _>(column).map(|json| json.0)
}

/// The same where the column may be null.
pub(crate) fn json_or_none<T: DeserializeOwned>(row: &PgRow, column: &str) -> Result<Option<T>, sqlx::Error> {
    row.try_get::<Option<Json<T>>, _>(column).map(|json| json.map(|json| json.0))
}

/// A bigint column that is never negative.
pub(crate) fn count(row: &PgRow, column: &str) -> Result<u64, sqlx::Error> {
    let number: i64 = row.try_get(column)?;
    u64::try_from(number).map_err(|error| undecodable(column, error))
}

/// The same where the column may be null.
pub(crate) fn count_or_none(row: &PgRow, column: &str) -> Result<Option<u64>, sqlx::Error> {
    let number: Option<i64> = row.try_get(column)?;
    number.map(|number| u64::try_from(number).map_err(|error| undecodable(column, error))).transpose()
}

/// An integer column that is never negative.
pub(crate) fn number(row: &PgRow, column: &str) -> Result<u32, sqlx::Error> {
    let number: i32 = row.try_get(column)?;
    u32::try_from(number).map_err(|error| undecodable(column, error))
}

/// The same where the column may be null.
pub(crate) fn number_or_none(row: &PgRow, column: &str) -> Result<Option<u32>, sqlx::Error> {
    let number: Option<i32> = row.try_get(column)?;
    number.map(|number| u32::try_from(number).map_err(|error| undecodable(column, error))).transpose()
}

/// The word a unit-like value of the domain is written as.
pub(crate) fn written(value: &impl serde::Serialize) -> Result<String, serde_json::Error> {
    match serde_json::to_value(value)? {
        serde_json::Value::String(word) => Ok(word),
        other => Ok(other.to_string()),
    }
}
