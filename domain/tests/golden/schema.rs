//! As much of JSON Schema as the published schema uses; a keyword it does not know fails the test.

use serde_json::{Map, Value};

/// Checks `value` against `root`, or says where it differs.
pub fn check(root: &Value, value: &Value) -> Result<(), String> {
    at(root, root, value, "$")
}

fn at(root: &Value, schema: &Value, value: &Value, place: &str) -> Result<(), String> {
    let keywords = match schema {
        Value::Bool(true) => return Ok(()),
        Value::Object(keywords) => keywords,
        other => return Err(format!("{place}: {other} is no schema")),
    };
    for (keyword, rule) in keywords {
        let holds = match keyword.as_str() {
            "$ref" => {
                let name = rule.as_str().and_then(|path| path.strip_prefix("#")).unwrap();
                at(root, root.pointer(name).unwrap(), value, place)?;
                true
            }
            "type" => one_or_many(rule).any(|name| is_of_type(value, name.as_str().unwrap())),
            "const" => value == rule,
            "enum" => rule.as_array().unwrap().contains(value),
            "anyOf" => fitting(root, rule, value, place) >= 1,
            "oneOf" => fitting(root, rule, value, place) == 1,
            "required" => {
                let named = rule.as_array().unwrap().iter().filter_map(Value::as_str);
                value.as_object().is_none_or(|fields| named.into_iter().all(|name| fields.contains_key(name)))
            }
            "properties" => {
                for (name, field) in value.as_object().into_iter().flatten() {
                    let Some(rule) = rule.get(name) else { continue };
                    at(root, rule, field, &format!("{place}.{name}"))?;
                }
                true
            }
            "additionalProperties" => {
                let named = keywords.get("properties").and_then(Value::as_object);
                if rule == false {
                    only(value, named)
                } else {
                    for (name, field) in value.as_object().into_iter().flatten() {
                        if named.is_none_or(|named| !named.contains_key(name)) {
                            at(root, rule, field, &format!("{place}.{name}"))?;
                        }
                    }
                    true
                }
            }
            "items" => {
                for (n, item) in value.as_array().into_iter().flatten().enumerate() {
                    at(root, rule, item, &format!("{place}[{n}]"))?;
                }
                true
            }
            "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= rule.as_u64().unwrap()),
            "maxItems" => value.as_array().is_none_or(|items| items.len() as u64 <= rule.as_u64().unwrap()),
            "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|number| number <= rule.as_f64().unwrap()),
            // Said for people and generators; what a text may hold is checked by the types that read it.
            "$schema" | "$defs" | "title" | "description" | "format" | "pattern" => true,
            other => panic!("{place}: the test does not know the keyword `{other}`"),
        };
        if !holds {
            return Err(format!("{place}: {value} does not keep to {keyword} {rule}"));
        }
    }
    Ok(())
}

fn one_or_many(rule: &Value) -> impl Iterator<Item = &Value> {
    rule.as_array().map_or(std::slice::from_ref(rule), Vec::as_slice).iter()
}

fn fitting(root: &Value, choices: &Value, value: &Value, place: &str) -> usize {
    choices.as_array().unwrap().iter().filter(|choice| at(root, choice, value, place).is_ok()).count()
}

fn only(value: &Value, named: Option<&Map<String, Value>>) -> bool {
    value
        .as_object()
        .is_none_or(|fields| fields.keys().all(|field| named.is_some_and(|named| named.contains_key(field))))
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("`{other}` is no type"),
    }
}
