//! Who may use the page and the API of the release binary: tokens, TLS, links in alerts; that no secret comes out
//! anywhere; and the API held to its own description by schemathesis.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use crate::certificates::Certificates;
use crate::e2e::eddy::{Deployment, Eddy, config};
use crate::e2e::expect;
use crate::e2e::http::{self, Response};
use crate::e2e::mosquitto::{Mosquitto, free_port};
use crate::e2e::otlp::Collector;
use crate::e2e::receiver::Receiver;
use crate::{e2e, plant};
use eddy::access::Key;
use reqwest::{Certificate, Client, StatusCode};
use serde_json::Value;

const NOWHERE: &str = "http://127.0.0.1:1/none";
const SOURCE_TOKEN: &str = "token-of-the-http-source";
/// As in [`config`].
const WEBHOOK_SECRET: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
const PAGER_SECRET: &str = "GBkaGxwdHh8gISIjJCUmJygpKissLS4v";
const BROKER_PASSWORD: &str = "password-of-the-broker";
const COLLECTOR_TOKEN: &str = "token-of-the-collector";

fn local() -> SocketAddr {
    ([127, 0, 0, 1], free_port()).into()
}

/// A deployment that takes rows at `source`; `dashboard` are lines of that section.
fn deployment(source: SocketAddr, dashboard: &str, webhook: &str) -> Deployment {
    let source = format!("[source.line]\ntype = \"http\"\nlisten = \"{source}\"\ntoken = \"{SOURCE_TOKEN}\"");
    let text = config(&source, "[\"line\"]", "", webhook);
    Deployment::new(&text.replace("listen = \"127.0.0.1:0\"", dashboard))
}

/// `eddy COMMAND SUBCOMMAND eddy.toml ...`
fn eddy(deployment: &Deployment, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_eddy"));
    command.args(arguments).current_dir(deployment.folder.path()).env_remove("RUST_LOG");
    command.output().expect("it runs")
}

fn add(deployment: &Deployment, name: &str, scope: &str) -> String {
    let added = eddy(deployment, &["token", "add", "eddy.toml", name, "--scope", scope]);
    assert!(added.status.success(), "{added:?}");
    String::from_utf8(added.stdout).expect("a token is ASCII").trim().to_owned()
}

fn send(source: SocketAddr, rows: &[plant::Row]) {
    let authorization = format!("Bearer {SOURCE_TOKEN}");
    let headers = [("Content-Type", "application/x-ndjson"), ("Authorization", authorization.as_str())];
    for rows in rows.chunks(400) {
        let answer = http::request(source, "POST", "/v1/events/pumps", &headers, &plant::ndjson(rows));
        assert_eq!(answer.expect("an answer").status, 200);
    }
}

