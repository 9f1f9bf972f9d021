//! A collector of OpenTelemetry that reads with OpenTelemetry's own package: `tests/otlp/collector.py`.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;

pub struct Collector {
    pub port: u16,
    requests: Arc<Mutex<Vec<Value>>>,
    process: Child,
}

impl Collector {
    /// Answers with `status`; with 0 not at all. Port 0 is any.
    pub fn start(port: u16, status: u16) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/otlp/collector.py");
        let mut process = Command::new(python())
            .args([script, &port.to_string(), &status.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("scripts/setup installs opentelemetry-proto");
        let mut lines = BufReader::new(process.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        let port = lines.next().and_then(|line| line.parse().ok()).expect("it says its port");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = requests.clone();
        std::thread::spawn(move || {
            lines.for_each(|line| kept.lock().unwrap().push(super::json(line.as_bytes())));
        });
        Collector { port, requests, process }
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What came to a path, each as it was read; panics where something could not be.
    pub fn requests(&self, path: &str) -> Vec<Value> {
        let all = self.requests.lock().unwrap().clone();
        all.iter().for_each(|request| assert!(request["fault"].is_null(), "{request}"));
        all.into_iter().filter(|request| request["path"] == path).collect()
    }

    /// All spans so far.
    pub fn spans(&self) -> Vec<Value> {
        let of = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
        let requests = self.requests("/v1/traces").into_iter();
        let scopes =
            requests.flat_map(|r| of(&r["body"], "resourceSpans")).flat_map(|r| of(&r, "scopeSpans"));
        scopes.flat_map(|scope| of(&scope, "spans")).collect()
    }

    /// Those of the newest request.
    pub fn metrics(&self) -> Vec<Value> {
        let newest = self.requests("/v1/metrics").pop().expect("metrics were sent");
        let scope = &newest["body"]["resourceMetrics"][0]["scopeMetrics"][0]["metrics"];
        scope.as_array().expect("metrics").clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Of an attribute of a span, a point or a resource.
pub fn attribute<'a>(of: &'a Value, key: &str) -> Option<&'a Value> {
    let pairs = of["attributes"].as_array()?;
    pairs.iter().find(|pair| pair["key"] == key)?["value"].as_object()?.values().next()
}

fn python() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache =
        cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").expect("a home")).join(".cache"));
    cache.join("eddy/otlp/bin/python")
}
