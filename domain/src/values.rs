//! Values with units: what a number means is in its type, and in events every one is written as a string.

use std::fmt;
use std::str::FromStr;

use chrono::NaiveDate;
use rust_decimal::Decimal;
use rust_decimal::prelude::{FromPrimitive, ToPrimitive};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One trading day of one exchange.
pub type Session = NaiveDate;

/// A value that does not fit its type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidValue {
    /// A horizon outside 1 to 60 sessions.
    #[error("a horizon is 1 to 60 sessions, not {0}")]
    Horizon(u32),
    /// A ticker symbol with characters no exchange uses, or too long.
    #[error("`{0}` is not a ticker symbol: 1 to 20 of A-Z, 0-9, `.`, `-`, `^`, `=`, `/`")]
    Symbol(String),
    /// An exchange code that is neither a market identifier code nor `-`.
    #[error("`{0}` is not an exchange: a market identifier code (ISO 10383) or `-`")]
    Exchange(String),
    /// A probability outside 0 to 1.
    #[error("a probability lies between 0 and 1")]
    Probability,
    /// A number that is not finite.
    #[error("not a finite number")]
    NotFinite,
    /// A digest that is not 64 hexadecimal digits.
    #[error("`{0}` is not a SHA-256 digest in hexadecimal")]
    Digest(String),
    /// A model name outside its alphabet.
    #[error("`{0}` is not a model name: 1 to 40 of a-z, 0-9 and `-`")]
    ModelName(String),
}

/// Decimal places kept of a return, a probability or a score.
const PLACES: u32 = 10;