fn ask(page: SocketAddr, path: &str, token: &str) -> Response {
    let authorization = format!("Bearer {token}");
    http::request(page, "GET", path, &[("Authorization", &authorization)], b"").expect("an answer")
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_page_on_the_network_wants_a_token_and_speaks_tls() {
    let certificates = Certificates::make();
    let port = free_port();
    let (cert, key) = (certificates.path("server.pem"), certificates.path("server.key"));
    let dashboard = format!("listen = \"0.0.0.0:{port}\"\ntls = {{ cert = {cert:?}, key = {key:?} }}");
    let deployment = deployment(local(), &dashboard, NOWHERE);
    let refused = deployment.output("run");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(78), "{said}");
    assert!(said.contains("eddy token add"), "{said}");

    let token = add(&deployment, "ops", "read");
    let listed = eddy(&deployment, &["token", "list", "eddy.toml"]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.starts_with("ops  read") && !listed.contains(&token[5..]), "{listed}");
    let again = eddy(&deployment, &["token", "add", "eddy.toml", "ops", "--scope", "admin"]);
    assert!(
        !again.status.success() && String::from_utf8_lossy(&again.stderr).contains("already"),
        "{again:?}"
    );

    let mut run = deployment.command("run");
    let process = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let _process = Killed(process);
    let authority = Certificate::from_pem(&std::fs::read(certificates.path("ca.pem")).unwrap()).unwrap();
    let client = Client::builder().tls_certs_only([authority]).no_proxy().build().unwrap();
    let base = format!("https://localhost:{port}");
    let deadline = std::time::Instant::now() + e2e::WAIT_MAX;
    loop {
        match client.get(format!("{base}/readyz")).send().await {
            Ok(answer) if answer.status() == StatusCode::OK => break,
            _ => assert!(std::time::Instant::now() < deadline, "never ready"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let status = |token: Option<String>| {
        let request = client.get(format!("{base}/api/v1/status"));
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        async move { request.send().await.expect("an answer").status() }
    };
    assert_eq!(status(None).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(Some(token.clone())).await, StatusCode::OK);
    let clear = http::get(([127, 0, 0, 1], port).into(), "/readyz");
    assert!(clear.is_err(), "answered in clear: {clear:?}");

    // The command line is let in by the folder's key, and knows the certificate whatever name it is for.
    let models = eddy(&deployment, &["model", "list", "eddy.toml", "--stream", "pumps"]);
    let said = String::from_utf8_lossy(&models.stdout).into_owned();
    assert!(models.status.success() && said.contains("  active"), "{models:?}");

    let revoked = eddy(&deployment, &["token", "revoke", "eddy.toml", "ops"]);
    assert!(revoked.status.success(), "{revoked:?}");
    assert_eq!(status(Some(token)).await, StatusCode::UNAUTHORIZED, "it holds until the next start");
}

/// What must not be shown: in no log, page, metric, error or description.
fn secrets(deployment: &Deployment, tokens: &[String], link: &str) -> Vec<String> {
    let key = std::fs::read_to_string(deployment.data().join("access/key")).expect("a key");
    let signature = link.split("sig=").nth(1).expect("a signature");
    let mut secrets = vec![
        SOURCE_TOKEN.to_owned(),
        WEBHOOK_SECRET.to_owned(),
        "path-of-the-webhook".to_owned(),
        "path-of-the-pager".to_owned(),
        PAGER_SECRET.to_owned(),
        BROKER_PASSWORD.to_owned(),
        "path-of-the-collector".to_owned(),
        COLLECTOR_TOKEN.to_owned(),
        key.trim().to_owned(),
        signature.to_owned(),
    ];
    secrets.extend(tokens.iter().map(|token| token["eddy_".len()..].to_owned()));
    let kept = std::fs::read_to_string(deployment.data().join("access/tokens.json")).expect("tokens");
    let kept: Value = e2e::json(kept.as_bytes());
    let hashes =
        kept.as_array().expect("tokens").iter().map(|token| token["sha256"].as_str().unwrap().to_owned());
    secrets.extend(hashes);
    secrets
}

/// Another source, sink and collector, each with secrets of its own. Nobody answers the sink.
fn more_secrets(broker: u16, collector: &Collector) -> String {
    format!(
        "[source.broker]\ntype = \"mqtt\"\nurl = \"mqtt://127.0.0.1:{broker}\"\ntopics = [\"plant/#\"]\nqos = 1\n\
         username = \"eddy\"\npassword = \"{BROKER_PASSWORD}\"\n\
         [sink.broker]\ntype = \"mqtt\"\nurl = \"mqtt://127.0.0.1:{broker}\"\ntopic = \"alerts/eddy\"\n\
         username = \"eddy\"\npassword = \"{BROKER_PASSWORD}\"\n\
         [sink.pager]\ntype = \"webhook\"\nurl = \"http://127.0.0.1:1/path-of-the-pager\"\n\
         secret = \"whsec_{PAGER_SECRET}\"\nformat = \"cloudevents\"\n\
         [telemetry]\notlp_endpoint = \"{}/path-of-the-collector\"\nevery = \"1s\"\n\
         headers.x-key = \"{COLLECTOR_TOKEN}\"\n",
        collector.endpoint()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_s_link_takes_feedback_and_no_secret_comes_out_anywhere() {
    let receiver = Receiver::start([]).await;
    let (source, page) = (local(), local());
    let dashboard = format!("listen = \"{page}\"\nurl = \"http://{page}\"");
    let webhook = receiver.url.replace("/hook", "/path-of-the-webhook");
    let (broker, collector) = (Mosquitto::start(), Collector::start(0, 200));
    let deployment = deployment(source, &dashboard, &webhook);
    let config = std::fs::read_to_string(deployment.path("eddy.toml")).expect("it was written");
    let config = config.replace("from = [\"line\"]", "from = [\"line\", \"broker\"]");
    deployment.configure(&(config + &more_secrets(broker.port, &collector)));
    let tokens = ["read", "feedback", "admin"].map(|scope| add(&deployment, scope, scope));
    let mut command = deployment.command("run");
    command.env("RUST_LOG", "debug");
    let mut eddy_runs = Eddy::start(command);

    let mut rows = plant::rows(4, 400, 3, 0..0);
    expect::break_pump(&mut rows, 1, 200..280);
    rows.extend(expect::closers(&rows, 4));
    send(source, &rows);
    let told = eddy_runs.until("an alert", |_| receiver.received().into_iter().next());
    let body = e2e::json(&told.body);
    let link = body["data"]["feedback_url"].as_str().expect("a link").to_owned();
    let path = link.strip_prefix(&format!("http://{page}")).expect("the page's own address").to_owned();
    let form = http::get(page, &path).expect("an answer");
    assert_eq!(form.status, 200, "{}", form.text());
    let kind = [("Content-Type", "application/x-www-form-urlencoded")];
    let done = http::request(page, "POST", &path, &kind, b"verdict=real&reason=bearing").expect("an answer");
    assert_eq!(done.status, 200, "{}", done.text());
    let labels = eddy(&deployment, &["state", "labels", "eddy.toml", "--stream", "pumps"]);
    let labels = String::from_utf8_lossy(&labels.stdout).into_owned();
    let key = body["data"]["key"].as_str().expect("a key");
    assert!(labels.starts_with(&format!("key,start,end\n{key},20")), "{labels}");
    std::fs::write(deployment.path("labels.csv"), &labels).unwrap();

    let mut shown = String::new();
    let (alert, column) = (body["data"]["id"].as_str().unwrap(), "flow");
    let description = ask(page, "/api/v1/openapi.json", &tokens[2]);
    let paths: Vec<String> = description.json()["paths"].as_object().unwrap().keys().cloned().collect();
    let pages = [
        "/",
        "/?key=pumps/pump-1",
        "/fragment/tables",
        "/fragment/notices",
        "/login",
        "/metrics",
        "/receivers",
        "/streams",
        "/api/v1/openapi.json",
        "/none",
    ];
    for path in paths.iter().map(String::as_str).chain(pages).filter(|path| !path.ends_with("/live")) {
        let path = path.replace("{id}", alert);
        for query in
            ["".to_owned(), format!("?stream=pumps&key=pump-1&column={column}"), "?sig=&x=1".to_owned()]
        {
            for token in [tokens[2].as_str(), "eddy_wrong"] {
                let answer = ask(page, &format!("{path}{query}"), token);
                shown += &format!("{path}{query}\n{}\n{}\n", answer.head, answer.text());
            }
        }
    }
    let secrets = secrets(&deployment, &tokens, &link);
    let heard = || (collector.requests("/v1/traces"), collector.requests("/v1/metrics"));
    let (traces, metrics) = eddy_runs.until("a collector that has heard of it", |_| {
        Some(heard()).filter(|(traces, metrics)| !traces.is_empty() && metrics.len() > 1)
    });
    let (status, said) = eddy_runs.stop();
    assert!(status.success());
    assert!(said.contains("deliveries fail"), "the pager was tried: {said}");
    // What a collector is sent but for the headers, which are for it.
    for request in traces.iter().chain(&metrics) {
        assert_eq!(
            (&request["below"], &request["headers"]["x-key"]),
            (&"/path-of-the-collector".into(), &COLLECTOR_TOKEN.into())
        );
        shown += &request["body"].to_string();
    }
    for command in
        [&["check", "eddy.toml"][..], &["token", "list", "eddy.toml"], &["state", "list", "eddy.toml"]]
    {
        let output = eddy(&deployment, command);
        shown += &String::from_utf8_lossy(&[output.stdout, output.stderr].concat());
    }
    assert!(shown.contains("note: sink broker sends its password or token in clear"), "as `check` says");
    shown += &said;
    shown += &std::fs::read_to_string(deployment.data().join("access/audit.jsonl")).unwrap();
    assert!(shown.len() > 100_000 && shown.contains("POST /feedback/"), "{} bytes", shown.len());
    for secret in secrets {
        // The head of an answer is put in small letters.
        let found = shown.find(&secret).or_else(|| shown.find(&secret.to_ascii_lowercase()));
        let around = found.map(|at| shown[at.saturating_sub(200)..].chars().take(260).collect::<String>());
        assert_eq!(around, None, "a secret is shown");
    }
}

/// Where `scripts/setup` puts it.
fn schemathesis() -> std::path::PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(std::path::PathBuf::from);
    let home = std::env::home_dir().unwrap_or_default().join(".cache");
    cache.unwrap_or(home).join("eddy/schemathesis/bin/schemathesis")
}

#[test]
fn the_api_answers_as_it_is_described_whatever_it_is_asked() {
    let program = schemathesis();
    assert!(Path::new(&program).exists(), "{} is missing: run scripts/setup", program.display());
    let (source, page) = (local(), local());
    let deployment = deployment(source, &format!("listen = \"{page}\""), NOWHERE);
    let token = add(&deployment, "admin", "admin");
    let mut eddy = deployment.start();
    let mut rows = plant::rows(4, 300, 3, 0..0);
    expect::break_pump(&mut rows, 1, 200..260);
    rows.extend(expect::closers(&rows, 4));
    send(source, &rows);
    eddy.until("an alert", |_| {
        let alerts = ask(page, "/api/v1/alerts", &token).json();
        (!alerts["rows"].as_array()?.is_empty()).then_some(())
    });
    let run = Command::new(program)
        .args(["run", &format!("http://{page}/api/v1/openapi.json")])
        .args(["--header", &format!("Authorization: Bearer {token}")])
        // Events that go on for ever are no answer that ends.
        .args(["--exclude-path", "/api/v1/live"])
        .args([
            "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        ])
        .args(["--phases", "examples,coverage,fuzzing", "--max-examples", "30", "--seed", "1"])
        .args(["--generation-deterministic", "--no-color"])
        .current_dir(deployment.folder.path())
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&run.stdout) + String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}");
    assert!(said.contains("/api/v1/models/rollback") || said.contains("Operations:"), "{said}");
    let key = Key::read_or_make(&deployment.data().join("access")).expect("a key").local(0).0;
    assert_eq!(ask(page, "/api/v1/status", &key).status, 401, "a bearer of the command line does not last");
}
