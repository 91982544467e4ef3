//! A training's choices as names and texts, to be written down and taken up again without the loss of a bit.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::train::TrainingSpec;

/// What of a specification is written down elsewhere.
const ELSEWHERE: [&str; 3] = ["horizons", "seed", "code_version"];

impl TrainingSpec {
    /// What was chosen beside the family's name, the horizons, the seed and the code, by name, such as `family.alpha`.
    pub fn parameters(&self) -> BTreeMap<String, String> {
        let mut parameters = BTreeMap::new();
        if let Ok(Value::Object(mut choices)) = serde_json::to_value(self) {
            for name in ELSEWHERE {
                choices.remove(name);
            }
            flatten("", &Value::Object(choices), &mut parameters);
        }
        parameters.remove("family.family");
        parameters
    }

    /// The specification these parameters were taken from; nothing where this version cannot tell what they mean.
    pub fn with_parameters(
        family: &str,
        horizons: &[usize],
        seed: u64,
        code_version: &str,
        parameters: &BTreeMap<String, String>,
    ) -> Option<Self> {
        let mut choices = Map::new();
        for (name, text) in parameters {
            let mut place = &mut choices;
            let mut steps = name.split('.').peekable();
            while let Some(step) = steps.next() {
                if steps.peek().is_none() {
                    place.insert(step.to_owned(), value(text));
                    break;
                }
                place = place.entry(step).or_insert_with(|| json!({})).as_object_mut()?;
            }
        }
        choices
            .entry("family")
            .or_insert_with(|| json!({}))
            .as_object_mut()?
            .insert("family".into(), json!(family));
        choices.insert("horizons".into(), json!(horizons));
        choices.insert("seed".into(), json!(seed));
        choices.insert("code_version".into(), json!(code_version));
        let spec: Self = serde_json::from_value(Value::Object(choices)).ok()?;
        // A parameter that was dropped would be another training.
        (spec.parameters() == *parameters).then_some(spec)
    }
}

fn flatten(name: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    let below = |part: &str| if name.is_empty() { part.to_owned() } else { format!("{name}.{part}") };
    match value {
        Value::Null => {}
        Value::Object(fields) => fields.iter().for_each(|(part, value)| flatten(&below(part), value, into)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, item)| flatten(&below(&at.to_string()), item, into));
        }
        Value::String(text) => {
            into.insert(name.to_owned(), text.clone());
        }
        Value::Bool(_) | Value::Number(_) => {
            into.insert(name.to_owned(), value.to_string());
        }
    }
}

/// The number or word a text stands for. Numbers are read by the standard library, which rounds to the nearest.
fn value(text: &str) -> Value {
    if let Ok(whole) = text.parse::<u64>() {
        return json!(whole);
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => json!(number),
        _ if text == "true" || text == "false" => json!(text == "true"),
        _ => json!(text),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Family;
    use crate::conformal::Scale;
    use crate::models::Choices;

    fn again(spec: &TrainingSpec) -> Option<TrainingSpec> {
        let (family, parameters) = (spec.family.name(), spec.parameters());
        TrainingSpec::with_parameters(family, &spec.horizons, spec.seed, &spec.code_version, &parameters)
    }

    #[test]
    fn a_specification_comes_back_from_its_parameters_to_the_last_bit() {
        let families = [
            Family::Zero,
            Family::Ridge { alpha: 0.1 + 0.2 },
            Family::ElasticNet { penalty: 1e-300, l1_ratio: 1.0 / 3.0 },
            Family::Boosted(Choices { seed: u64::MAX, ..Choices::default() }),
            Family::Ensemble { alpha: 1e22, boosted: Choices { rate: 0.1, ..Choices::default() } },
        ];
        for family in families {
            let spec = TrainingSpec {
                family,
                scale: Scale::Volatility,
                test_start: chrono::NaiveDate::from_ymd_opt(2016, 1, 1),
                seed: u64::MAX - 1,
                ..TrainingSpec::default()
            };
            assert_eq!(again(&spec).unwrap(), spec, "{:?}", spec.parameters());
        }
        let parameters = TrainingSpec::default().parameters();
        assert_eq!(parameters["family.alpha"], "1000.0");
        assert_eq!(parameters["scale"], "har");
    }

    #[test]
    fn parameters_this_version_does_not_know_are_not_passed_over() {
        let mut parameters = TrainingSpec::default().parameters();
        parameters.insert("family.dropout".into(), "0.1".into());
        assert_eq!(TrainingSpec::with_parameters("ridge", &[1], 1, "x", &parameters), None);
        assert_eq!(TrainingSpec::with_parameters("prophet", &[1], 1, "x", &BTreeMap::new()), None);
    }
}
