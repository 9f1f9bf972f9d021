//! The command that sends a first event to a stream, for a page that has nothing to show yet.

use serde_json::{Map, Value, json};

use crate::config::plan::{
    FieldPath, KafkaPlan, Layout, Plan, SourceKind, SourcePlan, StreamPlan, TimePlan, TimeUnit,
};

const KEY: &str = "my-first-key";

/// One command for each stream and source that takes events from outside. `now_ns` becomes its event time.
pub fn commands(plan: &Plan, now_ns: i64) -> Vec<String> {
    let fed_by = |stream: &StreamPlan| {
        let from: Vec<&SourcePlan> = plan.sources.iter().filter(|s| stream.from.contains(&s.name)).collect();
        from
    };
    let of_stream = |stream: &StreamPlan| {
        let sources = fed_by(stream);
        sources.into_iter().filter_map(|source| command(stream, source, now_ns)).collect::<Vec<_>>()
    };
    plan.streams.iter().flat_map(of_stream).collect()
}

fn command(stream: &StreamPlan, source: &SourcePlan, now_ns: i64) -> Option<String> {
    let payload = payload(stream, now_ns).to_string();
    match &source.kind {
        // The topic of an HTTP message is the stream's name: it has one level.
        SourceKind::Http(http) if !reads_topic(stream) => {
            let token = if http.token.is_some() { " -H 'Authorization: Bearer YOUR_TOKEN'" } else { "" };
            let url = format!("http://{}/v1/events/{}", http.listen, stream.name);
            Some(format!("curl --json {}{token} {}", quoted(&payload), quoted(&url)))
        }
        SourceKind::Mqtt(mqtt) => {
            let user = if mqtt.broker.username.is_some() { " -u YOUR_USER -P YOUR_PASSWORD" } else { "" };
            let filter = stream.topics.as_deref().or(mqtt.topics.first().map(String::as_str))?;
            let topic = quoted(&topic(filter, stream));
            let host = quoted(&mqtt.broker.host);
            Some(format!(
                "mosquitto_pub -h {host} -p {}{user} -q 1 -t {topic} -m {}",
                mqtt.broker.port,
                quoted(&payload)
            ))
        }
        SourceKind::Kafka(kafka) => kcat(kafka, stream, &payload),
        SourceKind::Http(_) | SourceKind::Replay(_) => None,
    }
}

/// Only where any client may write, and a topic can be named.
fn kcat(kafka: &KafkaPlan, stream: &StreamPlan, payload: &str) -> Option<String> {
    let open = kafka.cluster.tls.is_none() && kafka.cluster.sasl.is_none();
    let filter = stream.topics.as_deref().filter(|filter| !filter.contains(['+', '#']));
    let topic = filter.or(kafka.topics.iter().map(String::as_str).find(|topic| !topic.starts_with('^')))?;
    let command = |topic| {
        let (payload, brokers) = (quoted(payload), quoted(&kafka.cluster.brokers.join(",")));
        format!("printf '%s' {payload} | kcat -P -b {brokers} -k {KEY} -t {}", quoted(topic))
    };
    open.then(|| command(topic))
}

/// Something of the stream stands on a topic's second or later level.
fn reads_topic(stream: &StreamPlan) -> bool {
    let column = match &stream.layout {
        Layout::Long { column, .. } => Some(column),
        Layout::Wide { .. } => None,
    };
    [Some(&stream.key), column].into_iter().flatten().any(|path| matches!(path, FieldPath::Topic(2..)))
}

