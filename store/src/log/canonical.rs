//! The canonical form of JSON (RFC 8785), over which events are hashed, and what the log refuses to store.

use std::cmp::Ordering;
use std::fmt::Write;

use serde_json::{Map, Number, Value};

/// The largest integer that every JSON reader agrees on: 2^53 - 1.
const MAX_SAFE: u64 = (1 << 53) - 1;

/// A value the log cannot keep unchanged, so it refuses it before the database sees it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unstorable {
    /// A number that is not an integer; decimals are written as strings.
    #[error("the number at {0} is not an integer: write decimals as strings")]
    Fraction(String),
    /// An integer beyond what every JSON reader keeps exactly.
    #[error("the number at {0} lies beyond +-(2^53-1)")]
    TooLarge(String),
    /// A text with the character U+0000, which PostgreSQL cannot store.
    #[error("the text at {0} contains the character U+0000")]
    Nul(String),
}

/// Checks that `value` is stored and read back unchanged.
///
/// # Errors
/// Names the first place that is not.
pub fn check_storable(value: &Value) -> Result<(), Unstorable> {
    // Nearly everything is, and places are named for the rest only.
    if is_storable(value) { Ok(()) } else { check(value, &mut String::from("$")) }
}

fn is_storable(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) => true,
        Value::Number(number) => check_number(number, "").is_ok(),
        Value::String(text) => !text.contains('\0'),
        Value::Array(items) => items.iter().all(is_storable),
        Value::Object(members) => {
            members.iter().all(|(name, member)| !name.contains('\0') && is_storable(member))
        }
    }
}

fn check(value: &Value, path: &mut String) -> Result<(), Unstorable> {
    match value {
        Value::Null | Value::Bool(_) => Ok(()),
        Value::Number(number) => check_number(number, path),
        Value::String(text) => check_text(text, path),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(index, item)| below(path, &format!("[{index}]"), |path| check(item, path))),
        Value::Object(members) => members.iter().try_for_each(|(name, member)| {
            check_text(name, path)?;
            below(path, &format!(".{name}"), |path| check(member, path))
        }),
    }
}

fn below<T>(path: &mut String, part: &str, look: impl FnOnce(&mut String) -> T) -> T {
    let length = path.len();
    path.push_str(part);
    let seen = look(path);
    path.truncate(length);
    seen
}

fn check_number(number: &Number, path: &str) -> Result<(), Unstorable> {
    let magnitude = match (number.as_u64(), number.as_i64()) {
        (Some(positive), _) => positive,
        (None, Some(negative)) => negative.unsigned_abs(),
        (None, None) => return Err(Unstorable::Fraction(path.to_owned())),
    };
    if magnitude > MAX_SAFE { Err(Unstorable::TooLarge(path.to_owned())) } else { Ok(()) }
}

fn check_text(text: &str, path: &str) -> Result<(), Unstorable> {
    if text.contains('\0') { Err(Unstorable::Nul(path.to_owned())) } else { Ok(()) }
}

/// Whether every number in `value` is one the log takes. Only such numbers have one reading for each canonical form.
pub(crate) fn numbers_are_plain(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => true,
        Value::Number(number) => check_number(number, "").is_ok(),
        Value::Array(items) => items.iter().all(numbers_are_plain),
        Value::Object(members) => members.values().all(numbers_are_plain),
    }
}

/// Writes `value` in the canonical form of RFC 8785: no white space, members sorted by UTF-16 code units,
/// numbers as ECMAScript writes them.
pub fn canonical(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

/// Adds the canonical form of `value` to `out`.
pub(super) fn write(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => write_number(number, out),
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => write_object(members, out),
    }
}

fn write_object(members: &Map<String, Value>, out: &mut String) {
    // Nearly always they are in order as they come, and this runs for every event of a verification.
    if members.keys().is_sorted_by(|a, b| by_utf16(a, b).is_le()) {
        return write_members(members.iter(), out);
    }
    let mut sorted: Vec<_> = members.iter().collect();
    sorted.sort_by(|(a, _), (b, _)| by_utf16(a, b));
    write_members(sorted.into_iter(), out);
}

