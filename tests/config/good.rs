//! Good configs, and the plan they become.

use std::time::Duration;

use eddy::config::parse;
use eddy::config::plan::{
    AlarmPlan, BodyFormat, DeviationRule, Direction, FieldPath, Layout, ModelPlan, NoDataPlan, OnsetPlan,
    Protocol, Shape, SigningKey, SinkKind, SourceKind, StreamPlan, WindowPlan,
};
use insta::assert_snapshot;

use super::{GOOD, KEY, env, good_but, plan_with};

fn stream(text: &str) -> StreamPlan {
    plan_with(text, &[]).streams.remove(0)
}

#[test]
fn a_good_config_becomes_this_plan() {
    let plan = plan_with(GOOD, &[]);
    let SourceKind::Mqtt(mqtt) = &plan.sources[0].kind else { panic!("{plan:?}") };
    assert_eq!(
        (mqtt.broker.host.as_str(), mqtt.broker.port, mqtt.qos, mqtt.retained),
        ("127.0.0.1", 1883, 1, false)
    );
    assert_eq!(
        (mqtt.broker.client_id.as_str(), mqtt.keep_alive),
        ("eddy-eddy-plant", Duration::from_secs(30))
    );
    let SinkKind::Webhook(webhook) = &plan.sinks[0].kind else { panic!("{plan:?}") };
    assert_eq!(webhook.secret, [SigningKey::Symmetric((0..24).collect())]);
    assert_eq!((webhook.format, &plan.sinks[0].group), (BodyFormat::Standard, &None));
    assert_eq!(webhook.timeout, Duration::from_secs(15));
    let stream = &plan.streams[0];
    assert_eq!(
        (stream.key.clone(), stream.layout.clone()),
        (FieldPath::Topic(4), Layout::Wide { points: None })
    );
    let names: Vec<_> = stream.columns.iter().map(|c| (c.name.as_str(), c.unit.as_deref())).collect();
    assert_eq!(names, [("temperature", None), ("vibration", Some("mm/s"))]);
    let seconds = Duration::from_secs;
    let window = WindowPlan {
        shape: Shape::Grid,
        size: seconds(64),
        every: seconds(1),
        grid: seconds(1),
        disorder: seconds(10),
        lateness: seconds(10),
    };
    assert_eq!(stream.window, window);
    assert_eq!((stream.alarm, stream.max_future), (AlarmPlan::PValue(1e-4), Some(seconds(600))));
    assert_eq!((stream.no_data, stream.idle_after), (NoDataPlan::Learn, Some(seconds(60))));
    assert_eq!(stream.model, ModelPlan::Fit { warmup: seconds(600) });
    assert_eq!((plan.deployment.as_str(), plan.durable.segment_bytes), ("eddy", 64_000_000));
    assert!(plan.dashboard.enabled && (1..=64).contains(&plan.shards));
}

#[test]
fn a_loaded_model_is_refitted_or_not() {
    let set = |keys: &str| {
        let model = format!("key = \"topic.4\"\nmodel = {{ type = \"load\", path = \"m\"{keys} }}");
        plan_with(&good_but("key = \"topic.4\"", &model), &[]).streams[0].model.clone()
    };
    let load = |refit| ModelPlan::Load { path: "m".into(), refit, memory_bytes: 128_000_000 };
    assert_eq!(set(""), load(None));
    assert_eq!(set(", refit = \"off\""), load(None));
    assert_eq!(set(", refit = \"6h\""), load(Some(Duration::from_secs(6 * 3600))));
}

#[test]
fn silence_is_learnt_waited_for_or_ignored() {
    let set = |keys: &str| {
        let plan = plan_with(&good_but("key = \"topic.4\"", &format!("key = \"topic.4\"\n{keys}")), &[]);
        (plan.streams[0].no_data, plan.streams[0].idle_after)
    };
    let minutes = |n: u64| Duration::from_secs(60 * n);
    assert_eq!(set("no_data = \"off\"\nidle_after = \"off\""), (NoDataPlan::Off, None));
    assert_eq!(
        set("no_data = \"5m\"\nidle_after = \"2m\""),
        (NoDataPlan::After(minutes(5)), Some(minutes(2)))
    );
    assert_eq!(set("no_data = \"learn\"").0, NoDataPlan::Learn);
}

#[test]
fn onsets_are_told_of_unless_switched_off_or_made_by_events() {
    let set = |was: &str, is: &str| plan_with(&good_but(was, is), &[]).streams[0].onsets;
    let default = OnsetPlan { cells: 500, span: Duration::from_secs(86_400) };
    let key = |keys: &str| set("key = \"topic.4\"", &format!("key = \"topic.4\"\n{keys}"));
    assert_eq!([key(""), key("onsets = true"), key("onsets = false")], [Some(default), Some(default), None]);
    let of_events = "window = { type = \"count\", size = 4 }";
    let window = "window = { type = \"hopping\", size = \"64s\", every = \"1s\" }";
    assert_eq!([set(window, of_events), set(window, &format!("{of_events}\nonsets = false"))], [None, None]);
}