/// For a POSIX shell.
fn quoted(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_./:".contains(c);
    if !text.is_empty() && text.chars().all(safe) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// A topic that the filter matches, with key and column at their levels.
fn topic(filter: &str, stream: &StreamPlan) -> String {
    let mut levels: Vec<String> =
        filter.split('/').map(|l| if l == "+" { "any" } else { l }.to_owned()).collect();
    if levels.last().is_some_and(|level| level == "#") {
        levels.pop();
    }
    let mut set = |path: &FieldPath, text: &str| {
        if let FieldPath::Topic(level) = path {
            levels.resize(levels.len().max(*level), "any".to_owned());
            levels[level - 1] = text.to_owned();
        }
    };
    set(&stream.key, KEY);
    if let (Layout::Long { column, .. }, Some(first)) = (&stream.layout, stream.columns.first()) {
        set(column, &column_text(&first.path));
    }
    levels.join("/")
}

/// The column's name as messages of the long format carry it.
fn column_text(path: &FieldPath) -> String {
    match path {
        FieldPath::Json(path) | FieldPath::Root(path) => path.join("."),
        FieldPath::Topic(_) | FieldPath::Constant(_) | FieldPath::Kafka(_) => String::new(),
    }
}

fn payload(stream: &StreamPlan, now_ns: i64) -> Value {
    let (Layout::Wide { points } | Layout::Long { points, .. }) = &stream.layout;
    let mut point = Value::Object(Map::new());
    let mut root = Value::Object(Map::new());
    let mut set = |path: &FieldPath, value: Value| match path {
        // Without an array of points, "from the root" and "from the point" are the same document.
        FieldPath::Root(path) if points.is_some() => put(&mut root, path, value),
        FieldPath::Json(path) | FieldPath::Root(path) => put(&mut point, path, value),
        FieldPath::Topic(_) | FieldPath::Constant(_) | FieldPath::Kafka(_) => {}
    };
    set(&stream.key, json!(KEY));
    if let TimePlan::Field { path, unit } = &stream.time {
        set(path, time(*unit, now_ns));
    }
    match &stream.layout {
        Layout::Wide { .. } => stream.columns.iter().for_each(|column| set(&column.path, json!(1.0))),
        Layout::Long { column, value, .. } => {
            set(column, json!(stream.columns.first().map_or_else(String::new, |c| column_text(&c.path))));
            set(value, json!(1.0));
        }
    }
    match points {
        None => point,
        Some(FieldPath::Json(path) | FieldPath::Root(path)) => {
            put(&mut root, path, json!([point]));
            root
        }
        Some(FieldPath::Topic(_) | FieldPath::Constant(_) | FieldPath::Kafka(_)) => json!([point]),
    }
}

/// Sets the value at a nested path; the empty path is the document itself.
fn put(document: &mut Value, path: &[String], value: Value) {
    let mut place = document;
    for name in path {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        place = &mut place[name.as_str()];
    }
    *place = value;
}

fn time(unit: TimeUnit, now_ns: i64) -> Value {
    match unit {
        TimeUnit::Iso8601 => json!(super::format::rfc3339(now_ns)),
        TimeUnit::Seconds => json!(now_ns / 1_000_000_000),
        TimeUnit::Millis => json!(now_ns / 1_000_000),
        TimeUnit::Micros => json!(now_ns / 1_000),
        TimeUnit::Nanos => json!(now_ns),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::testing;

    const NOW: i64 = 1_700_000_000_000_000_000;

    #[test]
    fn the_plan_gives_the_commands() {
        insta::assert_snapshot!(commands(&testing::plan(), NOW).join("\n"));
    }

    #[test]
    fn long_format_and_arrays_of_points() {
        let mut plan = testing::plan();
        let stream = &mut plan.streams[0];
        stream.key = FieldPath::Topic(4);
        stream.layout = Layout::Long {
            column: FieldPath::Topic(2),
            value: FieldPath::Json(vec!["v".into()]),
            points: Some(FieldPath::Json(vec!["values".into()])),
        };
        stream.time = TimePlan::Field { path: FieldPath::Json(vec!["t".into()]), unit: TimeUnit::Iso8601 };
        insta::assert_snapshot!(commands(&plan, NOW).join("\n"));
    }

    #[test]
    fn a_hostile_name_stays_inside_its_quotes() {
        assert_eq!(quoted("a'; rm -rf /; '"), r"'a'\''; rm -rf /; '\'''");
    }
}
