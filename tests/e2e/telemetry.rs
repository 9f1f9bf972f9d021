//! The release binary and a collector of OpenTelemetry that nobody here wrote the messages of: traces whose times are
//! those of receipts, metrics that are those of `/metrics`, and a collector in trouble that nothing waits for.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::e2e::eddy::{Deployment, Eddy, config};
use crate::e2e::expect;
use crate::e2e::http;
use crate::e2e::mosquitto::free_port;
use crate::e2e::otlp::{Collector, attribute};
use crate::e2e::receiver::{Behaviour, Received, Receiver};
use crate::plant::{self, Row};
use serde_json::Value;

const SENDER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const TOKEN: &str = "Bearer otlp-token-nobody-else-sees";

/// A deployment with an HTTP source that sends to this collector once a second.
fn deployment(http: SocketAddr, webhook: &str, endpoint: &str) -> Deployment {
    let source = format!("[source.line]\ntype = \"http\"\nlisten = \"{http}\"\nmax_body = \"64MB\"");
    let config = config(&source, "[\"line\"]", "max_future = \"none\"", webhook);
    let telemetry = format!(
        "[telemetry]\notlp_endpoint = \"{endpoint}\"\nevery = \"1s\"\nheaders.authorization = \"{TOKEN}\"\n"
    );
    Deployment::new(&(config + &telemetry))
}

fn free() -> SocketAddr {
    ([127, 0, 0, 1], free_port()).into()
}

/// Four minutes of pumps, of which the first goes wrong.
fn rows() -> Vec<Row> {
    let mut rows = plant::rows(8, 240, 31, 0..0);
    expect::break_pump(&mut rows, 0, 100..160);
    rows
}

fn send(http: SocketAddr, rows: &[Row]) {
    let headers = [
        ("Content-Type", "application/x-ndjson"),
        ("traceparent", SENDER),
        ("tracestate", "congo=t61rcWkgMzE"),
    ];
    let answer =
        http::request(http, "POST", "/v1/events/pumps", &headers, &plant::ndjson(rows)).expect("an answer");
    assert_eq!(answer.status, 200);
}

fn number(value: &Value) -> i64 {
    // JSON of protobuf has 64-bit integers as texts.
    let text = value.as_str().map(str::to_owned).unwrap_or_else(|| value.to_string());
    text.parse().unwrap_or_else(|_| panic!("{value} is no number"))
}

fn raised(receiver: &Receiver) -> Vec<Received> {
    receiver.received().into_iter().filter(|request| request.id().ends_with("_1")).collect()
}

fn is_of(span: &Value, id: &str, revision: i64) -> bool {
    let of_revision = attribute(span, "eddy.alert.revision").is_some_and(|of| number(of) == revision);
    span["traceId"] == id && of_revision
}

