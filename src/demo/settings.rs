//! The demo's config: `configs/demo.toml` as anyone could run it, and what only a run knows laid over it.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Checked in, and run by the demo as it is.
pub const CONFIG: &str = include_str!("../../configs/demo.toml");

/// The stream of the plant.
pub const PUMPS: &str = "pumps";

/// Seconds of event time a second of real time, of the plant.
pub const SPEED: u32 = 60;

/// Length of the windows in `configs/demo.toml`, s: how much of a fault must have passed to be judged.
pub const WINDOW_S: i64 = 64;

/// Signing key of the demo's webhooks, fresh for every run.
pub fn new_key() -> [u8; 32] {
    rand::random()
}

/// The environment in which `configs/demo.toml` is read: overrides of the addresses and paths of this
/// run, and the secret the file refers to.
pub fn environment(
    broker_port: u16,
    receiver_url: &str,
    key: &[u8],
    data: &Path,
    model: &Path,
) -> BTreeMap<String, String> {
    let entries = [
        ("EDDY__SOURCE__PLANT__URL", format!("mqtt://127.0.0.1:{broker_port}")),
        ("EDDY__SOURCE__SHOP__URL", format!("mqtt://127.0.0.1:{broker_port}")),
        ("EDDY__SINK__RECEIVER__URL", receiver_url.to_owned()),
        ("EDDY_DEMO_SECRET", format!("whsec_{}", STANDARD.encode(key))),
        ("EDDY__DURABLE__PATH", toml_string(data)),
        ("EDDY__STREAM__PUMPS__MODEL__PATH", toml_string(model)),
        ("EDDY__DASHBOARD__LISTEN", "127.0.0.1:0".to_owned()),
    ];
    entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Quoted, because a bare path could read as something else in TOML.
fn toml_string(path: &Path) -> String {
    toml_edit::Value::from(path.display().to_string()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_override_names_a_key_that_the_file_holds() {
        let file: toml_edit::DocumentMut = CONFIG.parse().unwrap();
        let environment =
            environment(1_883, "http://127.0.0.1:9/alerts", &[7; 32], Path::new("a \"b"), Path::new("m"));
        for name in environment.keys().filter_map(|name| name.strip_prefix("EDDY__")) {
            let mut item = file.as_item();
            for level in name.split("__") {
                item = item.get(level.to_lowercase()).unwrap_or_else(|| panic!("{name}: no {level}"));
            }
        }
        assert!(CONFIG.contains("env:EDDY_DEMO_SECRET"));
        let quoted: toml_edit::Value = environment["EDDY__DURABLE__PATH"].parse().unwrap();
        assert_eq!(quoted.as_str(), Some("a \"b"));
    }

    #[test]
    fn the_window_is_the_files() {
        let file: toml_edit::DocumentMut = CONFIG.parse().unwrap();
        let size = file["stream"]["pumps"]["window"]["size"].as_str();
        assert_eq!(size, Some(format!("{WINDOW_S}s").as_str()));
    }
}
