//! `eddy check`: every problem of a config at once, or what it would run.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use super::{CheckArgs, EXIT_CONFIG, environment};
use crate::config::plan::{
    FormatPlan, Layout, ModelPlan, Plan, Shape, SinkKind, SourceKind, StreamPlan, WindowPlan,
};
use crate::config::{load, perhaps_own_alerts, show_duration, show_size};
use crate::pipeline;
use crate::sink::signature;

/// Prints to standard output; 0 when the config can run, 78 when it cannot.
pub fn check(args: &CheckArgs) -> ExitCode {
    let (text, code) = match load(&args.config, &environment()) {
        Ok(plan) => judge(&args.config, &plan),
        Err(problems) => (format!("{problems}\n"), ExitCode::from(EXIT_CONFIG)),
    };
    // A reader that closed the pipe has seen enough, and the exit code still says it.
    let _ = std::io::stdout().write_all(text.as_bytes());
    code
}

/// The table of what would run and what it still needs, or what is wrong with the models it names.
fn judge(config: &Path, plan: &Plan) -> (String, ExitCode) {
    let missing = missing_files(plan);
    let there = |stream: &&StreamPlan| matches!(&stream.model, ModelPlan::Load { path, .. } if path.exists());
    let models = plan.streams.iter().filter(there).filter_map(|stream| pipeline::check_model(stream).err());
    let wrong: String = models.map(|error| format!("{}: {error:#}\n", config.display())).collect();
    if !wrong.is_empty() {
        return (wrong, ExitCode::from(EXIT_CONFIG));
    }
    let mut text = summary(plan);
    for warning in &plan.warnings {
        text += &format!("warning: {warning} {}\n", plan.without_warned());
    }
    for (what, name) in show_their_password(plan) {
        text += &format!(
            "note: {what} {name} sends its password or token in clear, and whoever is on the way can read it: give it `tls`, or a url of mqtts://\n"
        );
    }
    for (sink, source) in perhaps_own_alerts(plan) {
        text += &format!(
            "note: source {source} reads the topic of sink {sink} at another port of the same host: if that is the same broker, alerts \
             come back as readings, so give the sink another `topic`\n"
        );
    }
    let page = &plan.dashboard;
    if page.enabled && !page.listen.ip().is_loopback() {
        text += &format!(
            "note: {} is open to the network: before `eddy run` there must be a token (`eddy token add {} NAME --scope admin`)\n",
            page.listen,
            config.display()
        );
        if page.tls.is_none() {
            text += "note: tokens go to the page in clear: give `[dashboard]` its `tls`, or let a proxy on this box speak it\n";
        }
    }
    for path in missing {
        text += &format!("note: {} is not there yet; it must be before `eddy run`\n", path.display());
    }
    (text + &format!("{} is good\n", config.display()), ExitCode::SUCCESS)
}

fn show_their_password(plan: &Plan) -> Vec<(&'static str, &str)> {
    let of_source = |kind: &SourceKind| match kind {
        SourceKind::Kafka(kafka) => kafka.cluster.shows_its_password(),
        SourceKind::Mqtt(mqtt) => mqtt.broker.shows_its_password(),
        SourceKind::Http(_) | SourceKind::Replay(_) => false,
    };
    let of_sink = |kind: &SinkKind| match kind {
        SinkKind::Kafka(kafka) => kafka.cluster.shows_its_password(),
        SinkKind::Mqtt(mqtt) => mqtt.broker.shows_its_password(),
        SinkKind::Webhook(_) | SinkKind::Alertmanager(_) | SinkKind::File { .. } | SinkKind::Stdout => false,
    };
    let sources = plan.sources.iter().filter(|source| of_source(&source.kind));
    let sinks = plan.sinks.iter().filter(|sink| of_sink(&sink.kind));
    let sources = sources.map(|source| ("source", source.name.as_str()));
    sources.chain(sinks.map(|sink| ("sink", sink.name.as_str()))).collect()
}

/// Files a run reads. Not a problem of the config: `eddy train` may be about to make one.
fn missing_files(plan: &Plan) -> Vec<&Path> {
    let replays = plan.sources.iter().filter_map(|source| match &source.kind {
        SourceKind::Replay(replay) => Some(replay.path.as_path()),
        _ => None,
    });
    let models = plan.streams.iter().filter_map(|stream| match &stream.model {
        ModelPlan::Load { path, .. } => Some(path.as_path()),
        ModelPlan::Fit { .. } | ModelPlan::Transactions { .. } => None,
    });
    replays.chain(models).filter(|path| !path.exists()).collect()
}