/// Holds the span of a revision and those of its stretches to its receipt.
fn holds_to_receipt(spans: &[Value], whole: &Value, receipt: &Value) {
    let (start, end) = (number(&whole["startTimeUnixNano"]), number(&whole["endTimeUnixNano"]));
    assert_eq!((start, end), (number(&receipt["start_ns"]), number(&receipt["end_ns"])), "{whole}");
    let is_stage =
        |span: &&Value| span["parentSpanId"] == whole["spanId"] && span["kind"] == "SPAN_KIND_INTERNAL";
    let mut stages: Vec<&Value> = spans.iter().filter(is_stage).collect();
    // Two that took no time share a start.
    stages.sort_by_key(|s| (number(&s["startTimeUnixNano"]), number(&s["endTimeUnixNano"])));
    let mut told: Vec<(String, i64)> = stages
        .iter()
        .map(|s| (s["name"].to_string(), number(&s["endTimeUnixNano"]) - number(&s["startTimeUnixNano"])))
        .collect();
    let segments = receipt["segments"].as_array().expect("segments");
    let mut expected: Vec<(String, i64)> =
        segments.iter().map(|s| (s["stage"].to_string(), number(&s["ns"]))).collect();
    assert_eq!(told.iter().map(|stage| stage.1).sum::<i64>(), number(&receipt["total_ns"]));
    told.sort();
    expected.sort();
    assert_eq!(told, expected);
    let mut at = start;
    for stage in stages {
        assert_eq!(number(&stage["startTimeUnixNano"]), at, "stretches lie end to end");
        at = number(&stage["endTimeUnixNano"]);
    }
    assert_eq!(at, end);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_told_alert_is_a_trace_from_its_last_reading_to_the_receivers_2xx() {
    let (collector, receiver) = (Collector::start(0, 200), Receiver::start([Behaviour::Status(503)]).await);
    let http = free();
    let deployment = deployment(http, &receiver.url, &collector.endpoint());
    let mut eddy = deployment.start();
    send(http, &rows());
    let attempts =
        eddy.until("both attempts", |_| Some(raised(&receiver)).filter(|requests| requests.len() > 1));
    let (decision, receipt) = expect::read_webhook(&attempts[0]);
    let id = decision["id"].as_str().expect("an id");
    let spans = eddy.until("their spans", |_| {
        let spans = collector.spans();
        let delivered = spans.iter().filter(|s| s["name"] == "deliver" && s["traceId"] == id).count();
        let whole = spans.iter().any(|span| is_of(span, id, 1));
        (whole && delivered >= 2).then_some(spans)
    });
    let whole = spans.iter().find(|span| is_of(span, id, 1)).expect("it was there");
    assert_eq!((&whole["name"], &whole["kind"]), (&"anomaly.raised".into(), &"SPAN_KIND_CONSUMER".into()));
    assert!(whole["parentSpanId"].is_null(), "{whole}");
    assert_eq!(attribute(whole, "eddy.key").map(Value::to_string), Some(decision["key"].to_string()));
    assert_eq!(attribute(whole, "eddy.stream"), Some(&"pumps".into()));
    let link = &whole["links"][0];
    let linked = format!("00-{}-{}-01", link["traceId"].as_str().unwrap(), link["spanId"].as_str().unwrap());
    assert_eq!((&linked[..], &link["traceState"]), (SENDER, &"congo=t61rcWkgMzE".into()));
    holds_to_receipt(&spans, whole, &receipt);
    let is_attempt =
        |s: &&Value| s["name"] == "deliver" && s["traceId"] == id && s["parentSpanId"] == whole["spanId"];
    for (request, (number_of, error)) in attempts.iter().zip([(1, Some("503")), (2, None)]) {
        let context: Vec<&str> = request.header("traceparent").split('-').collect();
        assert_eq!(
            (context[0], context[1], context[3]),
            ("00", id, "01"),
            "one trace over retries, and recorded"
        );
        let span = spans.iter().filter(is_attempt).find(|span| span["spanId"] == context[2]);
        let span = span.unwrap_or_else(|| panic!("no span {} of its attempt", context[2]));
        assert_eq!(attribute(span, "eddy.attempt").map(number), Some(number_of));
        assert_eq!(attribute(span, "error.type").map(Value::to_string), error.map(|e| format!("{e:?}")));
        assert!(number(&span["startTimeUnixNano"]) >= number(&receipt["end_ns"]), "told once it is durable");
    }
    let request = &collector.requests("/v1/traces")[0];
    assert_eq!(request["headers"]["authorization"], TOKEN);
    let resource = &request["body"]["resourceSpans"][0]["resource"];
    assert_eq!(attribute(resource, "service.name"), Some(&"eddy".into()));
    assert_eq!(attribute(resource, "service.instance.id"), Some(&"test".into()));
    let (ended, said) = eddy.stop();
    assert!(ended.success() && !said.contains("otlp-token"), "{said}");
}

/// Every sample of `/metrics`: name and labels to value, as the text says it.
fn scraped(eddy: &Eddy) -> BTreeMap<String, f64> {
    let text = http::get(eddy.page, "/metrics").expect("it answers").text();
    let samples = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let (name, value) = line.rsplit_once(' ').expect("a sample");
        (canonical(name), value.parse().unwrap_or_else(|_| panic!("{line}")))
    });
    samples.collect()
}

/// A name with its labels in order and bounds as numbers: there are several ways to write either. No label here holds a
/// comma.
fn canonical(name: &str) -> String {
    let Some((name, labels)) = name.trim_end_matches('}').split_once('{') else { return name.to_owned() };
    let bound = |text: &str| text.parse::<f64>().map_or(text.to_owned(), |bound| format!("{bound:e}"));
    let label = |label: &str| match label.strip_prefix("le=\"") {
        Some(text) => format!("le={}", bound(text.trim_end_matches('"'))),
        None => label.to_owned(),
    };
    let mut labels: Vec<String> = labels.split(',').map(label).collect();
    labels.sort();
    format!("{name}{{{}}}", labels.join(","))
}