fn write_members<'a>(members: impl Iterator<Item = (&'a String, &'a Value)>, out: &mut String) {
    out.push('{');
    for (index, (name, member)) in members.enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_text(name, out);
        out.push(':');
        write(member, out);
    }
    out.push('}');
}

/// The order by UTF-16 code units. It is the order by bytes, but that a character beyond the basic plane (which begins
/// with F0 or more in UTF-8, and with a surrogate in UTF-16) comes before the last ones in it (EE and EF).
pub(super) fn by_utf16(a: &str, b: &str) -> Ordering {
    match a.bytes().zip(b.bytes()).find(|(a, b)| a != b) {
        Some((a, b)) if a.min(b) >= 0xee && (a >= 0xf0) != (b >= 0xf0) => b.cmp(&a),
        Some((a, b)) => a.cmp(&b),
        None => a.len().cmp(&b.len()),
    }
}

/// RFC 8785 section 3.2.2.2: the short escapes, `\u00xx` for other control characters, everything else as it
/// is.
pub(super) fn write_text(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = 0;
    for (place, byte) in text.bytes().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&text[rest..place]);
        rest = place + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            0x8 => out.push_str("\\b"),
            0x9 => out.push_str("\\t"),
            0xa => out.push_str("\\n"),
            0xc => out.push_str("\\f"),
            0xd => out.push_str("\\r"),
            control => push(out, format_args!("\\u{control:04x}")),
        }
    }
    out.push_str(&text[rest..]);
    out.push('"');
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing into a string cannot fail.
    let _ = out.write_fmt(text);
}

/// RFC 8785 section 3.2.2.3: a number is an IEEE double, written as ECMAScript's `Number::toString` does.
pub(super) fn write_number(number: &Number, out: &mut String) {
    match (number.as_u64(), number.as_i64(), number.as_f64()) {
        (Some(positive), _, _) if positive <= MAX_SAFE => push(out, format_args!("{positive}")),
        (_, Some(negative), _) if negative.unsigned_abs() <= MAX_SAFE => {
            push(out, format_args!("{negative}"));
        }
        (_, _, double) => write_double(double.unwrap_or_default(), out),
    }
}

/// The shortest digits that read back as the same double; of several, the ones nearest to it, and of two as
/// near the even ones (RFC 8785 section 3.2.2.3, note 2), where the standard library's shortest form rounds
/// up.
fn shortest(positive: f64) -> String {
    let shortest = format!("{positive:e}");
    let digits = shortest.find('e').unwrap_or(shortest.len()) - usize::from(shortest.contains('.'));
    let nearest = format!("{positive:.*e}", digits - 1);
    if nearest.parse() == Ok(positive) { nearest } else { shortest }
}

