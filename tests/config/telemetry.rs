//! `[telemetry]` and OpenTelemetry's own variables.

use std::time::Duration;

use eddy::config::plan::TelemetryPlan;

use super::{GOOD, plan_with, problems_with};

const GRPC: &str = "has port 4317, where collectors take OTLP over gRPC, which is not spoken here. Write the port where yours takes \
                    OTLP over HTTP, which is 4318";
const SIGNAL: &str = "ends in the path of one signal, which is appended. Leave out /v1/...";
const UNSENDABLE: &str = "environment OTEL_EXPORTER_OTLP_HEADERS: a name or value in it cannot be sent as a header. Write it like name=value";
const UNREAD: &str = "environment OTEL_EXPORTER_OTLP_HEADERS: cannot be read";
const TABLE: &str = "[telemetry]\notlp_endpoint = \"https://otel.example.com/base\"\n";

fn plan(table: &str, variables: &[(&str, &str)]) -> Option<TelemetryPlan> {
    plan_with(&format!("{GOOD}{table}"), variables).telemetry
}

fn pairs(map: &std::collections::BTreeMap<String, String>) -> Vec<(&str, &str)> {
    map.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

#[test]
fn nothing_is_sent_until_an_endpoint_is_named_in_the_file_or_the_environment() {
    assert!(plan("", &[("OTEL_SERVICE_NAME", "x"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]).is_none());
    let of_file = plan(TABLE, &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")]).expect("on");
    assert_eq!(of_file.endpoint.as_str(), "https://otel.example.com/base", "the file is nearer");
    assert_eq!((of_file.every, of_file.headers.len()), (Duration::from_secs(60), 0));
    let of_environment = plan("", &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")]).expect("on");
    assert_eq!(of_environment.endpoint.as_str(), "http://127.0.0.1:4318/");
    assert!(plan(TABLE, &[("OTEL_SDK_DISABLED", "True")]).is_none());
    let own = [
        ("EDDY__TELEMETRY__OTLP_ENDPOINT", "http://127.0.0.1:1"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h"),
    ];
    assert_eq!(plan("", &own).expect("on").endpoint.port(), Some(1));
}

#[test]
fn the_usual_variables_are_read() {
    let variables = [
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%2Cb, other=c"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=lost,deployment.environment=pr%20od"),
        ("OTEL_SERVICE_NAME", "watch"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "5000"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("KEY", "from the environment"),
    ];
    let found = plan(TABLE, &variables).expect("on");
    assert_eq!(pairs(&found.headers), [("api-key", "a,b"), ("other", "c")]);
    assert_eq!(pairs(&found.resource), [("deployment.environment", "pr od"), ("service.name", "watch")]);
    assert_eq!(found.every, Duration::from_secs(5));
    let table = format!("{TABLE}every = \"2s\"\nheaders = {{ API-Key = \"env:KEY\" }}\n");
    let found = plan(&table, &variables).expect("on");
    assert_eq!(pairs(&found.headers), [("api-key", "from the environment")], "the file is not silent");
    assert_eq!(found.every, Duration::from_secs(2));
    let elsewhere = [variables[0], ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://vendor.example.com")];
    let found = plan(TABLE, &elsewhere).expect("on");
    assert_eq!(pairs(&found.headers), [], "the vendor's key is for the vendor");
}

#[test]
fn no_secret_is_shown() {
    let shown = format!("{:?}", plan(&format!("{TABLE}headers.key = \"hidden\""), &[]).expect("on"));
    assert!(
        shown.contains("otel.example.com") && !shown.contains("hidden") && !shown.contains("base"),
        "{shown}"
    );
}

#[test]
fn what_is_wrong_is_said_with_its_place_and_remedy() {
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);
    let cases: [Case; 13] = [
        ("[telemetry]\nevery = \"5s\"\n", &[], "telemetry.otlp_endpoint: is missing. Add `otlp_endpoint = "),
        (
            "[telemetry]\notlp_endpoint = \"grpc://h:4317\"\n",
            &[],
            "telemetry.otlp_endpoint: grpc:// is not OTLP over HTTP",
        ),
        (
            "[telemetry]\notlp_endpoint = \"https://u:p@h\"\n",
            &[],
            "telemetry.otlp_endpoint: must not hold a user or password",
        ),
        ("[telemetry]\notlp_endpoint = \"https://h/?a=b\"\n", &[], "has something behind ? or #"),
        ("[telemetry]\notlp_endpoint = \"http://h:4317\"\n", &[], GRPC),
        ("[telemetry]\nevery = \"5s\"\n", &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:4317")], GRPC),
        ("[telemetry]\notlp_endpoint = \"http://h:4318/v1/traces\"\n", &[], SIGNAL),
        ("[telemetry]\notlp_endpoint = \"https://h/otlp/v1/metrics/\"\n", &[], SIGNAL),
        (
            "[telemetry]\notlp_endpoint = \"http://h:4318\"\nheaders.key = \"x\"\n",
            &[],
            "telemetry.headers: would go to another machine in clear. Write the address of the collector with https://",
        ),
        (
            "[telemetry]\nevery = \"5s\"\n",
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:4318"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
            "environment OTEL_EXPORTER_OTLP_PROTOCOL: \"grpc\" is not spoken here",
        ),
        (
            TABLE,
            &[("OTEL_METRIC_EXPORT_INTERVAL", "5s")],
            "environment OTEL_METRIC_EXPORT_INTERVAL: \"5s\" is no usable interval",
        ),
        (TABLE, &[("OTEL_EXPORTER_OTLP_HEADERS", "passzzword")], UNREAD),
        (
            TABLE,
            &[("OTEL_RESOURCE_ATTRIBUTES", "line 3")],
            "environment OTEL_RESOURCE_ATTRIBUTES: cannot be read",
        ),
    ];
    for (table, variables, said) in cases {
        let problems = problems_with(&format!("{GOOD}{table}"), variables).to_string();
        assert!(problems.contains(said), "{said} is not in:\n{problems}");
        assert!(problems.ends_with("1 problem in eddy.toml"), "{problems}");
        assert!(!problems.contains("zzword"), "{problems}");
    }
    let table = format!("{TABLE}headers = {{ \"bad name\" = \"x\" }}\n");
    assert!(problems_with(&format!("{GOOD}{table}"), &[]).to_string().contains("cannot be sent as a header"));
}

/// Somebody set them for all programs of the machine: a plant is watched all the same.
#[test]
fn what_the_environment_alone_asks_for_stops_nothing() {
    let secret = "pass%zzword";
    let endpoint = |text| ("OTEL_EXPORTER_OTLP_ENDPOINT", text);
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a str);
    let off: [Case; 8] = [
        (&[endpoint("http://h:4317")], GRPC),
        (&[endpoint("http://h:4318/v1/logs")], SIGNAL),
        (&[endpoint("h:4318")], "environment OTEL_EXPORTER_OTLP_ENDPOINT: h:// is not OTLP"),
        (
            &[endpoint("http://h:4318"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
            "environment OTEL_EXPORTER_OTLP_PROTOCOL: \"grpc\" is not spoken here",
        ),
        (
            &[endpoint("http://h:4318"), ("OTEL_EXPORTER_OTLP_HEADERS", "key=passzzword")],
            "environment OTEL_EXPORTER_OTLP_HEADERS: would go to another machine in clear",
        ),
        (&[endpoint("https://h"), ("OTEL_EXPORTER_OTLP_HEADERS", "bad name=passzzword")], UNSENDABLE),
        // Written as in a request: what is before the first `=` is no name.
        (
            &[endpoint("https://h"), ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization: Bearer cGFzczzzword==")],
            UNSENDABLE,
        ),
        (&[endpoint("https://h"), ("OTEL_EXPORTER_OTLP_HEADERS", secret)], UNREAD),
    ];
    let ignored: [Case; 2] = [
        (
            &[endpoint("https://h"), ("OTEL_METRIC_EXPORT_INTERVAL", "5s")],
            "environment OTEL_METRIC_EXPORT_INTERVAL: \"5s\" is no usable interval",
        ),
        (
            &[endpoint("https://h"), ("OTEL_RESOURCE_ATTRIBUTES", "line 3")],
            "environment OTEL_RESOURCE_ATTRIBUTES: cannot be read",
        ),
    ];
    let all = off.iter().map(|case| (case, false)).chain(ignored.iter().map(|case| (case, true)));
    for ((variables, said), is_sent) in all {
        let plan = plan_with(GOOD, variables);
        let warnings: Vec<String> = plan.warnings.iter().map(ToString::to_string).collect();
        assert!(warnings.len() == 1 && warnings[0].contains(said), "{said} is not in {warnings:?}");
        assert!(!warnings[0].contains("zzword"), "{warnings:?}");
        assert_eq!(plan.telemetry.is_some(), is_sent, "{said}");
    }
    let of_file = plan_with(&format!("{GOOD}{TABLE}"), &[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]);
    assert!(of_file.telemetry.is_some() && of_file.warnings.is_empty(), "it is said of another collector");
}