/// The same of what was sent, points named as Prometheus names them.
fn sent(metrics: &[Value]) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    for metric in metrics {
        let name = metric["name"].as_str().expect("a name");
        let data = ["sum", "gauge", "histogram"].iter().find_map(|kind| metric[kind].as_object());
        let points = data.and_then(|data| data["dataPoints"].as_array()).expect("points");
        for point in points {
            let labels: Vec<String> =
                point["attributes"].as_array().into_iter().flatten().map(label).collect();
            let of = |end: &str, more: &[String]| {
                let labels = [&labels[..], more].concat().join(",");
                canonical(&if labels.is_empty() {
                    format!("{name}{end}")
                } else {
                    format!("{name}{end}{{{labels}}}")
                })
            };
            let plain = |key: &str| point[key].as_f64().or_else(|| point[key].as_str()?.parse().ok());
            if let Some(value) = plain("asDouble").or_else(|| plain("asInt")) {
                samples.insert(of("", &[]), value);
                continue;
            }
            samples.insert(of("_count", &[]), plain("count").unwrap_or(0.0));
            samples.insert(of("_sum", &[]), plain("sum").expect("a sum"));
            let bounds = point["explicitBounds"].as_array().expect("bounds").iter();
            let bounds =
                bounds.map(|bound| bound.as_f64().expect("a bound").to_string()).chain(["+Inf".to_owned()]);
            let mut below = 0;
            for (bound, count) in bounds.zip(point["bucketCounts"].as_array().expect("counts")) {
                below += number(count);
                samples.insert(of("_bucket", &[format!("le=\"{bound}\"")]), below as f64);
            }
        }
    }
    samples
}

