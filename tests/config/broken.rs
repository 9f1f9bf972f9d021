//! Broken configs, and what `eddy check` prints of them.

use std::collections::BTreeMap;
use std::process::ExitCode;

use eddy::cli::CheckArgs;
use eddy::cli::check::check;
use insta::assert_snapshot;

use super::{GOOD, KEY, env, good_but, plan_with, problems, problems_with};

#[test]
fn syntax_error() {
    assert_snapshot!(problems(&good_but("qos = 1", "qos = = 1")), @"
    eddy.toml:5: is not TOML: extra `=`, expected nothing. Correct this line first; the rest is checked after that.
    1 problem in eddy.toml
    ");
}

#[test]
fn duplicate_key() {
    assert_snapshot!(problems(&good_but("qos = 1", "qos = 1\nqos = 0")), @"
    eddy.toml:6: is not TOML: duplicate key. Correct this line first; the rest is checked after that.
    1 problem in eddy.toml
    ");
}

#[test]
fn unknown_key() {
    assert_snapshot!(problems(&good_but("qos = 1", "qoss = 1\ncompression = true")), @"
    eddy.toml:5: source.plant.qoss: unknown key. Did you mean `qos`?
    eddy.toml:6: source.plant.compression: unknown key. Remove it; known here: type, url, ca, cert, key, client_id, username, password, protocol, session_expiry, receive_maximum, topics, qos, retained, keep_alive.
    2 problems in eddy.toml
    ");
}

/// They are known to who wrote them from another section, or another program.
#[test]
fn keys_that_belong_elsewhere_are_shown_where() {
    let http = |keys: &str| {
        good_but(
            "type = \"mqtt\"\nurl = \"mqtt://127.0.0.1:1883\"\ntopics = [\"plant/+/pump/+\"]\nqos = 1",
            keys,
        )
        .replace("topic.4", "id")
    };
    assert_snapshot!(problems(&http("type = \"http\"\nkey = \"pump\"\ncert = \"c.pem\"\nport = 8088\ntime = \"ts\"")), @r#"
    eddy.toml:3: source.plant.key: unknown key. What tells devices apart is the `key` under the [stream.NAME] that takes `from` this source; files of TLS have no place here.
    eddy.toml:4: source.plant.cert: unknown key. This source speaks no TLS: let a proxy on this machine speak it, and listen on 127.0.0.1.
    eddy.toml:5: source.plant.port: unknown key. Write `listen = "127.0.0.1:8088"`: devices post there, to /v1/events/ and the stream's name.
    eddy.toml:6: source.plant.time: unknown key. Write it under the [stream.NAME] that takes `from` this source.
    4 problems in eddy.toml
    "#);
    let mqtt = problems(&good_but("qos = 1", "key = \"topic.4\""));
    assert!(mqtt.contains("source.plant.key: belongs to TLS, which mqtt:// does not use."), "{mqtt}");
    assert!(mqtt.contains("What tells devices apart is the `key` of a stream."), "{mqtt}");
    let stream = problems(&good_but("key = \"topic.4\"", "key = \"topic.4\"\nlateness = \"5s\""));
    let belongs = "stream.pumps.lateness: unknown key. Write it in the `window` of this stream.";
    assert!(stream.contains(belongs), "{stream}");
}

#[test]
fn misspelt_section() {
    assert_snapshot!(problems(&good_but("[source.plant]", "[sorce.plant]")), @r#"
    eddy.toml:1: sorce: unknown key. Did you mean `source`?
    eddy.toml:8: stream.pumps.from: there is no source "plant". Add a [source.NAME] section.
    2 problems in eddy.toml
    "#);
}

#[test]
fn wrong_type() {
    let text = good_but("qos = 1", "qos = \"1\"\nretained = \"no\"\npassword = 12345");
    assert_snapshot!(problems(&text.replace("\"64s\"", "64")), @r#"
    eddy.toml:5: source.plant.qos: is a string where an integer is expected. Write it like `0`.
    eddy.toml:6: source.plant.retained: is a string where a boolean is expected. Write it like `true`.
    eddy.toml:7: source.plant.password: is an integer where a string is expected. Write it like `"…"`.
    eddy.toml:13: stream.pumps.window.size: is an integer where a duration is expected. Write it like `"30s"`.
    4 problems in eddy.toml
    "#);
}

#[test]
fn missing_keys() {
    let text = good_but("url = \"mqtt://127.0.0.1:1883\"\n", "");
    assert_snapshot!(problems(&text.replace("time = { path = \"ts\", unit = \"ms\" }\n", "")), @r#"
    eddy.toml:1: source.plant.url: is missing. Add `url = "mqtt://127.0.0.1:1883"`.
    eddy.toml:6: stream.pumps.time: is missing. Add `time = { path = "ts", unit = "ms" }`.
    2 problems in eddy.toml
    "#);
}

#[test]
fn unknown_type() {
    let text = good_but("\"mqtt\"", "\"mqt\"");
    assert_snapshot!(problems(&text.replace("\"webhook\"", "\"pager\"")), @r#"
    eddy.toml:2: source.plant.type: there is no type "mqt". Did you mean "mqtt"?
    eddy.toml:16: sink.on_call.type: there is no type "pager". Use "webhook" (POST each alert, signed by the Standard Webhooks specification), "alertmanager" (push each alert to Alertmanager, and resolve it there), "file" (append each alert to a file as one line of JSON), "kafka" (write each alert to a topic of a Kafka cluster), "mqtt" (publish each alert at an MQTT broker) or "stdout" (print each alert as one line of JSON).
    2 problems in eddy.toml
    "#);
}

#[test]
fn qos_2() {
    assert_snapshot!(problems(&good_but("qos = 1", "qos = 2")), @"
    eddy.toml:5: source.plant.qos: QoS 2 is not supported: its message ids do not survive a reconnect in the client library. Use `qos = 1`; Eddy drops duplicates anyway.
    1 problem in eddy.toml
    ");
}

#[test]
fn what_only_mqtt_5_has() {
    let text = good_but("plant/+/pump/+", "$share/eddy/plant/+/pump/+");
    let text = text.replace("qos = 1", "qos = 1\nsession_expiry = \"1d\"\nreceive_maximum = 100");
    assert_snapshot!(problems(&text), @r#"
    eddy.toml:4: source.plant.topics: the shared topic filter "$share/eddy/plant/+/pump/+": MQTT 3.1.1 has no shared subscriptions. Add `protocol = "5"`, or remove `$share/GROUP/`.
    eddy.toml:6: source.plant.session_expiry: MQTT 3.1.1 does not have it. Add `protocol = "5"`, or remove `session_expiry`.
    eddy.toml:7: source.plant.receive_maximum: MQTT 3.1.1 does not have it. Add `protocol = "5"`, or remove `receive_maximum`.
    3 problems in eddy.toml
    "#);
    let text = good_but("qos = 1", "protocol = \"5\"\nsession_expiry = \"0s\"\nreceive_maximum = 0");
    assert_snapshot!(problems(&text.replace("[\"plant/+/pump/+\"]", "[\"$share/eddy\", \"$share/a+/b\", \"$share\", \"$share//b\", \"$share/eddy/\", \"$shared/b\"]")), @r#"
    eddy.toml:4: source.plant.topics: the shared topic filter "$share/eddy": names no group or no topics. Write it like "$share/eddy/plant/#".
    eddy.toml:4: source.plant.topics: the topic filter "$share/a+/b" mixes a wildcard with other characters in one level. Write + for exactly one level and # for all that follow, such as "plant/+/pump/#".
    eddy.toml:4: source.plant.topics: the shared topic filter "$share": names no group or no topics. Write it like "$share/eddy/plant/#".
    eddy.toml:4: source.plant.topics: the shared topic filter "$share//b": names no group or no topics. Write it like "$share/eddy/plant/#".
    eddy.toml:4: source.plant.topics: the shared topic filter "$share/eddy/": names no group or no topics. Write it like "$share/eddy/plant/#".
    eddy.toml:6: source.plant.session_expiry: 0s is out of bounds. Choose from 1s to 3650d.
    eddy.toml:7: source.plant.receive_maximum: 0 is out of bounds. Choose from 1 to 65535.
    7 problems in eddy.toml
    "#);
    assert_snapshot!(problems(&good_but("qos = 1", "protocol = \"4\"")), @r#"
    eddy.toml:5: source.plant.protocol: "4" is not a version of MQTT. Write "3.1.1" or "5".
    1 problem in eddy.toml
    "#);
}

#[test]
fn password_in_url() {
    let told = problems(&good_but("mqtt://", "mqtt://me:hunter2@"));
    assert!(!told.contains("hunter2"), "{told}");
    assert_snapshot!(told, @r#"
    eddy.toml:3: source.plant.url: must not hold a user or password, because URLs are shown in logs. Write `username = "…"` and `password = "env:NAME"` instead.
    1 problem in eddy.toml
    "#);
}

#[test]
fn a_stream_takes_topics_as_messages_have_them() {
    let text = good_but("key = \"topic.4\"", "key = \"id\"\ntopics = \"$share/eddy/plant/#\"");
    assert_snapshot!(problems(&text), @r#"
    eddy.toml:10: stream.pumps.topics: no message has a topic with $share, which is of a subscription. Write it in the source's `topics`, and here what comes behind `$share/GROUP/`.
    1 problem in eddy.toml
    "#);
}

#[test]
fn topic_filters() {
    let text = good_but("[\"plant/+/pump/+\"]", "[\"plant/#/pump\", \"a/b+\", \"\"]");
    assert_snapshot!(problems(&text), @r#"
    eddy.toml:4: source.plant.topics: the topic filter "plant/#/pump" has a # that is not its last level. Write + for exactly one level and # for all that follow, such as "plant/+/pump/#".
    eddy.toml:4: source.plant.topics: the topic filter "a/b+" mixes a wildcard with other characters in one level. Write + for exactly one level and # for all that follow, such as "plant/+/pump/#".
    eddy.toml:4: source.plant.topics: the topic filter "" must have 1 to 65535 bytes and no NUL. Write + for exactly one level and # for all that follow, such as "plant/+/pump/#".
    3 problems in eddy.toml
    "#);
}

#[test]
fn every_does_not_divide_size() {
    assert_snapshot!(problems(&good_but("\"1s\"", "\"3s\"")), @r#"
    eddy.toml:11: stream.pumps.window.every: "3s" does not divide size 64s. Use "2s" or "4s", or make size a multiple.
    1 problem in eddy.toml
    "#);
}

#[test]
fn grid_and_lateness_do_not_fit() {
    let text = good_but("every = \"1s\"", "every = \"2s\", grid = \"4s\", lateness = \"10s\"");
    assert_snapshot!(problems(&text), @r#"
    eddy.toml:11: stream.pumps.window.grid: "4s" does not divide every 2s. Use "2s", or make every a multiple.
    eddy.toml:11: stream.pumps.window.lateness: "10s" is not a multiple of grid 4s. Use "12s".
    2 problems in eddy.toml
    "#);
    assert_snapshot!(problems(&good_but("every = \"1s\"", "every = \"1s\", grid = \"300ms\"")), @r#"
    eddy.toml:11: stream.pumps.window.grid: "300ms" does not divide size 64s. Use "256ms" or "320ms", or make size a multiple.
    1 problem in eddy.toml
    "#);
}

#[test]
fn unknown_aggregate() {
    let text = good_but("temperature = \"temp\"", "temperature = { path = \"temp\", aggregate = \"avg\" }");
    assert_snapshot!(problems(&text), @r#"
    eddy.toml:13: stream.pumps.columns.temperature.aggregate: there is no aggregate "avg". Use mean, last, sum, min, max, count, ratio, since_last, rarity or risk.
    1 problem in eddy.toml
    "#);
}

#[test]
fn disorder_does_not_fit() {
    let text = good_but("every = \"1s\"", "every = \"1s\", disorder = \"20s\", lateness = \"10s\"");
    assert_snapshot!(problems(&text), @r#"
    eddy.toml:11: stream.pumps.window.disorder: "20s" is more than lateness 10s. Use at most "10s", or raise lateness.
    1 problem in eddy.toml
    "#);
    let text = good_but("every = \"1s\"", "every = \"1s\", disorder = \"1500ms\", lateness = \"10s\"");
    assert_snapshot!(problems(&text), @r#"
    eddy.toml:11: stream.pumps.window.disorder: "1500ms" is not a multiple of grid 1s. Use "2s".
    1 problem in eddy.toml
    "#);
}

#[test]
fn window_too_large_for_a_model() {
    let text = good_but("size = \"64s\", every = \"1s\"", "size = \"1h\", every = \"1s\"");
    assert_snapshot!(problems(&text), @"
    eddy.toml:11: stream.pumps.window.grid: cuts a window of 1h into 3600 cells. Keep it to 1024: use a coarser grid or a shorter size.
    1 problem in eddy.toml
    ");
}

#[test]
fn unknown_source() {
    assert_snapshot!(problems(&good_but("from = \"plant\"", "from = [\"plan\", \"plant\"]")), @r#"
    eddy.toml:8: stream.pumps.from: there is no source "plan". Did you mean "plant"?
    1 problem in eddy.toml
    "#);
}

#[test]
fn topic_level_that_is_not_there() {
    assert_snapshot!(problems(&good_but("topic.4", "topic.5")), @r#"
    eddy.toml:9: stream.pumps.key: topics of source "plant" have 4 level(s), so there is no topic.5. Levels count from 1. Use a smaller one, or a field of the document.
    1 problem in eddy.toml
    "#);
}

#[test]
fn duplicate_listen() {
    let http = "[source.web]\ntype = \"http\"\nlisten = \"127.0.0.1:8080\"\n\n[stream.pumps]";
    let text = good_but("[stream.pumps]", http).replace("from = \"plant\"", "from = [\"plant\", \"web\"]");
    assert_snapshot!(problems(&text.replace("topic.4", "id")), @"
    eddy.toml: dashboard.listen: 127.0.0.1:8080 is already taken by source.web.listen. Give each listener its own port.
    1 problem in eddy.toml
    ");
}

#[test]
fn open_listeners() {
    let http = "[source.web]\ntype = \"http\"\nlisten = \"0.0.0.0:8088\"\n\n[dashboard]\nlisten = \"[::]:80\"\n\n[stream.pumps]";
    assert_snapshot!(problems(&good_but("[stream.pumps]", http)), @r#"
    eddy.toml:7: source.web: no stream takes from this source. Add `from = "web"` to a stream, or remove the source.
    eddy.toml:9: source.web.listen: 0.0.0.0:8088 is open to the network, and anybody there could send events. Add `token = "env:NAME"`, or listen on 127.0.0.1.
    2 problems in eddy.toml
    "#);
}

#[test]
fn a_page_has_no_path() {
    for url in
        ["https://eddy.example.com/eddy", "https://eddy.example.com/?a=b", "https://eddy.example.com#top"]
    {
        let said = problems(&format!("{GOOD}[dashboard]\nurl = \"{url}\"\n"));
        let expected = "dashboard.url: has something behind the host, where the page's own paths begin. Write it as browsers \
                        reach the page: https://eddy.example.com.";
        assert!(said.contains(expected) && said.ends_with("1 problem in eddy.toml"), "{said}");
    }
    for url in ["https://eddy.example.com", "http://10.0.0.5:8080/"] {
        assert!(plan_with(&format!("{GOOD}[dashboard]\nurl = \"{url}\"\n"), &[]).dashboard.url.is_some());
    }
}

#[test]
fn same_client_id() {
    let second = "client_id = \"eddy\"\n[source.second]\ntype = \"mqtt\"\nurl = \"mqtt://127.0.0.1\"\ntopics = \"a/b/c/d\"\nclient_id = \"eddy\"\n\n[stream.pumps]";
    let text =
        good_but("[stream.pumps]", second).replace("from = \"plant\"", "from = [\"plant\", \"second\"]");
    assert_snapshot!(problems(&text), @"
    eddy.toml:12: source.second.client_id: [source.plant] connects to the same broker with the same client id. Give each its own, or leave it out: the default differs.
    1 problem in eddy.toml
    ");
}

#[test]
fn unset_secret() {
    assert_snapshot!(problems(&good_but(KEY, "env:ON_CALL_SECRET")), @r#"
    eddy.toml:18: sink.on_call.secret: the environment variable "ON_CALL_SECRET" is not set. Set ON_CALL_SECRET in the environment Eddy is started from.
    1 problem in eddy.toml
    "#);
    let empty = problems_with(&good_but(KEY, "env:ON_CALL_SECRET"), &[("ON_CALL_SECRET", "")]);
    assert!(empty.to_string().contains("\"ON_CALL_SECRET\" is empty"), "{empty}");
}

/// Of every kind, each in the one config.
#[test]
fn who_only_asks_needs_no_secret() {
    let secrets = "[source.web]
type = \"http\"
listen = \"0.0.0.0:8088\"
token = \"env:HTTP\"
[source.bus]
type = \"kafka\"
brokers = \"127.0.0.1:9092\"
topics = \"a\"
sasl = { mechanism = \"SCRAM-SHA-256\", username = \"eddy\", password = \"env:KAFKA\" }
[stream.cards]
from = \"bus\"
key = \"id\"
time = \"arrival\"
window = { type = \"tumbling\", size = \"1m\" }
columns.x = \"x\"
[telemetry]
every = \"5s\"
headers = { authorization = \"env:OTEL\" }
";
    let more = [
        (KEY, "env:HOOK"),
        ("from = \"plant\"", "from = [\"plant\", \"web\"]"),
        ("topic.4", "id"),
        ("qos = 1", "qos = 1\nusername = \"eddy\"\npassword = \"env:MQTT\""),
    ];
    let text = more.iter().fold(GOOD.to_owned(), |text, (old, new)| text.replace(old, new)) + secrets;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("eddy.toml");
    let load = |text: &str| {
        std::fs::write(&path, text).expect("the config is written");
        eddy::config::load_without_secrets(&path, &env(&[]))
    };
    let plan = load(&text).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!((plan.sources.len(), plan.sinks.len(), plan.telemetry.is_some()), (3, 1, false));
    let asked = problems(&text);
    for name in ["HTTP", "KAFKA", "OTEL", "HOOK", "MQTT"] {
        assert!(asked.contains(&format!("the environment variable \"{name}\" is not set")), "{asked}");
    }
    let wrong = load(&text.replace("env:HOOK", "env:whsec_AAECAwQFBgcICQoL")).expect_err("it is no name");
    assert!(wrong.to_string().contains("does not name an environment variable"), "{wrong}");
    assert!(load(&text.replace("key = \"id\"", "kee = \"id\"")).is_err(), "all else is looked at");
}

#[test]
fn bad_webhook_secrets() {
    let text = good_but(KEY, "whsec_c2hvcnQ= topsecret whsec_***");
    let told = problems(&text);
    for secret in ["c2hvcnQ=", "topsecret", "***"] {
        assert!(!told.contains(secret), "{told}");
    }
    assert_snapshot!(told, @r#"
    eddy.toml:18: sink.on_call.secret: secret 1 is 5 bytes long where 24 to 64 are needed. Make one: echo "whsec_$(head -c 32 /dev/urandom | base64)".
    eddy.toml:18: sink.on_call.secret: secret 2 does not begin with whsec_ or whsk_. Make one: echo "whsec_$(head -c 32 /dev/urandom | base64)".
    eddy.toml:18: sink.on_call.secret: secret 3 is not base64 after whsec_. Make one: echo "whsec_$(head -c 32 /dev/urandom | base64)".
    3 problems in eddy.toml
    "#);
}

#[test]
fn columns() {
    let text = good_but(
        "columns.temperature = \"temp\"",
        "columns.\"a b\" = \"x\"\ncolumns.twin = \"vib.rms\"\ncolumns.c = \"topic.1\"",
    );
    assert_snapshot!(problems(&text), @r#"
    eddy.toml:12: stream.pumps.columns.vibration: reads the same as column "twin". Point it elsewhere, give it another aggregate, or remove one of the two.
    eddy.toml:13: stream.pumps.columns.a b: is not a usable name. Use 1 to 64 characters of A-Z, a-z, 0-9, _ and -.
    eddy.toml:15: stream.pumps.columns.c: "topic.1" cannot be used here. Name a field of the document such as "vib.rms".
    3 problems in eddy.toml
    "#);
}

#[test]
fn long_layout_half_done() {
    assert_snapshot!(problems(&good_but("key = \"topic.4\"", "key = \"topic.4\"\nvalue = \"v\"")), @r#"
    eddy.toml:7: stream.pumps.column: is missing: `value` alone does not say which column it belongs to. Add `column = "topic.4"` or where the name stands in the document.
    eddy.toml:13: stream.pumps.columns.vibration.path: unknown key. Remove it; known here: name, unit, aggregate, direction, min_deviation.
    2 problems in eddy.toml
    "#);
}

#[test]
fn nothing_to_do() {
    assert_snapshot!(problems(""), @"
    eddy.toml: there is no source. Add a [source.NAME] section: where messages come from.
    eddy.toml: there is no stream. Add a [stream.NAME] section: what to watch.
    2 problems in eddy.toml
    ");
    assert_snapshot!(problems(&good_but("[stream.pumps]", "[source.spare]\ntype = \"http\"\n[stream.pumps]")), @r#"
    eddy.toml:7: source.spare: no stream takes from this source. Add `from = "spare"` to a stream, or remove the source.
    1 problem in eddy.toml
    "#);
}

#[test]
fn alert_budgets() {
    let with = |lines: &str| problems(&good_but("[stream.pumps]", &format!("[stream.pumps]\n{lines}")));
    assert_snapshot!(with("alert_budget = \"1/day\"\np_value = 1e-4"), @r#"
    eddy.toml:8: stream.pumps.alert_budget: `p_value` is given as well, and both say when to alert. Keep one: a budget finds the p-value that keeps to it.
    1 problem in eddy.toml
    "#);
    assert_snapshot!(with("alert_budget = \"1 a day\""), @r#"
    eddy.toml:8: stream.pumps.alert_budget: "1 a day" is not a number of alerts in a time. Write a number and one of /hour, /day, /week, such as "1/day" or "0.5/week".
    1 problem in eddy.toml
    "#);
    assert_snapshot!(with("alert_budget = 1"), @r#"
    eddy.toml:8: stream.pumps.alert_budget: is an integer where a string is expected. Write it like `"…"`.
    1 problem in eddy.toml
    "#);
    assert_snapshot!(with("alert_budget = \"0/day\""), @r#"
    eddy.toml:8: stream.pumps.alert_budget: "0/day" is out of bounds. Choose from 0.001/day to 2880/day.
    1 problem in eddy.toml
    "#);
}

#[test]
fn many_problems_at_once() {
    let text = r#"deploymnt = "north plant"
shards = 65
backend = "gpu"
[source.plant]
type = "mqtt"
url = "http://127.0.0.1:1883"
topics = "plant/#"
keep_alive = "30"

[source.web]
type = "http"
max_body = "8 megabytes"

[stream.pumps]
from = "plnt"
key = "topic.0"
format = "xml"
time = "ts"
window = { type = "hoping", size = "64s" }
model = "lod"
p_value = 2
max_future = "never"
no_data = "lern"
idle_after = "10ms"
columns = {}

[sink.on_call]
type = "webhook"
url = "alerts.example.com"
secret = ""
timeout = "5m"

[durable]
segment = "1kB"
"#;
    assert_snapshot!(problems(text), @r#"
    eddy.toml:1: deploymnt: unknown key. Did you mean `deployment`?
    eddy.toml:2: shards: 65 is out of bounds. Choose from 1 to 64.
    eddy.toml:3: backend: "gpu" is no backend. Use auto, cpu or cuda.
    eddy.toml:6: source.plant.url: http:// is not MQTT. Write it like "mqtt://127.0.0.1:1883" or "mqtts://broker.example.com".
    eddy.toml:8: source.plant.keep_alive: "30" is not a duration. Write a whole number and one of ms, s, m, h, d, such as "64s" or "10m".
    eddy.toml:12: source.web.max_body: "8 megabytes" is not a size. Write a whole number and one of B, kB, MB, GB, KiB, MiB, GiB, such as "64MB".
    eddy.toml:15: stream.pumps.from: there is no source "plnt". Did you mean "plant"?
    eddy.toml:16: stream.pumps.key: "topic.0" names no topic level. Levels count from 1: in plant/a/pump/7, topic.4 is 7. A field named topic is "$.topic".
    eddy.toml:17: stream.pumps.format: there is no format "xml". Use json, csv, avro or protobuf.
    eddy.toml:18: stream.pumps.time: "ts" does not say how the time is written. Write { path = "ts", unit = "ms" }, or "arrival" for the time of arrival.
    eddy.toml:19: stream.pumps.window.type: there is no type "hoping". Did you mean "hopping"?
    eddy.toml:20: stream.pumps.model: "lod" is not a model by itself. Write { type = "load", path = "models/…" }.
    eddy.toml:21: stream.pumps.p_value: 2 is out of bounds. Choose from 0.000000001 to 0.1.
    eddy.toml:22: stream.pumps.max_future: "never" is not a duration. Write a whole number and one of ms, s, m, h, d, such as "64s" or "10m".
    eddy.toml:23: stream.pumps.no_data: "lern" is neither "learn", "off" nor a duration. Write "learn", "off", or how long a key may be silent, such as "5m".
    eddy.toml:24: stream.pumps.idle_after: 10ms is out of bounds. Choose from 1s to 31d.
    eddy.toml:25: stream.pumps.columns: has 0 columns. Name 1 to 64, such as `columns.temperature = "temp"`.
    eddy.toml:29: sink.on_call.url: is not a URL (relative URL without a base). Write it like "https://alerts.example.com/hooks/eddy".
    eddy.toml:30: sink.on_call.secret: is empty. Write "env:NAME" and set that variable.
    eddy.toml:31: sink.on_call.timeout: 5m is out of bounds. Choose from 1s to 1m.
    eddy.toml:34: durable.segment: 1kB is out of bounds. Choose from 1MB to 1GB.
    21 problems in eddy.toml
    "#);
}

#[test]
fn onsets_of_windows_that_events_make() {
    let window = "window = { type = \"hopping\", size = \"64s\", every = \"1s\" }";
    let count = "window = { type = \"count\", size = 4 }\nonsets = true";
    assert!(GOOD.contains(window));
    assert_snapshot!(problems(&GOOD.replace(window, count)), @r#"
    eddy.toml:12: stream.pumps.onsets: onsets are told from grid cells, and these windows are made by events. Remove it, or use window type "hopping" or "tumbling".
    1 problem in eddy.toml
    "#);
    assert_snapshot!(problems(&GOOD.replace(window, &format!("{window}\nonsets = \"on\""))), @"
    eddy.toml:12: stream.pumps.onsets: is a string where a boolean is expected. Write it like `true`.
    1 problem in eddy.toml
    ");
}

#[test]
fn overrides_that_name_nothing() {
    let variables = [
        ("EDDY__SOURCE__PLANT__ULR", "mqtt://b"),
        ("EDDY__SOURCE__PLNT__URL", "mqtt://b"),
        ("EDDY__SINK__NEW__URL", "http://b"),
        ("EDDY__DASHBORD__ENABLED", "false"),
        ("EDDY__STREAM__PUMPS__KEY__PATH", "x"),
        ("EDDY__", "x"),
        ("EDDY_UNRELATED", "x"),
    ];
    assert_snapshot!(problems_with(GOOD, &variables), @"
    environment EDDY__: names no key. Write it like EDDY__DASHBOARD__LISTEN.
    environment EDDY__DASHBORD__ENABLED: dashbord: unknown key. Did you mean `dashboard`?
    environment EDDY__SINK__NEW__URL: sink.new: names a section that is not in the file. Add [sink.new] to the file first.
    environment EDDY__SOURCE__PLANT__ULR: source.plant.ulr: unknown key. Did you mean `url`?
    environment EDDY__SOURCE__PLNT__URL: source.plnt: names a section that is not in the file. Did you mean EDDY__SOURCE__PLANT…?
    environment EDDY__STREAM__PUMPS__KEY__PATH: stream.pumps.key: is a single value in the file, so nothing can be set inside it. Write it as a table in the file, or override it as a whole.
    6 problems in eddy.toml
    ");
}

#[test]
fn a_file_that_is_not_there() {
    let told =
        eddy::config::load("no/such.toml".as_ref(), &BTreeMap::new()).expect_err("there is no such file");
    assert_eq!(told.list.len(), 1);
    assert!(told.to_string().starts_with("no/such.toml: cannot be read ("), "{told}");
}

#[test]
fn a_warmup_shorter_than_a_window() {
    let text = good_but("key =", "model = { type = \"fit\", warmup = \"30s\" }\nkey =");
    assert_snapshot!(problems(&text), @"
    eddy.toml:9: stream.pumps.model: a warm-up of 30s is shorter than one window of 64s. Give it at least 64s; many windows are better.
    1 problem in eddy.toml
    ");
}

#[test]
fn too_many_numbers_a_window() {
    let text = good_but("size = \"64s\", every = \"1s\"", "size = \"1000s\", every = \"1s\"");
    let columns: String = (0..3).map(|n| format!("columns.c{n} = \"c{n}\"\n")).collect();
    let text = text.replace("key =", "model = { type = \"load\", path = \"m\" }\nkey =");
    assert_snapshot!(problems(&text.replace("[sink", &format!("{columns}[sink"))), @"
    eddy.toml:12: stream.pumps.window: 1000 cells of 5 columns are 5000 numbers a window. Keep it to 4096: choose a coarser grid, a shorter size, or fewer columns.
    1 problem in eddy.toml
    ");
}

#[test]
fn a_secret_in_the_place_of_a_variable_is_not_repeated() {
    for secret in [format!("env:{KEY}"), "env:s3cret/+=".to_string()] {
        let told = problems(&good_but(KEY, &secret));
        assert!(!told.contains(&secret[4..]), "{told}");
        assert!(told.contains("does not name an environment variable"), "{told}");
    }
}

#[test]
fn exit_codes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let code = |name: &str, text: &str| {
        let config = folder.path().join(name);
        std::fs::write(&config, text).expect("the folder can be written");
        format!("{:?}", check(&CheckArgs { config }))
    };
    assert_eq!(code("good.toml", GOOD), format!("{:?}", ExitCode::SUCCESS));
    assert_eq!(code("bad.toml", &good_but("qos = 1", "qos = 2")), format!("{:?}", ExitCode::from(78)));
}

#[test]
fn windows_of_events_that_do_not_fit() {
    let window = "type = \"hopping\", size = \"64s\", every = \"1s\"";
    let session = "type = \"session\", gap = \"5m\", max = \"1m\"";
    assert_snapshot!(problems(&good_but(window, session)), @r#"
    eddy.toml:11: stream.pumps.window.max: "1m" is less than gap 5m. Use at least "5m".
    1 problem in eddy.toml
    "#);
    let count = "type = \"count\", size = 4, every = 8";
    assert_snapshot!(problems(&good_but(window, count)), @r#"
    eddy.toml:11: stream.pumps.window.every: 8 is more than size 4: events between two windows would be in none. Use at most 4.
    1 problem in eddy.toml
    "#);
    let sliding = "type = \"sliding\", size = \"64s\", grid = \"10s\"";
    assert_snapshot!(problems(&good_but(window, sliding)), @r#"
    eddy.toml:11: stream.pumps.window.grid: "10s" does not divide size 64s. Use "8s" or "16s", or make size a multiple.
    1 problem in eddy.toml
    "#);
    let disorder = "type = \"sliding\", size = \"64s\", disorder = \"1s\"";
    assert_snapshot!(problems(&good_but(window, disorder)), @r#"
    eddy.toml:11: stream.pumps.window.disorder: unknown key. Remove it; known here: type, size, grid, lateness.
    1 problem in eddy.toml
    "#);
    let slides = "type = \"slidng\", size = \"64s\"";
    assert_snapshot!(problems(&good_but(window, slides)), @r#"
    eddy.toml:11: stream.pumps.window.type: there is no type "slidng". Did you mean "sliding"?
    1 problem in eddy.toml
    "#);
}

#[test]
fn an_aggregate_that_looks_back_needs_windows_of_events() {
    let text = good_but("temperature = \"temp\"", "temperature = { path = \"temp\", aggregate = \"ratio\" }");
    assert_snapshot!(problems(&text), @r#"
    eddy.toml:13: stream.pumps.columns.temperature.aggregate: "ratio" needs windows of events. Use window type "sliding", "session" or "count", or another aggregate.
    1 problem in eddy.toml
    "#);
}

#[test]
fn rules_on_departures() {
    let column = |keys: &str| {
        good_but("temperature = \"temp\"", &format!("temperature = {{ path = \"temp\", {keys} }}"))
    };
    assert_snapshot!(problems(&column("direction = \"up\", min_deviation = -2")), @r#"
    eddy.toml:13: stream.pumps.columns.temperature.direction: there is no direction "up". Use above, below or both.
    eddy.toml:13: stream.pumps.columns.temperature.min_deviation: -2 has a sign. Write `min_deviation = 2`, and the side as `direction = "below"`.
    2 problems in eddy.toml
    "#);
    assert_snapshot!(problems(&column("min_deviation = inf")), @r#"
    eddy.toml:13: stream.pumps.columns.temperature.min_deviation: inf is no departure. Write one in the column's unit, such as 2.5; a column that is never to be told is left out.
    1 problem in eddy.toml
    "#);
    assert_snapshot!(problems(&column("min_deviation = nan")), @r#"
    eddy.toml:13: stream.pumps.columns.temperature.min_deviation: NaN is no departure. Write one in the column's unit, such as 2.5; a column that is never to be told is left out.
    1 problem in eddy.toml
    "#);
    let names = column("aggregate = \"rarity\", direction = \"above\"");
    let names = names.replace(
        "{ type = \"hopping\", size = \"64s\", every = \"1s\" }",
        "{ type = \"sliding\", size = \"64s\" }",
    );
    assert_snapshot!(problems(&names), @r#"
    eddy.toml:13: stream.pumps.columns.temperature.direction: the column is of names: what is rare has no side and no size. Remove it, or set it on a column of numbers.
    1 problem in eddy.toml
    "#);
}

#[test]
fn a_standing_time_is_no_shorter_than_a_window() {
    let with =
        |standing: &str| good_but("key = \"topic.4\"", &format!("key = \"topic.4\"\nstanding = {standing}"));
    assert_snapshot!(problems(&with("\"63s\"")), @r#"
    eddy.toml:10: stream.pumps.standing: is shorter than a window of 64s. Give it at least 64s, or "off".
    1 problem in eddy.toml
    "#);
    assert_snapshot!(problems(&with("\"never\"")), @r#"
    eddy.toml:10: stream.pumps.standing: "never" is not a duration. Write a whole number and one of ms, s, m, h, d, such as "64s" or "10m".
    1 problem in eddy.toml
    "#);
}