macro_rules! decimal_value {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        #[schemars(extend("pattern" = r"^-?[0-9]+(\.[0-9]+)?$"))]
        pub struct $name(
            #[serde(with = "rust_decimal::serde::str")]
            #[schemars(with = "String")]
            Decimal,
        );

        impl $name {
            /// The value as a decimal.
            pub const fn decimal(self) -> Decimal {
                self.0
            }

            /// The nearest binary number, for computing.
            pub fn to_f64(self) -> f64 {
                self.0.to_f64().unwrap_or(f64::NAN)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

fn rounded(value: f64) -> Result<Decimal, InvalidValue> {
    let decimal = Decimal::from_f64(value).ok_or(InvalidValue::NotFinite)?;
    Ok(decimal.round_dp(PLACES).normalize())
}

decimal_value! {
    /// A price in the currency of the instrument.
    Price
}
decimal_value! {
    /// A logarithmic return, `ln(later / earlier)`: 0.01 is about one percent.
    LogReturn
}
decimal_value! {
    /// A probability between 0 and 1.
    Probability
}
decimal_value! {
    /// A dimensionless measure, such as a squared error, a score or a ratio.
    Measure
}

impl Price {
    /// A price of this amount.
    pub const fn new(amount: Decimal) -> Self {
        Self(amount)
    }

    /// A price from a binary number, to ten decimal places.
    pub fn from_f64(value: f64) -> Result<Self, InvalidValue> {
        rounded(value).map(Self)
    }
}

impl LogReturn {
    /// No change.
    pub const ZERO: Self = Self(Decimal::ZERO);

    /// A return from a binary number, to ten decimal places.
    pub fn from_f64(value: f64) -> Result<Self, InvalidValue> {
        rounded(value).map(Self)
    }
}

impl Probability {
    /// A probability from a binary number, to ten decimal places.
    pub fn from_f64(value: f64) -> Result<Self, InvalidValue> {
        if (0.0..=1.0).contains(&value) { rounded(value).map(Self) } else { Err(InvalidValue::Probability) }
    }
}

impl Measure {
    /// A measure from a binary number, to ten decimal places.
    pub fn from_f64(value: f64) -> Result<Self, InvalidValue> {
        rounded(value).map(Self)
    }
}

/// The number of sessions ahead that a prediction speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u32", into = "u32")]
#[schemars(extend("minimum" = 1, "maximum" = 60))]
pub struct Horizon(u8);

impl Horizon {
    /// A horizon of 1 to 60 sessions.
    pub fn new(sessions: u32) -> Result<Self, InvalidValue> {
        match u8::try_from(sessions) {
            Ok(count @ 1..=60) => Ok(Self(count)),
            _ => Err(InvalidValue::Horizon(sessions)),
        }
    }

    /// The count of sessions.
    pub const fn sessions(self) -> u32 {
        self.0 as u32
    }
}

impl TryFrom<u32> for Horizon {
    type Error = InvalidValue;

    fn try_from(sessions: u32) -> Result<Self, InvalidValue> {
        Self::new(sessions)
    }
}

impl From<Horizon> for u32 {
    fn from(horizon: Horizon) -> Self {
        horizon.sessions()
    }
}

macro_rules! text_value {
    ($(#[$doc:meta])* $name:ident, $refusal:ident, $pattern:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(extend("pattern" = $pattern))]
        pub struct $name(String);

        impl $name {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidValue;

            fn from_str(text: &str) -> Result<Self, InvalidValue> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) { Ok(Self(text.to_owned())) } else { Err(InvalidValue::$refusal(text.to_owned())) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidValue;

            fn try_from(text: String) -> Result<Self, InvalidValue> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_value! {
    /// A ticker symbol as its exchange writes it.
    Symbol, Symbol, "^[A-Z0-9.^=/-]{1,20}$", |text| {
        (1..=20).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b".-^=/".contains(&b))
    }
}
text_value! {
    /// A market identifier code (ISO 10383) such as `XNYS`, or `-` where it is not known.
    Exchange, Exchange, "^(-|[A-Z0-9]{4})$", |text| {
        text == "-" || (text.len() == 4 && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()))
    }
}
text_value! {
    /// A SHA-256 digest, 64 hexadecimal digits in lower case.
    Digest, Digest, "^[0-9a-f]{64}$", |text| text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}
text_value! {
    /// The name of a line of model versions, such as `us-daily`.
    ModelName, ModelName, "^[a-z0-9-]{1,40}$", |text| {
        (1..=40).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    }
}

/// Where the prices under a prediction came from, and by which clock. Modes are never scored together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Real prices, the real clock.
    Live,
    /// Real prices of the past, an accelerated clock.
    Replayed,
    /// The simulator's market.
    Simulated,
}

impl Mode {
    /// The word stored and shown for this mode.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Replayed => "replayed",
            Self::Simulated => "simulated",
        }
    }
}

/// An object in object storage: where it lies and what its bytes must hash to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoredObject {
    /// The key below the storage's root.
    pub key: String,
    /// SHA-256 of the bytes.
    pub sha256: Digest,
    /// Length in bytes.
    pub bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_events_are_strings() {
        let value = LogReturn::from_f64(0.012_345_678_912_3).expect("finite");
        assert_eq!(serde_json::to_string(&value).expect("serialises"), "\"0.0123456789\"");
        let back: LogReturn = serde_json::from_str("\"0.0123456789\"").expect("parses");
        assert_eq!(back, value);
    }

    #[test]
    fn a_probability_outside_its_range_is_refused() {
        assert_eq!(Probability::from_f64(1.1), Err(InvalidValue::Probability));
        assert_eq!(Probability::from_f64(f64::NAN), Err(InvalidValue::Probability));
    }

    #[test]
    fn not_a_number_is_no_price() {
        assert_eq!(Price::from_f64(f64::NAN), Err(InvalidValue::NotFinite));
    }

    #[test]
    fn symbols_exchanges_and_horizons_know_their_alphabet() {
        assert!("BRK.B".parse::<Symbol>().is_ok());
        assert!("NAN".parse::<Symbol>().is_ok());
        assert!("<html>".parse::<Symbol>().is_err());
        assert!("XNYS".parse::<Exchange>().is_ok());
        assert!("nyse".parse::<Exchange>().is_err());
        assert!(Horizon::new(0).is_err());
        assert!(serde_json::from_str::<Horizon>("61").is_err());
    }
}
