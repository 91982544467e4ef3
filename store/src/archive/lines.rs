//! Events as JSON Lines: each line is the canonical form (RFC 8785) of one event.
//!
//! A line has the ten members the digest is made of, and `as_of` and `hash`. Without those two it is, byte for byte,
//! what was hashed after the domain tag.

use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::manifest::hash_from_hex;
use crate::log::canonical::canonical;
use crate::log::{EventKey, Recorded};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    aggregate_id: String,
    aggregate_type: String,
    as_of: DateTime<Utc>,
    event_id: Uuid,
    event_type: String,
    event_version: String,
    hash: String,
    metadata: Value,
    ordinal: i64,
    payload: Value,
    recorded_at: DateTime<Utc>,
    sequence: i64,
}

/// Appends the line of `event` to `out`, with its line break.
pub(super) fn write(event: &Recorded, out: &mut String) {
    let quoted = |text: &str| canonical(&Value::from(text));
    let moment = |moment: DateTime<Utc>| moment.to_rfc3339_opts(SecondsFormat::Micros, true);
    // Writing into a string cannot fail.
    let _ = writeln!(
        out,
        "{{\"aggregate_id\":{},\"aggregate_type\":{},\"as_of\":\"{}\",\"event_id\":\"{}\",\"event_type\":{},\
         \"event_version\":{},\"hash\":\"{}\",\"metadata\":{},\"ordinal\":{},\"payload\":{},\"recorded_at\":\"{}\",\
         \"sequence\":{}}}",
        quoted(&event.key.aggregate_id),
        quoted(&event.key.aggregate_type),
        moment(event.as_of),
        event.event_id,
        quoted(&event.event_type),
        quoted(&event.event_version),
        hex::encode(event.event_hash),
        event.metadata.canonical(),
        event.ordinal,
        event.payload.canonical(),
        moment(event.recorded_at),
        event.key.sequence,
    );
}

/// Reads a line with its line break; it must be, to the byte, the one that [`write`] makes of the event.
pub(super) fn read(line: &[u8]) -> Result<Recorded, String> {
    let parsed: Line = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let event = Recorded {
        ordinal: parsed.ordinal,
        as_of: parsed.as_of,
        key: EventKey {
            aggregate_type: parsed.aggregate_type,
            aggregate_id: parsed.aggregate_id,
            sequence: parsed.sequence,
        },
        event_type: parsed.event_type,
        event_version: parsed.event_version,
        payload: parsed.payload.into(),
        metadata: parsed.metadata.into(),
        recorded_at: parsed.recorded_at,
        event_id: parsed.event_id,
        event_hash: hash_from_hex(&parsed.hash).ok_or("`hash` does not have 64 hexadecimal digits")?,
    };
    // One comparison refuses members given twice, numbers that would change, moments and digits in another form.
    let mut again = String::with_capacity(line.len());
    write(&event, &mut again);
    if again.as_bytes() != line {
        return Err("it is not in the canonical form".to_owned());
    }
    Ok(event)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;
    use sha2::{Digest, Sha256};

    use super::*;

    fn event() -> Recorded {
        let mut event = Recorded {
            ordinal: 7,
            as_of: "2024-05-06T12:00:00.5Z".parse().unwrap(),
            key: EventKey {
                aggregate_type: "t".into(),
                aggregate_id: "a:\"\\€\u{1f600}".into(),
                sequence: 3,
            },
            event_type: "Counted".into(),
            event_version: "1.0".into(),
            payload:
                json!({"\u{fb33}": 9_007_199_254_740_991_i64, "\u{1f600}": [null, "\u{1}\u{7f}\u{2028}"]})
                    .into(),
            metadata: json!({}).into(),
            recorded_at: "2024-05-06T12:00:00.000001Z".parse().unwrap(),
            event_id: Uuid::from_u128(5),
            event_hash: [0; 32],
        };
        event.event_hash = event.recomputed_hash();
        event
    }

    fn line() -> String {
        let mut line = String::new();
        write(&event(), &mut line);
        line
    }

    #[test]
    fn a_line_reads_back_as_its_event_and_is_what_was_hashed_but_for_two_members() {
        assert_eq!(read(line().as_bytes()), Ok(event()));
        let mut members: Value = serde_json::from_str(&line()).unwrap();
        assert_eq!(canonical(&members) + "\n", line());
        members.as_object_mut().unwrap().retain(|name, _| name != "hash" && name != "as_of");
        let hashed = Sha256::new().chain_update("almanac/event\0v1\0").chain_update(canonical(&members));
        assert_eq!(<[u8; 32]>::from(hashed.finalize()), event().event_hash);
    }

    #[test]
    fn fault_14_a_line_in_any_other_form_is_refused() {
        for (from, to) in [
            ("\"ordinal\":7", "\"ordinal\":7,\"ordinal\":7"),
            ("\"ordinal\":7", "\"ordinal\": 7"),
            ("\"ordinal\":7", "\"ordinal\":7.0"),
            ("\"ordinal\":7", "\"ordinal\":\"7\""),
            ("\"ordinal\":7,", ""),
            ("\"ordinal\":7", "\"ordinal\":7,\"more\":1"),
            (":9007199254740991", ":9007199254740992.0"),
            ("[null", "[null,{\"a\":1,\"a\":1}"),
            ("\\u0001", "\\u0000\\u0001"),
            ("T12:00:00.000001Z", "T12:00:00.000001+00:00"),
            ("T12:00:00.000001Z", "T12:00:00.0000010Z"),
            ("00000005\"", "0000000five\""),
            ("}\n", "}"),
            ("}\n", "} \n"),
            ("}\n", "}{}\n"),
        ] {
            let changed = line().replacen(from, to, 1);
            assert_ne!(changed, line(), "{from}");
            // U+0000 is read, but the digest and the database refuse it.
            let read = read(changed.as_bytes());
            assert!(read.as_ref().map_or(true, |event| event.recomputed_hash() != event.event_hash), "{to}");
        }
    }
}
