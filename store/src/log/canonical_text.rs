//! From a stored text straight to its canonical form, without a value in between.
//!
//! Whoever verifies the log does this for every event of it. What the log takes is simple: numbers are integers, and
//! PostgreSQL writes texts as RFC 8785 does. Whatever is not that simple is left to [`super::canonical`], which knows all
//! of JSON; both give the same form.

use super::canonical::by_utf16;

/// Deeper values are left to the parser, which has a limit of its own.
const DEEPEST: usize = 100;

/// Integers of so many digits lie within what the log takes, whatever they are.
const DIGITS: usize = 15;

/// The canonical form of a JSON text; none when it is not one the log could have taken as it stands, or for a text
/// that takes more to tell.
pub(super) fn from_text(text: &str) -> Option<String> {
    let mut reading = Reading {
        text,
        at: 0,
        form: String::with_capacity(text.len()),
        members: vec![],
        spare: String::new(),
    };
    reading.value(0)?;
    reading.pass_space();
    (reading.at == text.len()).then_some(reading.form)
}

struct Reading<'a> {
    text: &'a str,
    at: usize,
    form: String,
    /// Of the objects that are open, the innermost last.
    members: Vec<Member<'a>>,
    spare: String,
}

/// A member that is written, and where.
struct Member<'a> {
    name: &'a str,
    start: usize,
    end: usize,
}

