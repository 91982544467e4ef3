//! A JSON document of an event: the text it is hashed as, and the value for whoever looks into it.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::sync::OnceLock;

use serde_json::Value;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueFormat, PgValueRef};
use sqlx::{Decode, Encode, Postgres, Type};

use super::canonical::{Unstorable, check_storable, numbers_are_plain, write};
use super::canonical_text;

/// The first byte of a `jsonb` in the binary protocol.
const JSONB: u8 = 1;

/// The payload or the metadata of an event.
///
/// Most who read the log never look at it as a value: it is hashed, written into an export, or parsed into an event. So
/// it is kept in its canonical form, and the value is made when somebody asks. It is a [`Value`] wherever one is wanted.
#[derive(Clone)]
pub struct Document {
    /// None for a value whose canonical form was not made, or that the log would not take.
    canonical: Option<Box<str>>,
    value: OnceLock<Value>,
}

impl Document {
    /// Reads a JSON text.
    ///
    /// # Errors
    /// When it is not one.
    pub fn read(text: &str) -> Result<Self, serde_json::Error> {
        match canonical_text::from_text(text) {
            Some(form) => Ok(Self { canonical: Some(form.into()), value: OnceLock::new() }),
            None => serde_json::from_str::<Value>(text).map(Self::from),
        }
    }

    /// Reads a `jsonb` as the binary protocol sends it.
    pub(crate) fn read_jsonb(bytes: &[u8]) -> Result<Self, BoxDynError> {
        let [JSONB, text @ ..] = bytes else { return Err("this is no jsonb of version 1".into()) };
        Ok(Self::read(std::str::from_utf8(text)?)?)
    }

    /// The canonical form (RFC 8785), where it was read from a text that the log could have taken.
    pub(crate) fn text(&self) -> Option<&str> {
        self.canonical.as_deref()
    }

    /// The canonical form (RFC 8785).
    pub fn canonical(&self) -> Cow<'_, str> {
        match self.text() {
            Some(text) => Cow::Borrowed(text),
            None => Cow::Owned(super::canonical::canonical(self)),
        }
    }

    /// Adds the canonical form to `out`.
    pub(crate) fn write(&self, out: &mut String) {
        match self.text() {
            Some(text) => out.push_str(text),
            None => write(self, out),
        }
    }

    /// Whether every number in it is one the log takes. Only such numbers have one reading for each canonical form.
    pub(crate) fn is_plain(&self) -> bool {
        self.canonical.is_some() || numbers_are_plain(self)
    }

    /// Checks that it is stored and read back unchanged.
    pub(crate) fn check_storable(&self) -> Result<(), Unstorable> {
        if self.canonical.is_some() { Ok(()) } else { check_storable(self) }
    }

    /// The value.
    pub fn into_value(mut self) -> Value {
        self.value.take().unwrap_or_else(|| self.deref().clone())
    }
}

impl Deref for Document {
    type Target = Value;

    fn deref(&self) -> &Value {
        // What is in canonical form was read once already and cannot fail; without one there is a value.
        let text = self.canonical.as_deref().unwrap_or_default();
        self.value.get_or_init(|| serde_json::from_str(text).unwrap_or_default())
    }
}

impl From<Value> for Document {
    fn from(value: Value) -> Self {
        Self { canonical: None, value: value.into() }
    }
}

impl PartialEq for Document {
    fn eq(&self, other: &Self) -> bool {
        match (self.text(), other.text()) {
            (Some(one), Some(other)) => one == other,
            (None, _) | (_, None) => **self == **other,
        }
    }
}

impl Eq for Document {}

impl PartialEq<Value> for Document {
    fn eq(&self, other: &Value) -> bool {
        **self == *other
    }
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.canonical())
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Type<Postgres> for Document {
    fn type_info() -> PgTypeInfo {
        <Value as Type<Postgres>>::type_info()
    }
}

impl PgHasArrayType for Document {
    fn array_type_info() -> PgTypeInfo {
        <Value as PgHasArrayType>::array_type_info()
    }
}

impl<'r> Decode<'r, Postgres> for Document {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        match value.format() {
            PgValueFormat::Binary => Self::read_jsonb(value.as_bytes()?),
            PgValueFormat::Text => Ok(Self::read(value.as_str()?)?),
        }
    }
}

impl Encode<'_, Postgres> for Document {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.push(JSONB);
        buffer.extend_from_slice(self.canonical().as_bytes());
        Ok(IsNull::No)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_is_the_value_it_was_read_from_and_made_of() {
        let value = json!({"b": [1, null], "a": "é\n"});
        let read = Document::read(r#"{"b": [1, null], "a": "é\n"}"#).unwrap();
        let made = Document::from(value.clone());
        assert_eq!(read.text(), Some(r#"{"a":"é\n","b":[1,null]}"#));
        assert_eq!((read.canonical(), made.text()), (made.canonical(), None));
        assert_eq!(read, made);
        assert_eq!(read, value);
        assert_ne!(read, Document::read("{}").unwrap());
        assert_eq!(read["b"][0], 1);
        assert_eq!((read.clone().into_value(), made.into_value()), (value.clone(), value));
    }

    #[test]
    fn what_the_log_does_not_take_is_read_all_the_same_and_known() {
        for (text, plain) in [("{\"a\": 1.5}", false), ("[9007199254740992]", false), ("\"\\u0001\"", true)] {
            let read = Document::read(text).unwrap();
            assert_eq!(read.is_plain(), plain, "{text}");
            assert_eq!(*read, serde_json::from_str::<Value>(text).unwrap());
        }
        assert!(Document::read("\"\\u0000\"").unwrap().check_storable().is_err());
        assert!(Document::read("{\"a\": [1, \"\"]}").unwrap().check_storable().is_ok());
        assert!(Document::read("{").is_err());
    }
}
