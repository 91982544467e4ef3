//! Words of a headline, and the base forms each may have come from.

use std::borrow::Cow;

/// The words of `text` in lower case: letters with apostrophes inside; hyphens, digits and signs divide words.
pub(super) fn words(text: &str) -> Vec<String> {
    let text = text.to_ascii_lowercase().replace('\u{2019}', "'");
    text.split(|c: char| !(c.is_ascii_alphabetic() || c == '\''))
        .map(|word| word.trim_matches('\'').to_owned())
        .filter(|word| !word.is_empty())
        .collect()
}

/// The word itself, then what is left without the endings of English plural, tense and possession.
pub(super) fn forms(word: &str) -> Vec<Cow<'_, str>> {
    let mut forms = vec![Cow::Borrowed(word)];
    let word = word.strip_suffix("'s").map_or(word, |owner| {
        forms.push(owner.into());
        owner
    });
    if word.len() < 4 {
        return forms;
    }
    if let Some(stem) = word.strip_suffix("ies").or_else(|| word.strip_suffix("ied")) {
        forms.push(format!("{stem}y").into());
    }
    forms.extend(["s", "es", "d"].iter().filter_map(|ending| word.strip_suffix(ending)).map(Cow::from));
    for stem in ["ed", "ing"].iter().filter_map(|ending| word.strip_suffix(ending)) {
        forms.push(stem.into());
        forms.push(format!("{stem}e").into());
        let doubled = stem.len() > 2 && stem.as_bytes()[stem.len() - 1] == stem.as_bytes()[stem.len() - 2];
        if doubled {
            forms.push(stem[..stem.len() - 1].into());
        }
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hyphens_and_digits_divide_words_and_apostrophes_do_not() {
        assert_eq!(
            words("Profit-booking: Q2 isn\u{2019}t 'good'"),
            ["profit", "booking", "q", "isn't", "good"]
        );
    }

    #[test]
    fn inflected_words_lead_to_their_base() {
        for (word, base) in [
            ("gains", "gain"),
            ("slipped", "slip"),
            ("raising", "raise"),
            ("worries", "worry"),
            ("losses", "loss"),
            ("surged", "surge"),
            ("company's", "company"),
        ] {
            assert!(forms(word).contains(&base.into()), "{word}");
        }
        assert_eq!(forms("gas"), ["gas"]);
    }
}
