//! The tone of a financial headline, by a lexicon: transparent, fast and modest.
//!
//! Every word with a tone is found in `lexicon.rs`; a word of direction (`rises`, `falls`) beside a burden
//! (`debt`, `cost`) counts the other way, a negation within the three words before turns it, and an intensifier
//! right before strengthens it. The words that decided are part of the answer, so that a reader can see why.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

mod lexicon;
#[cfg(test)]
mod tests;
mod words;

/// The name of this model with its version; it changes whenever a score can change.
pub const MODEL: &str = "lexicon-1";

/// How far back a negation reaches, in words.
const NEGATION_REACH: usize = 3;
/// How far before and after a word of direction a burden is looked for, in words.
const BURDEN_BEFORE: usize = 2;
const BURDEN_AFTER: usize = 3;
/// How near a word of direction silences the tone that a burden has by itself, in words.
const BURDEN_SILENCE: usize = 4;
/// A turned word is weaker than its opposite: `not good` is less than `bad`.
const NEGATED: f64 = -0.75;
const INTENSIFIED: f64 = 1.5;
const DAMPENED: f64 = 0.5;
/// The sum of weights below which a headline takes no side.
const NEUTRAL_BELOW: f64 = 0.4;
/// The sum of weights that counts as two thirds of the way to a full score.
const SCALE: f64 = 2.5;

/// Which side a headline takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Label {
    /// Good news.
    Positive,
    /// No side.
    Neutral,
    /// Bad news.
    Negative,
}

/// A word of the headline, as written there but in lower case, and what it added to the sum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecidingWord {
    /// The word, or the pair of words.
    pub word: String,
    /// Above zero for good news, below for bad; about 1 for an ordinary word.
    pub weight: f64,
}

/// The tone of a headline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sentiment {
    /// From -1, bad, to 1, good.
    pub score: f64,
    /// The side it takes.
    pub label: Label,
    /// The words that decided, in the order of the headline.
    pub words: Vec<DecidingWord>,
}

#[derive(Debug, Clone, Copy)]
struct Tone {
    weight: f64,
    direction: bool,
}

struct Lexicon {
    tones: HashMap<&'static str, Tone>,
    /// By the first word: the second, and the tone of the pair; none where the pair has none.
    pairs: HashMap<&'static str, Vec<(&'static str, Option<Tone>)>>,
    burdens: HashSet<&'static str>,
    negations: HashSet<&'static str>,
    intensifiers: HashSet<&'static str>,
    dampeners: HashSet<&'static str>,
}

static LEXICON: LazyLock<Lexicon> = LazyLock::new(|| {
    let mut tones = HashMap::new();
    let mut pairs: HashMap<_, Vec<_>> = HashMap::new();
    for (list, weight, direction) in [
        (lexicon::UP, 1.0, true),
        (lexicon::DOWN, -1.0, true),
        (lexicon::GOOD, 1.0, false),
        (lexicon::BAD, -1.0, false),
        (lexicon::EXCELLENT, 1.5, false),
        (lexicon::TERRIBLE, -1.5, false),
    ] {
        for entry in list.split_whitespace() {
            let tone = Tone { weight, direction };
            match entry.split_once('_') {
                Some((first, second)) => pairs.entry(first).or_default().push((second, Some(tone))),
                None => drop(tones.insert(entry, tone)),
            }
        }
    }
    for (first, second) in lexicon::TONELESS.split_whitespace().filter_map(|pair| pair.split_once('_')) {
        pairs.entry(first).or_default().push((second, None));
    }
    let set = |list: &'static str| list.split_whitespace().collect();
    Lexicon {
        tones,
        pairs,
        burdens: set(lexicon::BURDENS),
        negations: set(lexicon::NEGATIONS),
        intensifiers: set(lexicon::INTENSIFIERS),
        dampeners: set(lexicon::DAMPENERS),
    }
});

/// One place in a headline that has a tone.
struct Hit {
    at: usize,
    length: usize,
    tone: Tone,
    burden: bool,
}

/// Reads the tone of `headline`.
pub fn score(headline: &str) -> Sentiment {
    let words = words::words(headline);
    let forms: Vec<_> = words.iter().map(|word| words::forms(word)).collect();
    let is_burden: Vec<bool> =
        forms.iter().map(|forms| forms.iter().any(|form| LEXICON.burdens.contains(form.as_ref()))).collect();
    let hits = find(&words, &forms, &is_burden);
    let deciding: Vec<DecidingWord> = hits
        .iter()
        .map(|hit| DecidingWord {
            word: words[hit.at..hit.at + hit.length].join(" "),
            weight: weigh(hit, &hits, &words, &is_burden),
        })
        .filter(|word| word.weight != 0.0)
        .collect();
    let sum: f64 = deciding.iter().map(|word| word.weight).sum();
    let label = if sum > NEUTRAL_BELOW {
        Label::Positive
    } else if sum < -NEUTRAL_BELOW {
        Label::Negative
    } else {
        Label::Neutral
    };
    Sentiment { score: libm::tanh(sum / SCALE), label, words: deciding }
}

fn find(words: &[String], forms: &[Vec<std::borrow::Cow<'_, str>>], is_burden: &[bool]) -> Vec<Hit> {
    let mut hits = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let pair = forms.get(at + 1).and_then(|next| {
            let seconds = forms[at].iter().filter_map(|form| LEXICON.pairs.get(form.as_ref())).flatten();
            seconds.into_iter().find(|(second, _)| next.iter().any(|form| form.as_ref() == *second))
        });
        let (length, tone) = match pair {
            Some((_, tone)) => (2, *tone),
            None if LEXICON.negations.contains(words[at].as_str()) => (1, None),
            None => (1, forms[at].iter().find_map(|form| LEXICON.tones.get(form.as_ref())).copied()),
        };
        if let Some(tone) = tone {
            hits.push(Hit { at, length, tone, burden: length == 1 && is_burden[at] });
        }
        at += length;
    }
    hits
}

/// What a hit adds to the sum, given the words around it.
fn weigh(hit: &Hit, hits: &[Hit], words: &[String], is_burden: &[bool]) -> f64 {
    let end = hit.at + hit.length;
    let directed = |other: &Hit| other.tone.direction && other.at.abs_diff(hit.at) <= BURDEN_SILENCE;
    if hit.burden && hits.iter().any(directed) {
        return 0.0;
    }
    let mut weight = hit.tone.weight;
    let before = &is_burden[hit.at.saturating_sub(BURDEN_BEFORE)..hit.at];
    let after = &is_burden[end..(end + BURDEN_AFTER).min(words.len())];
    if hit.tone.direction && before.iter().chain(after).any(|burden| *burden) {
        weight = -weight;
    }
    if let Some(previous) = hit.at.checked_sub(1).map(|at| words[at].as_str()) {
        if LEXICON.intensifiers.contains(previous) {
            weight *= INTENSIFIED;
        }
        if LEXICON.dampeners.contains(previous) {
            weight *= DAMPENED;
        }
    }
    let reach = &words[hit.at.saturating_sub(NEGATION_REACH)..hit.at];
    if reach.iter().any(|word| LEXICON.negations.contains(word.as_str())) {
        weight *= NEGATED;
    }
    weight
}