#[test]
fn mqtt_5_with_a_shared_subscription() {
    let mqtt = |keys: &str| {
        let text = good_but("qos = 1", &format!("protocol = \"5\"\n{keys}"));
        let plan = plan_with(&text.replace("plant/+/pump/+", "$share/eddy/plant/+/pump/+"), &[]);
        let SourceKind::Mqtt(mqtt) = plan.sources[0].kind.clone() else { panic!("{plan:?}") };
        mqtt
    };
    let days = |n: u64| Duration::from_secs(n * 86_400);
    assert_eq!(mqtt("").topics, ["$share/eddy/plant/+/pump/+"]);
    assert_eq!(mqtt("").protocol, Protocol::V5 { session_expiry: days(7), receive_maximum: 65_535 });
    let set = mqtt("session_expiry = \"2d\"\nreceive_maximum = 100");
    assert_eq!(set.protocol, Protocol::V5 { session_expiry: days(2), receive_maximum: 100 });
}

#[test]
fn long_layout() {
    let text = good_but(
        "key = \"topic.4\"",
        "key = \"topic.4\"\ncolumn = \"$.meta.name\"\nvalue = \"payload\"\npoints = \"p.q\"",
    )
    .replace("{ path = \"vib.rms\", unit", "{ unit")
    .replace("columns.temperature = \"temp\"", "columns.temperature = \"T.PV\"");
    let stream = stream(&text);
    let path = |steps: &[&str]| steps.iter().map(|s| s.to_string()).collect::<Vec<_>>();
    let layout = Layout::Long {
        column: FieldPath::Root(path(&["meta", "name"])),
        value: FieldPath::Json(vec![]),
        points: Some(FieldPath::Json(path(&["p", "q"]))),
    };
    assert_eq!(stream.layout, layout);
    assert_eq!(stream.columns[0].path, FieldPath::Json(path(&["T.PV"])));
    assert_eq!(stream.columns[1].path, FieldPath::Json(path(&["vibration"])));
}

#[test]
fn order_in_the_file_does_not_matter() {
    let (a, b) = ("[source.a]\ntype = \"http\"\nlisten = \"127.0.0.1:1\"\n", "[source.b]\ntype = \"http\"\n");
    let rest = good_but("from = \"plant\"", "from = [\"plant\", \"a\", \"b\"]").replace("topic.4", "id");
    let one = plan_with(&format!("shards = 1\n{a}{b}{rest}"), &[]);
    let other = plan_with(&format!("shards = 1\n{rest}{b}{a}"), &[]);
    assert_eq!(format!("{one:?}"), format!("{other:?}"));
    assert_eq!(one.sources.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["a", "b", "plant"]);
}

#[test]
fn environment_overrides_the_file() {
    let variables = [
        ("EDDY__SOURCE__PLANT__URL", "mqtt://broker:1884"),
        ("eddy__source__plant__username", "007"),
        ("EDDY__SOURCE__PLANT__PASSWORD", "1234"),
        ("EDDY__SOURCE__PLANT__QOS", "0"),
        ("EDDY__SOURCE__PLANT__TOPICS", "[\"a/b/c/d\", \"a/+/c/d\"]"),
        ("EDDY__STREAM__PUMPS__WINDOW__SIZE", "32s"),
        ("EDDY__SINK__ON_CALL__SECRET", "env:KEY"),
        ("EDDY__DASHBOARD__ENABLED", "false"),
        ("EDDY__DEPLOYMENT", "north"),
        ("KEY", KEY),
    ];
    let plan = plan_with(GOOD, &variables);
    let SourceKind::Mqtt(mqtt) = &plan.sources[0].kind else { panic!("{plan:?}") };
    assert_eq!(
        (mqtt.broker.host.as_str(), mqtt.broker.port, mqtt.qos, mqtt.topics.len()),
        ("broker", 1884, 0, 2)
    );
    assert_eq!(
        (mqtt.broker.username.as_deref(), mqtt.broker.password.as_deref()),
        (Some("007"), Some("1234"))
    );
    assert_eq!(mqtt.broker.client_id, "eddy-north-plant");
    assert_eq!(plan.streams[0].window.size, Duration::from_secs(32));
    assert!(!plan.dashboard.enabled);
}