/// One row a component: what it is, its name, what it does. Holds no secret.
pub fn summary(plan: &Plan) -> String {
    let mut rows: Vec<[String; 3]> = Vec::new();
    let mut row = |part: &str, name: &str, what: String| rows.push([part.into(), name.into(), what]);
    for source in &plan.sources {
        row("source", &source.name, describe_source(&source.kind));
    }
    for stream in &plan.streams {
        row("stream", &stream.name, describe_stream(stream));
    }
    for sink in &plan.sinks {
        let what = match &sink.kind {
            SinkKind::Webhook(webhook) => match signature::public_keys(&webhook.secret) {
                keys if keys.is_empty() => format!("webhook to {}, signed", webhook.host()),
                keys => format!("webhook to {}, signed, verified with {}", webhook.host(), keys.join(" ")),
            },
            SinkKind::Alertmanager(alertmanager) => format!("Alertmanager at {}", alertmanager.host()),
            SinkKind::Kafka(kafka) => {
                let (brokers, access) = (kafka.cluster.brokers.join(","), kafka.cluster.access());
                format!("kafka {brokers}{access}, topic {}", kafka.topic)
            }
            SinkKind::File { path } => format!("{}, one line of JSON an alert", path.display()),
            SinkKind::Mqtt(mqtt) => {
                format!("{} {}, QoS 1, topic {}", mqtt.broker.scheme(), mqtt.broker.address(), mqtt.topic)
            }
            SinkKind::Stdout => "standard output, one line of JSON an alert".to_string(),
        };
        row("sink", &sink.name, what);
    }
    let dashboard = match plan.dashboard.enabled {
        true => format!("{}://{}", plan.dashboard.scheme(), plan.dashboard.listen),
        false => "off".to_string(),
    };
    row("dashboard", "", dashboard);
    let segment = show_size(plan.durable.segment_bytes);
    row("durable", "", format!("{}, segments of {segment}", plan.durable.path.display()));
    if let Some(telemetry) = &plan.telemetry {
        let host = telemetry.endpoint.host_str().unwrap_or_default();
        row("telemetry", "", format!("to {host}, metrics every {}", show_duration(telemetry.every)));
    }
    row("engine", &plan.deployment, format!("{} shard(s)", plan.shards));
    align(&rows)
}

fn describe_source(kind: &SourceKind) -> String {
    match kind {
        SourceKind::Mqtt(mqtt) => {
            let topics = mqtt.topics.join(", ");
            let broker = &mqtt.broker;
            format!("{} {}, QoS {}, topics {topics}", broker.scheme(), broker.address(), mqtt.qos)
        }
        SourceKind::Kafka(kafka) => {
            let (brokers, topics) = (kafka.cluster.brokers.join(","), kafka.topics.join(", "));
            let shared = kafka.shared.as_ref().map_or(String::new(), |shared| {
                format!(", shared by {} and {}", shared.alerts, shared.state)
            });
            let registry = kafka
                .registry
                .as_ref()
                .map_or(String::new(), |registry| format!(", schemas from {}", registry.url));
            let dead = kafka
                .dead_letters
                .as_ref()
                .map_or(String::new(), |topic| format!(", dead letters to {topic}"));
            let (access, group) = (kafka.cluster.access(), &kafka.group);
            format!("kafka {brokers}{access}, group {group}, topics {topics}{shared}{registry}{dead}")
        }
        SourceKind::Http(http) => {
            let token = if http.token.is_some() { "bearer token" } else { "no token" };
            format!("http {}, {token}, body up to {}", http.listen, show_size(http.max_body_bytes as u64))
        }
        SourceKind::Replay(replay) => {
            let speed =
                replay.speed.map_or("full speed".to_string(), |speed| format!("{speed} times as recorded"));
            format!("replay {}, {speed}", replay.path.display())
        }
    }
}

fn describe_stream(stream: &StreamPlan) -> String {
    let window = &stream.window;
    let layout = match stream.layout {
        Layout::Wide { .. } => "wide",
        Layout::Long { .. } => "long",
    };
    let format = match &stream.format {
        FormatPlan::Json => "JSON",
        FormatPlan::Csv { .. } => "CSV",
        FormatPlan::Avro => "Avro",
        FormatPlan::Protobuf => "Protobuf",
    };
    let model = match &stream.model {
        ModelPlan::Fit { warmup } => format!("fitted as it goes, early for {}", show_duration(*warmup)),
        ModelPlan::Transactions { amount } => match &stream.outcome {
            Some(_) => format!("transactions by {amount}, with outcomes"),
            None => format!("transactions by {amount}, without outcomes"),
        },
        ModelPlan::Load { path, refit: None, .. } => format!("load {}", path.display()),
        ModelPlan::Load { path, refit: Some(every), .. } => {
            format!("load {}, refit every {}", path.display(), show_duration(*every))
        }
    };
    let lateness = show_duration(window.lateness);
    let waits = match window.disorder < window.lateness {
        true => format!("disorder {}, lateness {lateness}", show_duration(window.disorder)),
        false => format!("lateness {lateness}"),
    };
    let onsets = if stream.onsets.is_some() { ", onsets" } else { "" };
    format!(
        "from {}, {format}, {} column(s) ({layout}), {}, {waits}, {model}, {}{onsets}",
        stream.from.join(", "),
        stream.columns.len(),
        describe_window(window),
        stream.alarm,
    )
}