/// ECMA-262 section 6.1.6.1.20, from the shortest digits that read back as the same double.
fn write_double(double: f64, out: &mut String) {
    if double == 0.0 {
        return out.push('0');
    }
    if double < 0.0 {
        out.push('-');
    }
    let shortest = shortest(double.abs());
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let digits = mantissa.replace('.', "");
    let count = digits.len() as i32;
    // The value is 0.DIGITS x 10^point.
    let point = exponent.parse::<i32>().unwrap_or_default() + 1;
    match point {
        _ if count <= point && point <= 21 => {
            out.push_str(&digits);
            out.push_str(&"0".repeat((point - count) as usize));
        }
        _ if 0 < point && point <= 21 => {
            let (whole, rest) = digits.split_at(point as usize);
            push(out, format_args!("{whole}.{rest}"));
        }
        _ if -6 < point && point <= 0 => {
            out.push_str("0.");
            out.push_str(&"0".repeat(point.unsigned_abs() as usize));
            out.push_str(&digits);
        }
        _ => {
            let (first, rest) = digits.split_at(1);
            let dot = if rest.is_empty() { "" } else { "." };
            push(out, format_args!("{first}{dot}{rest}e{:+}", point - 1));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::excessive_precision)]

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn double(bits: u64) -> String {
        let mut out = String::new();
        write_double(f64::from_bits(bits), &mut out);
        out
    }

    #[test]
    fn the_example_of_rfc_8785_section_3_2_comes_out_as_printed_there() {
        // Not parsed from text: reading decimal fractions to the last bit is another matter, and the log
        // holds none.
        let value = json!({
            "numbers": [333_333_333.333_333_29, 1E30, 4.50, 2e-3, 0.000_000_000_000_000_000_000_000_001],
            "string": "\u{20ac}$\u{F}\u{a}A'\u{42}\u{22}\u{5c}\\\"/",
            "literals": [null, true, false],
        });
        assert_eq!(
            canonical(&value),
            r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}"#
        );
    }

    #[test]
    fn the_members_of_rfc_8785_section_3_2_3_are_sorted_by_utf_16() {
        let value = json!({
            "\u{20ac}": "Euro Sign", "\r": "Carriage Return", "\u{fb33}": "Hebrew Letter Dalet With Dagesh",
            "1": "One", "\u{1f600}": "Emoji: Grinning Face", "\u{80}": "Control",
            "\u{f6}": "Latin Small Letter O With Diaeresis",
        });
        let text = canonical(&value);
        let order = ["Carriage", "One", "Control", "Latin", "Euro", "Emoji", "Hebrew"];
        let places: Vec<_> = order.iter().map(|word| text.find(word).unwrap()).collect();
        assert!(places.is_sorted(), "{text}");
    }

    #[test]
    fn the_numbers_of_rfc_8785_appendix_b_come_out_as_printed_there() {
        for (bits, expected) in [
            (0x0000_0000_0000_0000, "0"),
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0xc340_0000_0000_0000, "-9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0x41b3_de43_5555_5554, "333333333.33333325"),
            (0x41b3_de43_5555_5555, "333333333.3333333"),
            (0x41b3_de43_5555_5556, "333333333.3333334"),
            (0x41b3_de43_5555_5557, "333333333.33333343"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
            (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
        ] {
            assert_eq!(double(bits), expected, "{bits:x}");
        }
    }

    #[test]
    fn fault_14_what_cannot_be_kept_unchanged_is_refused_by_its_place() {
        for (value, refusal) in [
            (json!({"a": [1, 2.5]}), Unstorable::Fraction("$.a[1]".into())),
            (json!({"a": 1e300}), Unstorable::Fraction("$.a".into())),
            (json!({"a": 9_007_199_254_740_992_u64}), Unstorable::TooLarge("$.a".into())),
            (json!({"a": -9_007_199_254_740_992_i64}), Unstorable::TooLarge("$.a".into())),
            (json!({"a": u64::MAX}), Unstorable::TooLarge("$.a".into())),
            (json!({"a": {"b": "x\0"}}), Unstorable::Nul("$.a.b".into())),
            (json!({"a\0": 1}), Unstorable::Nul("$".into())),
        ] {
            assert_eq!(check_storable(&value), Err(refusal));
        }
        let edge = json!({"most": 9_007_199_254_740_991_u64, "least": -9_007_199_254_740_991_i64, "€": "\u{10ffff}"});
        assert_eq!(check_storable(&edge), Ok(()));
    }

    proptest! {
        #[test]
        fn names_are_ordered_as_their_utf_16_is(
            a in "[a\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{ffff}\u{10000}\u{10ffff}]{0,3}",
            b in "[a\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{ffff}\u{10000}\u{10ffff}]{0,3}",
        ) {
            prop_assert_eq!(by_utf16(&a, &b), a.encode_utf16().cmp(b.encode_utf16()));
        }

        #[test]
        fn a_canonical_form_reads_back_as_the_same_value(
            name in ".*", text in ".*", number in -9_007_199_254_740_991_i64..=9_007_199_254_740_991
        ) {
            let value = json!({ name: [text, number, {"b": null, "a": [true, {}]}] });
            let form = canonical(&value);
            let read: Value = serde_json::from_str(&form).unwrap();
            prop_assert_eq!(canonical(&read), form);
            prop_assert_eq!(read, value);
        }

        #[test]
        fn a_canonical_double_reads_back_as_the_same_double(number in any::<f64>()) {
            prop_assume!(number.is_finite());
            let read: f64 = double(number.to_bits()).parse().unwrap();
            // Zero has one canonical form only.
            prop_assert_eq!(read.to_bits(), (number + 0.0).to_bits());
        }
    }
}