impl<'a> Reading<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn pass_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// Passes over `byte` and the space around it, if it is what comes.
    fn passes(&mut self, byte: u8) -> bool {
        self.pass_space();
        let comes = self.peek() == Some(byte);
        if comes {
            self.at += 1;
            self.pass_space();
        }
        comes
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        self.pass_space();
        match self.peek()? {
            b'"' => {
                let text = self.quoted()?;
                self.form.push_str(text);
                Some(())
            }
            b'{' if depth < DEEPEST => self.object(depth),
            b'[' if depth < DEEPEST => self.array(depth),
            b'-' | b'0'..=b'9' => self.integer(),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => None,
        }
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.text[self.at..].starts_with(word).then(|| {
            self.at += word.len();
            self.form.push_str(word);
        })
    }

    fn integer(&mut self) -> Option<()> {
        let start = self.at;
        let is_negative = self.peek() == Some(b'-');
        self.at += usize::from(is_negative);
        let first = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        let digits = &self.text[first..self.at];
        let is_simple = match digits.as_bytes() {
            [b'0'] => !is_negative,
            [b'1'..=b'9', ..] => digits.len() <= DIGITS,
            _ => false,
        };
        let goes_on = matches!(self.peek(), Some(b'.' | b'e' | b'E'));
        (is_simple && !goes_on).then(|| self.form.push_str(&self.text[start..self.at]))
    }

    /// A text with its quotes, if it stands as the canonical form would write it.
    fn quoted(&mut self) -> Option<&'a str> {
        let (text, start) = (self.text, self.at);
        self.at += 1;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => {
                    let (b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't') =
                        *text.as_bytes().get(self.at + 1)?
                    else {
                        return None;
                    };
                    self.at += 2;
                }
                0..b' ' => return None,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Some(&text[start..self.at])
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        self.at += 1;
        self.form.push('[');
        if !self.passes(b']') {
            loop {
                self.value(depth + 1)?;
                if self.passes(b',') {
                    self.form.push(',');
                } else if self.passes(b']') {
                    break;
                } else {
                    return None;
                }
            }
        }
        self.form.push(']');
        Some(())
    }

    fn object(&mut self, depth: usize) -> Option<()> {
        let (begin, first) = (self.form.len() + 1, self.members.len());
        self.at += 1;
        self.form.push('{');
        if !self.passes(b'}') {
            loop {
                self.member(depth)?;
                if self.passes(b',') {
                    self.form.push(',');
                } else if self.passes(b'}') {
                    break;
                } else {
                    return None;
                }
            }
        }
        self.arrange(begin, first)?;
        self.form.push('}');
        Some(())
    }

    fn member(&mut self, depth: usize) -> Option<()> {
        let start = self.form.len();
        let quoted = if self.peek()? == b'"' { self.quoted()? } else { return None };
        let name = &quoted[1..quoted.len() - 1];
        if name.contains('\\') || !self.passes(b':') {
            return None;
        }
        self.form.push_str(quoted);
        self.form.push(':');
        self.value(depth + 1)?;
        self.members.push(Member { name, start, end: self.form.len() });
        Some(())
    }

    /// Puts the members from `first` on, which are written from `begin` on, into their order: PostgreSQL keeps them by
    /// the length of their names. None when two have one name.
    fn arrange(&mut self, begin: usize, first: usize) -> Option<()> {
        let members = &mut self.members[first..];
        if !members.is_sorted_by(|a, b| by_utf16(a.name, b.name).is_lt()) {
            members.sort_unstable_by(|a, b| by_utf16(a.name, b.name));
            if !members.is_sorted_by(|a, b| a.name != b.name) {
                return None;
            }
            self.spare.clear();
            for (place, member) in members.iter().enumerate() {
                if place > 0 {
                    self.spare.push(',');
                }
                self.spare.push_str(&self.form[member.start..member.end]);
            }
            self.form.truncate(begin);
            self.form.push_str(&self.spare);
        }
        self.members.truncate(first);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::canonical::{canonical, check_storable};
    use super::*;

    /// Values the log takes.
    fn storable() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-9_007_199_254_740_991_i64..=9_007_199_254_740_991).prop_map(Value::from),
            (-20_i64..=20).prop_map(Value::from),
            "[ -~é€\u{1f600}\n\t\u{8}\u{c}\r\"\\\\/]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 30, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec(("[a-z\u{e000}\u{10000}]{0,3}", inner), 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_text_gives_the_form_that_its_value_gives(value in storable(), pretty in any::<bool>()) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            let form = from_text(&text.unwrap());
            // Integers of sixteen digits take more to tell.
            if let Some(form) = form {
                prop_assert_eq!(form, canonical(&value));
            } else {
                prop_assert!(canonical(&value).bytes().filter(u8::is_ascii_digit).count() > DIGITS);
            }
        }

        #[test]
        fn whatever_the_text_a_form_is_given_only_where_the_value_has_it_and_the_log_takes_it(
            text in "[\\[\\]{}:,\"ab01e. \\\\ntrue-]{0,12}"
        ) {
            if let Some(form) = from_text(&text) {
                let value: Value = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(check_storable(&value), Ok(()));
                prop_assert_eq!(form, canonical(&value));
            }
        }
    }

    #[test]
    fn members_are_brought_into_order_at_every_depth() {
        let text = r#"{"b": {"z": 1, "aa": [{"d": "\"", "c": {}}]}, "aaa": null, "": 0}"#;
        let form = r#"{"":0,"aaa":null,"b":{"aa":[{"c":{},"d":"\""}],"z":1}}"#;
        assert_eq!(from_text(text).unwrap(), form);
        assert_eq!(canonical(&serde_json::from_str(text).unwrap()), form);
    }

    #[test]
    fn what_is_not_simple_is_left_to_the_parser() {
        for text in [
            "",
            " ",
            "1.0",
            "1e3",
            "-0",
            "01",
            "9007199254740992",
            "\"\\u0001\"",
            "\"\\u0000\"",
            "\"\\/\"",
            "\"\u{1}\"",
            "\"",
            "{\"a\":1,\"a\":2}",
            "{\"a\":1,\"b\":0,\"a\":2}",
            "{\"a\\n\":1}",
            "[1,]",
            "{,}",
            "[1 2]",
            "1 2",
            "nul",
            "{a:1}",
            "{\"a\" 1}",
        ] {
            assert_eq!(from_text(text), None, "{text}");
        }
        let deep = "[".repeat(DEEPEST + 1) + &"]".repeat(DEEPEST + 1);
        assert_eq!(from_text(&deep), None);
        assert_eq!(from_text(&deep[1..deep.len() - 1]).as_deref(), Some(&deep[1..deep.len() - 1]));
        assert_eq!(from_text("{}").unwrap(), canonical(&json!({})));
    }
}