fn describe_window(window: &WindowPlan) -> String {
    let [size, every, grid] = [window.size, window.every, window.grid].map(show_duration);
    match window.shape {
        Shape::Grid => format!("window {size} every {every} on a grid of {grid}"),
        Shape::Sliding if window.cells() == 1 => format!("the {size} up to each event"),
        Shape::Sliding => format!("the {size} up to each event in cells of {grid}"),
        Shape::Session { gap } => {
            format!("sessions with pauses under {}, at most {size}", show_duration(gap))
        }
        Shape::Count { events, every } => format!("the last {events} events after every {every}"),
    }
}

fn align(rows: &[[String; 3]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (part, name) = (width(0), width(1));
    rows.iter().map(|row| format!("{:part$}  {:name$}  {}\n", row[0], row[1], row[2])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_that_perhaps_come_back_as_readings_are_noted() {
        let is_noted = |url: &str, topic: &str| {
            let text = format!(
                "[source.a]\ntype = \"mqtt\"\nurl = \"mqtt://b:1883\"\ntopics = \"plant/#\"\n[stream.s]\nfrom = \"a\"\n\
                 key = \"id\"\ntime = \"arrival\"\ncolumns.x = \"x\"\nwindow = {{ type = \"tumbling\", size = \"1m\" }}\n\
                 [sink.c]\ntype = \"mqtt\"\nurl = {url:?}\ntopic = {topic:?}\n"
            );
            let plan = crate::config::parse(&text, "", &Default::default());
            let (told, _) =
                judge(Path::new("eddy.toml"), &plan.unwrap_or_else(|problems| panic!("{problems}")));
            told.contains("note: source a reads the topic of sink c at another port of the same host")
        };
        assert!(is_noted("mqtts://b:8883", "plant/alerts"));
        assert!(!is_noted("mqtts://b:8883", "alerts/eddy"), "nobody reads it");
        assert!(!is_noted("mqtts://c:8883", "plant/alerts"), "another host");
    }

    #[test]
    fn a_variable_that_cannot_be_followed_is_a_warning_and_the_config_good() {
        let text = include_str!("../../configs/minimal.toml");
        let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), "http://h:4317".to_owned())].into();
        let plan = crate::config::parse(text, "", &variables).unwrap_or_else(|problems| panic!("{problems}"));
        let (told, code) = judge(Path::new("eddy.toml"), &plan);
        assert!(told.contains("warning: environment OTEL_EXPORTER_OTLP_ENDPOINT: has port 4317"), "{told}");
        assert!(
            told.contains("No traces and metrics are sent") && told.ends_with("eddy.toml is good\n"),
            "{told}"
        );
        assert_eq!(code, ExitCode::SUCCESS);
    }

    #[test]
    fn whoever_sends_a_password_in_clear_is_named() {
        let sasl = "sasl = { mechanism = \"PLAIN\", username = \"u\", password = \"p\" }";
        let noted = |of_source: &str, of_sink: &str| {
            let text = format!(
                "[source.a]\ntype = \"kafka\"\nbrokers = \"b:9092\"\ntopics = \"t\"\n{of_source}\n[stream.s]\nfrom = \"a\"\n\
                 key = \"id\"\ntime = \"arrival\"\ncolumns.x = \"x\"\nwindow = {{ type = \"tumbling\", size = \"1m\" }}\n\
                 [sink.bus]\ntype = \"kafka\"\nbrokers = \"b:9092\"\ntopic = \"told\"\n{of_sink}\n"
            );
            let plan = crate::config::parse(&text, "", &Default::default());
            let (told, _) =
                judge(Path::new("eddy.toml"), &plan.unwrap_or_else(|problems| panic!("{problems}")));
            ["source a", "sink bus"].map(|who| told.contains(&format!("note: {who} sends its password")))
        };
        let (open, closed) = (sasl, &format!("tls = {{}}\n{sasl}"));
        assert_eq!(noted(open, closed), [true, false]);
        assert_eq!(noted(closed, open), [false, true]);
    }
}
