//! What a user is told about a broken config, word for word, and what a good one becomes.

mod broken;
mod format;
mod good;
mod kafka;
mod random;
mod sinks;
mod telemetry;
mod tls;
mod transactions;

use std::collections::BTreeMap;

use eddy::config::plan::Plan;
use eddy::config::{Problems, parse};

const KEY: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";

fn env(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    variables.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn problems_with(text: &str, variables: &[(&str, &str)]) -> Problems {
    parse(text, "eddy.toml", &env(variables)).expect_err("the config is broken")
}

fn problems(text: &str) -> String {
    problems_with(text, &[]).to_string()
}

fn plan_with(text: &str, variables: &[(&str, &str)]) -> Plan {
    parse(text, "eddy.toml", &env(variables)).unwrap_or_else(|problems| panic!("{problems}"))
}

/// A config that is right in every line; tests break one thing each.
const GOOD: &str = r#"[source.plant]
type = "mqtt"
url = "mqtt://127.0.0.1:1883"
topics = ["plant/+/pump/+"]
qos = 1

[stream.pumps]
from = "plant"
key = "topic.4"
time = { path = "ts", unit = "ms" }
window = { type = "hopping", size = "64s", every = "1s" }
columns.vibration = { path = "vib.rms", unit = "mm/s" }
columns.temperature = "temp"

[sink.on_call]
type = "webhook"
url = "https://alerts.example.com/hook"
secret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"
"#;

/// `GOOD` with one piece of text exchanged; the piece must be there.
fn good_but(old: &str, new: &str) -> String {
    assert!(GOOD.contains(old), "{old}");
    GOOD.replacen(old, new, 1)
}