#[test]
fn a_dash_in_a_name_is_an_underscore_in_a_variable() {
    let text = good_but("[sink.on_call]", "[sink.on-call]");
    let plan = plan_with(&text, &[("EDDY__SINK__ON_CALL__TIMEOUT", "20s")]);
    let SinkKind::Webhook(webhook) = &plan.sinks[0].kind else { panic!("{plan:?}") };
    assert_eq!(webhook.timeout, Duration::from_secs(20));
}

#[test]
fn secrets_are_not_shown() {
    let text = good_but("qos = 1", "username = \"u\"\npassword = \"hunter2\"")
        .replace("[stream.pumps]", "[source.web]\ntype = \"http\"\ntoken = \"t0ken\"\n\n[stream.pumps]")
        .replace("from = \"plant\"", "from = [\"plant\", \"web\"]")
        .replace("topic.4", "id")
        .replace("example.com/hook", "example.com/hook/p4th");
    let plan = plan_with(&text, &[]);
    let shown = format!("{plan:?}{plan:#?}{}", eddy::cli::check::summary(&plan));
    for secret in ["hunter2", "t0ken", "p4th", "22, 23", "GBUW"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
    assert!(shown.contains("[redacted]"));
}

#[test]
fn every_example_is_good() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/configs");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("configs/ is part of the package") {
        let path = entry.expect("configs/ can be listed").path();
        if path.extension().is_none_or(|kind| kind != "toml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("an example can be read");
        let plan = parse(
            &text,
            &path.display().to_string(),
            &env(&[("ON_CALL_SECRET", KEY), ("EDDY_DEMO_SECRET", KEY), ("REGISTRY_PASSWORD", "p")]),
        );
        assert!(plan.is_ok(), "{}", plan.unwrap_err());
        count += 1;
    }
    assert!(count >= 4, "{count} examples");
}

#[test]
fn summary_of_an_example() {
    let text = include_str!("../../configs/plant-mqtt.toml");
    let plan = plan_with(text, &[("ON_CALL_SECRET", KEY), ("EDDY__SHARDS", "2")]);
    assert_snapshot!(eddy::cli::check::summary(&plan), @"
    source     plant        mqtt 127.0.0.1:1883, QoS 1, topics plant/+/pump/+/telemetry
    stream     pumps        from plant, JSON, 4 column(s) (wide), window 64s every 1s on a grid of 1s, lateness 10s, fitted as it goes, early for 6h, p < 0.0001, onsets
    sink       on_call      webhook to alerts.example.com, signed
    dashboard               http://127.0.0.1:8080
    durable                 eddy-data/plant, segments of 64MB
    engine     north-plant  2 shard(s)
    ");
}

#[test]
fn an_alert_budget_is_a_rate() {
    for (text, per_day) in [("1/day", 1.0), ("3.5/week", 0.5), ("2/hour", 48.0)] {
        let plan = plan_with(
            &good_but("[stream.pumps]", &format!("[stream.pumps]\nalert_budget = \"{text}\"")),
            &[],
        );
        assert_eq!(plan.streams[0].alarm, AlarmPlan::Budget { per_day }, "{text}");
    }
}

#[test]
fn columns_have_rules_on_departures_and_alerts_a_standing_time() {
    let rule = |keys: &str| {
        let text = good_but("temperature = \"temp\"", &format!("temperature = {{ path = \"temp\"{keys} }}"));
        stream(&text).columns[0].deviation
    };
    let some = |direction, min_deviation| Some(DeviationRule { direction, min_deviation });
    assert_eq!(rule(""), None);
    assert_eq!(rule(", direction = \"both\", min_deviation = 0"), None, "it asks for nothing");
    assert_eq!(rule(", direction = \"below\""), some(Direction::Below, 0.0));
    assert_eq!(rule(", min_deviation = 2.5"), some(Direction::Both, 2.5));
    assert_eq!(stream(GOOD).columns[1].deviation, None);

    let standing =
        |keys: &str| stream(&good_but("key = \"topic.4\"", &format!("key = \"topic.4\"{keys}"))).standing;
    assert_eq!(standing(""), Some(Duration::from_secs(7 * 86_400)));
    assert_eq!(standing("\nstanding = \"2h\""), Some(Duration::from_secs(7200)));
    assert_eq!(standing("\nstanding = \"off\""), None);
    let long = good_but(
        "{ type = \"hopping\", size = \"64s\", every = \"1s\" }",
        "{ type = \"tumbling\", size = \"8d\", grid = \"1h\" }",
    );
    let long = long.replace("[sink", "model = { type = \"fit\", warmup = \"30d\" }\n[sink");
    assert_eq!(stream(&long).standing, Some(Duration::from_secs(8 * 86_400)), "a window's length");
}
