//! Alerts in Alertmanager's words: what its webhooks are sent (version 4), and what is pushed to its API (version 2).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Unreadable;

/// What Alertmanager says of an end that has not come.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// One alert. Labels say which it is and never change; annotations say what is known of it.
pub struct Episode {
    pub firing: bool,
    pub labels: BTreeMap<&'static str, String>,
    pub annotations: BTreeMap<&'static str, String>,
    /// Event time, ns.
    pub starts_at_ns: i64,
    /// When what is told was so; where it is over, its end.
    pub happened_ns: i64,
    id: String,
}

/// The alerts that a stored body tells of: one, or those of an incident that it lists.
pub fn episodes(body: &[u8], deployment: &str) -> Result<Vec<Episode>, Unreadable> {
    let body: Value = sonic_rs::from_slice(body)?;
    let happened_ns = body["timestamp"].as_str().and_then(|at| at.parse::<Timestamp>().ok());
    let happened_ns = happened_ns.map_or(0, |at| i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX));
    let data = &body["data"];
    Ok(match data["alerts"].as_array() {
        Some(alerts) => {
            let at = |alert: &Value| alert["happened"].as_i64().unwrap_or(happened_ns);
            alerts.iter().map(|alert| episode(alert, at(alert), deployment)).collect()
        }
        None => vec![episode(data, happened_ns, deployment)],
    })
}

fn episode(alert: &Value, happened_ns: i64, deployment: &str) -> Episode {
    let text = |name: &str| alert[name].as_str().unwrap_or_default().to_owned();
    let labels = [
        ("alertname", alert_name(&text("rule")).to_owned()),
        ("deployment", deployment.to_owned()),
        ("stream", text("stream")),
        ("key", text("key")),
        ("alert_id", text("id")),
    ];
    let mut annotations = BTreeMap::from([("revision", alert["revision"].to_string())]);
    let column = text("column");
    let column = if column.is_empty() { largest_share(alert) } else { Some(column) };
    let about = match &column {
        Some(column) => format!("{} of {}/{}", column, text("stream"), text("key")),
        None => format!("{}/{}", text("stream"), text("key")),
    };
    let what = match text("rule").as_str() {
        "no_data" => "sends nothing",
        "onset" => "went further than ever",
        _ => "is out of the ordinary",
    };
    annotations.insert("summary", format!("{about} {what}"));
    annotations.extend(column.map(|column| ("column", column)));
    if let Some(p_value) = alert["p_value_min"].as_f64() {
        annotations.insert("p_value", format!("{p_value:e}"));
    }
    Episode {
        firing: matches!(alert["state"].as_str(), Some("raised" | "revised")),
        labels: labels.into(),
        annotations,
        starts_at_ns: alert["onset"].as_i64().unwrap_or(happened_ns),
        happened_ns,
        id: text("id"),
    }
}

fn alert_name(rule: &str) -> &str {
    if rule == "window" { "anomaly" } else { rule }
}

fn largest_share(alert: &Value) -> Option<String> {
    let share = |column: &&Value| column["share"].as_f64().unwrap_or(0.0);
    let columns = alert["columns"].as_array()?;
    let largest = columns.iter().max_by(|a, b| share(a).total_cmp(&share(b)))?;
    largest["column"].as_str().map(str::to_owned)
}

/// What Alertmanager would send its receiver.
pub fn webhook(body: &[u8], receiver: &str, deployment: &str) -> Result<Value, Unreadable> {
    let episodes = episodes(body, deployment)?;
    let stored: Value = sonic_rs::from_slice(body)?;
    let data = &stored["data"];
    let common = |of: fn(&Episode) -> &BTreeMap<&'static str, String>| {
        let mut common = episodes.first().map(of).cloned().unwrap_or_default();
        common.retain(|name, value| episodes.iter().all(|episode| of(episode).get(name) == Some(value)));
        common
    };
    let labels = common(|episode| &episode.labels);
    let group = match data["group"].as_object() {
        Some(group) => json!(group),
        None => json!(labels),
    };
    let alert = |episode: &Episode| {
        json!({
            "status": if episode.firing { "firing" } else { "resolved" },
            "labels": episode.labels,
            "annotations": episode.annotations,
            "startsAt": rfc3339(episode.starts_at_ns),
            "endsAt": if episode.firing { NEVER.to_owned() } else { rfc3339(episode.happened_ns) },
            "generatorURL": "",
            "fingerprint": episode.id.get(..16).unwrap_or(&episode.id),
        })
    };
    Ok(json!({
        "version": "4",
        "groupKey": format!("{{}}:{group}"),
        "truncatedAlerts": data["alerts_omitted"].as_u64().unwrap_or(0),
        "status": if episodes.iter().any(|episode| episode.firing) { "firing" } else { "resolved" },
        "receiver": receiver,
        "groupLabels": group,
        "commonLabels": labels,
        "commonAnnotations": common(|episode| &episode.annotations),
        "externalURL": "",
        "alerts": episodes.iter().map(alert).collect::<Vec<_>>(),
    }))
}

impl Episode {
    /// As `POST /api/v2/alerts` takes it. Alertmanager holds an alert to be over by its own clock, so an end must not be
    /// ahead of `now_ns`, and one that fires ends by itself only `lasting_ns` after it was last said.
    pub fn pushed(&self, now_ns: i64, lasting_ns: i64) -> Value {
        let starts_ns = self.starts_at_ns.min(now_ns);
        let ends_ns = if self.firing {
            now_ns.saturating_add(lasting_ns)
        } else {
            self.happened_ns.min(now_ns).max(starts_ns)
        };
        json!({
            "labels": self.labels,
            "annotations": self.annotations,
            "startsAt": rfc3339(starts_ns),
            "endsAt": rfc3339(ends_ns),
        })
    }
}

fn rfc3339(ns: i64) -> String {
    Timestamp::from_nanosecond(i128::from(ns)).unwrap_or_default().to_string()
}
