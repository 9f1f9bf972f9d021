//! Holds a JSON value against a schema of `openapi.json`: those keywords of JSON Schema 2020-12 that stand there, and no
//! other goes unseen. To readers a description is open, so that fields may be added; here it is closed, so that none is
//! forgotten.

use serde_json::{Map, Value};

/// What is wrong with `value`, a line each; `at` is the place in it.
pub fn wrong(whole: &Value, schema: &Value, at: &str, value: &Value) -> Vec<String> {
    let Value::Object(rules) = schema else {
        return if *schema == Value::Bool(true) { vec![] } else { vec![format!("{at}: not allowed")] };
    };
    rules.iter().flat_map(|(keyword, rule)| held(whole, rules, (keyword, rule), at, value)).collect()
}

fn held(
    whole: &Value,
    rules: &Map<String, Value>,
    (keyword, rule): (&str, &Value),
    at: &str,
    value: &Value,
) -> Vec<String> {
    let number = || rule.as_f64().expect("a number");
    let said = |holds: bool| if holds { vec![] } else { vec![format!("{at}: {keyword} {rule}: {value}")] };
    match keyword {
        "description" | "additionalProperties" => vec![],
        "$ref" => {
            let name = rule.as_str().expect("a reference").trim_start_matches('#');
            wrong(whole, whole.pointer(name).unwrap_or_else(|| panic!("no {name}")), at, value)
        }
        "anyOf" => {
            let each: Vec<_> = list(rule).iter().map(|schema| wrong(whole, schema, at, value)).collect();
            if each.iter().any(Vec::is_empty) { vec![] } else { each.concat() }
        }
        "type" => said(match rule {
            Value::Array(names) => names.iter().any(|name| is_a(name, value)),
            name => is_a(name, value),
        }),
        "enum" => said(list(rule).contains(value)),
        "minimum" => said(value.as_f64().is_none_or(|value| value >= number())),
        "maxLength" => said(value.as_str().is_none_or(|text| text.chars().count() as f64 <= number())),
        "minItems" => said(value.as_array().is_none_or(|items| items.len() as f64 >= number())),
        "maxItems" => said(value.as_array().is_none_or(|items| items.len() as f64 <= number())),
        "pattern" => {
            let pattern = regex::Regex::new(rule.as_str().expect("a pattern")).expect("a good pattern");
            said(value.as_str().is_none_or(|text| pattern.is_match(text)))
        }
        "items" => {
            let first = rules.get("prefixItems").map_or(0, |prefix| list(prefix).len());
            each(value, first).flat_map(|(i, item)| wrong(whole, rule, &format!("{at}/{i}"), item)).collect()
        }
        "prefixItems" => each(value, 0)
            .zip(list(rule))
            .flat_map(|((i, item), schema)| wrong(whole, schema, &format!("{at}/{i}"), item))
            .collect(),
        "required" => {
            let missing = |name: &&Value| {
                value.as_object().is_some_and(|v| !v.contains_key(name.as_str().unwrap_or_default()))
            };
            list(rule).iter().filter(missing).map(|name| format!("{at}: {name} is not there")).collect()
        }
        "properties" => fields(whole, rules, rule, at, value),
        other => panic!("{at}: the keyword {other} is not looked at"),
    }
}

fn fields(whole: &Value, rules: &Map<String, Value>, known: &Value, at: &str, value: &Value) -> Vec<String> {
    let others = rules.get("additionalProperties").unwrap_or(&Value::Bool(false));
    let fields = value.as_object().into_iter().flatten();
    fields
        .flat_map(|(name, field)| {
            wrong(whole, known.get(name).unwrap_or(others), &format!("{at}/{name}"), field)
        })
        .collect()
}

fn list(rule: &Value) -> &[Value] {
    rule.as_array().expect("a list")
}

fn each(value: &Value, from: usize) -> impl Iterator<Item = (usize, &Value)> {
    value.as_array().into_iter().flatten().enumerate().skip(from)
}

fn is_a(name: &Value, value: &Value) -> bool {
    match name.as_str().expect("a type") {
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "null" => value.is_null(),
        other => panic!("no type {other}"),
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let whole = serde_json::json!({"s": {
        "type": "object", "required": ["a"],
        "properties": {
            "a": {"type": ["integer", "null"], "minimum": 2},
            "b": {"anyOf": [{"type": "null"}, {"type": "string", "pattern": "^x", "maxLength": 2}]},
            "c": {"type": "array", "prefixItems": [{"type": "number"}], "items": {"enum": [1, 2]}, "maxItems": 3},
        },
    }});
    let of = |value: Value| wrong(&whole, &serde_json::json!({"$ref": "#/s"}), "", &value).len();
    for (good, bad) in [
        (r#"{"a":2}"#, r#"{"a":1}"#),
        (r#"{"a":null}"#, r#"{}"#),
        (r#"{"a":2,"b":null}"#, r#"{"a":2,"d":null}"#),
        (r#"{"a":2,"c":[7.5,1,2]}"#, r#"{"a":2,"c":[7.5,7]}"#),
        (r#"{"a":2,"c":[]}"#, r#"{"a":2,"c":[1,1,1,1]}"#),
    ] {
        assert_eq!(of(serde_json::from_str(good).unwrap()), 0, "{good}");
        assert_eq!(of(serde_json::from_str(bad).unwrap()), 1, "{bad}");
    }
    for bad in [r#"{"a":2,"b":"y"}"#, r#"{"a":2,"b":"xyz"}"#] {
        assert!(of(serde_json::from_str(bad).unwrap()) > 0, "{bad}");
    }
}