fn label(pair: &Value) -> String {
    format!("{}={}", pair["key"].as_str().expect("a key"), pair["value"]["stringValue"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_metrics_sent_are_those_of_the_page() {
    let (collector, receiver) = (Collector::start(0, 200), Receiver::start([]).await);
    let http = free();
    let deployment = deployment(http, &receiver.url, &collector.endpoint());
    let mut eddy = deployment.start();
    send(http, &rows());
    eddy.until("an alert", |_| raised(&receiver).pop());
    let before = collector.requests("/v1/metrics").len();
    eddy.until("more metrics", |_| (collector.requests("/v1/metrics").len() > before + 2).then_some(()));
    // What is the same before and after they were sent must be the same in them.
    let (known, posted, still) = eddy.until("metrics between two looks", |eddy| {
        let (known, count) = (scraped(eddy), collector.requests("/v1/metrics").len());
        let until = Instant::now() + Duration::from_secs(5);
        while collector.requests("/v1/metrics").len() == count && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
        let posted = sent(&collector.metrics());
        (collector.requests("/v1/metrics").len() > count).then(|| (known, posted, scraped(eddy)))
    });
    let odd: Vec<&String> = posted.keys().filter(|name| !known.contains_key(*name)).collect();
    let missing: Vec<&String> = known.keys().filter(|name| !posted.contains_key(*name)).collect();
    assert!(
        odd.is_empty() && missing.is_empty(),
        "sent and not shown: {odd:?}; shown and not sent: {missing:?}"
    );
    let mut compared = 0;
    for (name, value) in known.iter().filter(|(name, value)| still[*name] == **value) {
        assert_eq!(posted[name], *value, "{name}");
        compared += 1;
    }
    assert!(compared > known.len() - 20, "{compared} of {}", known.len());
    assert!(known["eddy_stream_events_total{stream=\"pumps\"}"] > 1000.0);
    assert!(known["eddy_stage_latency_seconds_bucket{le=inf,stage=\"log\"}"] > 0.0);
    let units: BTreeMap<String, Value> = collector
        .metrics()
        .into_iter()
        .map(|m| (m["name"].as_str().unwrap().to_owned(), m["unit"].clone()))
        .collect();
    assert_eq!(units["eddy_stage_latency_seconds"], "s");
    assert_eq!(units["eddy_log_bytes_total"], "By");
}

/// Sends the rows and waits for the alert, with whatever there is at `port`; how long the alert took.
async fn alerts_beside(endpoint: &str) -> (Eddy, Duration, Deployment) {
    let (http, receiver) = (free(), Receiver::start([]).await);
    let deployment = deployment(http, &receiver.url, endpoint);
    let mut eddy = deployment.start();
    let began = Instant::now();
    send(http, &rows());
    eddy.until("the alert", |_| raised(&receiver).pop());
    (eddy, began.elapsed(), deployment)
}

fn warnings(said: &str, signal: &str) -> usize {
    let is_one =
        |line: &&str| line.contains("the collector does not take") && line.contains(&format!("\"{signal}\""));
    said.lines().filter(is_one).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_down_is_said_once_and_gets_what_is_left_when_it_is_up() {
    let port = free_port();
    let (mut eddy, _, _folder) = alerts_beside(&format!("http://127.0.0.1:{port}")).await;
    let shown = eddy.until("both are shown", |eddy| {
        let telemetry = eddy.get("/api/v1/status")["telemetry"].take();
        telemetry["failing"].as_array().is_some_and(|failing| failing.len() == 2).then_some(telemetry)
    });
    let failures = |eddy: &Eddy| eddy.metric("eddy_telemetry_failures_total");
    let before = failures(&eddy);
    eddy.until("more failures", |eddy| (failures(eddy) >= before + 4).then_some(()));
    let said = eddy.said();
    assert_eq!((warnings(&said, "traces"), warnings(&said, "metrics")), (1, 1), "{said}");
    for failing in shown["failing"].as_array().expect("both") {
        assert!(failing["reason"].as_str().is_some_and(|why| why.contains("cannot connect")), "{shown}");
        assert!(failing["since_ns"].as_i64() > eddy.get("/api/v1/status")["started_ns"].as_i64(), "{shown}");
    }
    let page = eddy.until("the page says so", |eddy| {
        let page = http::get(eddy.page, "/").ok()?.text();
        page.contains("traces not taken since <time").then_some(page)
    });
    assert!(!page.contains("otlp-token"), "{page}");
    let collector = Collector::start(port, 200);
    eddy.until("what waited", |_| {
        collector.spans().iter().any(|s| s["name"] == "anomaly.raised").then_some(())
    });
    eddy.until("it is said", |eddy| eddy.said().contains("takes what it is sent again").then_some(()));
    eddy.until("nothing is shown any more", |eddy| {
        (eddy.get("/api/v1/status")["telemetry"]["failing"] == serde_json::json!([])).then_some(())
    });
    assert_eq!(eddy.metric("eddy_telemetry_dropped_total"), 0);
    assert!(eddy.metric("eddy_telemetry_exported_total") >= 2, "the alert and its delivery");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_refuses_or_hangs_holds_nothing_up() {
    let refusing = Collector::start(0, 400);
    let (mut eddy, _, _folder) = alerts_beside(&refusing.endpoint()).await;
    eddy.until("dropped", |eddy| (eddy.metric("eddy_telemetry_dropped_total") >= 2).then_some(()));
    assert_eq!(eddy.metric("eddy_telemetry_exported_total"), 0);
    // One may be on its way back.
    eddy.until("what is refused is not sent again", |eddy| {
        let traces = refusing.requests("/v1/traces").len() as u64;
        (traces <= eddy.metric("eddy_telemetry_dropped_total")).then_some(())
    });
    drop(eddy);
    let hanging = Collector::start(0, 0);
    let (eddy, took, _folder) = alerts_beside(&hanging.endpoint()).await;
    let began = Instant::now();
    let (ended, said) = eddy.stop();
    assert!(ended.success(), "{said}");
    // A request that hangs takes ten seconds.
    let ten = Duration::from_secs(10);
    assert!(took < ten && began.elapsed() < ten, "alert after {took:?}, stopped after {:?}", began.elapsed());
    assert!(!said.contains("not everything was delivered"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machines_variables_for_grpc_stop_no_plant_and_are_said() {
    let (http, receiver) = (free(), Receiver::start([]).await);
    let source = format!("[source.line]\ntype = \"http\"\nlisten = \"{http}\"");
    let deployment = Deployment::new(&config(&source, "[\"line\"]", "max_future = \"none\"", &receiver.url));
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", Path::new("http://collector:4317"));
    let mut eddy = deployment.start_with(&[endpoint]);
    send(http, &rows());
    eddy.until("the alert", |_| raised(&receiver).pop());
    let said = eddy.said();
    assert!(said.contains("WARN") && said.contains("OTEL_EXPORTER_OTLP_ENDPOINT: has port 4317"), "{said}");
    let status = eddy.get("/api/v1/status");
    let note = status["notes"][0]["what"].as_str().unwrap_or_default();
    assert!(note.starts_with("OTEL_EXPORTER_OTLP_ENDPOINT in the environment has port 4317"), "{status}");
    assert!(status["telemetry"].is_null() && eddy.stop().0.success(), "{status}");
}
