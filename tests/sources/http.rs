//! The HTTP source over a socket: every answer, and what reaches the log.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::support::mosquitto::free_port;
use crate::support::{self, FakeLog, Rig, STEP_MAX, read, texts};
use eddy::config::plan::{HttpPlan, SourceKind};
use eddy::connections::Limits;
use eddy::source::http::{AnsweredKey, LIMITS, serve as serve_listener};
use eddy::source::{Ended, SourceError};
use eddy::stage::{NotSafe, RejectedRow, RowReport, Validate};
use eddy::types::Reason;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const BODY_BYTES_MAX: usize = 1000;

struct Server {
    rig: Rig,
    client: Client,
    base: String,
    task: tokio::task::JoinHandle<Result<Ended, SourceError>>,
}

/// Rows are lines; `bad` is rejected. Words depend on the arrival where the line asks for it, as those
/// of a time too far ahead do.
fn validate() -> Validate {
    Arc::new(|message| {
        let mut report = RowReport::default();
        for (row, line) in String::from_utf8_lossy(&message.payload).lines().enumerate() {
            let detail = match line {
                "bad" => "not a number".to_owned(),
                "when" => format!("arrived at {}", message.arrival.0),
                _ => {
                    report.accepted += 1;
                    continue;
                }
            };
            report.rejected.push(RejectedRow { row: row as u32, reason: Reason::BadValue, detail });
        }
        report
    })
}

async fn serve(token: Option<&str>) -> (Server, FakeLog) {
    let plan = HttpPlan {
        listen: ([127, 0, 0, 1], free_port()).into(),
        token: token.map(str::to_owned),
        max_body_bytes: BODY_BYTES_MAX,
    };
    let base = format!("http://{}", plan.listen);
    let (mut rig, log) = Rig::new(SourceKind::Http(plan));
    rig.context.validate = validate();
    let task = rig.spawn();
    rig.until_connected().await;
    (Server { rig, client: Client::new(), base, task }, log)
}

impl Server {
    fn post(&self, body: &str) -> RequestBuilder {
        let url = format!("{}/v1/events/pumps", self.base);
        self.client.post(url).header("content-type", "application/x-ndjson").body(body.to_owned())
    }

    fn keyed(&self, key: &str, body: &str) -> RequestBuilder {
        self.post(body).header("idempotency-key", key)
    }

    async fn stop(self) {
        support::stop(&self.rig, self.task).await;
    }
}

async fn send(request: RequestBuilder) -> Response {
    timeout(STEP_MAX, request.send()).await.expect("an answer in time").expect("an answer")
}

async fn body(response: Response) -> Value {
    serde_json::from_str(&response.text().await.unwrap()).expect("JSON")
}

/// The answer has this status, and says in JSON what is wrong and what to do.
async fn refused(response: Response, status: u16, error: &str, remedy: &str) -> Value {
    assert_eq!(response.status().as_u16(), status);
    assert_eq!(response.headers()["content-type"], "application/json");
    let body = body(response).await;
    assert!(body["error"].as_str().unwrap().contains(error), "{body}");
    assert!(body["remedy"].as_str().unwrap().contains(remedy), "{body}");
    body
}

#[tokio::test]
async fn good_rows_are_answered_after_the_log_has_them() {
    let (server, mut log) = serve(None).await;
    let request = tokio::spawn(server.post("a\nbad\nb").send());
    let submission = log.next().await;
    assert_eq!(texts(&submission.messages), ["a\nbad\nb"]);
    assert_eq!((&*submission.messages[0].topic, &*submission.messages[0].source), ("pumps", "plant"));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!request.is_finished(), "answered before the log had it");
    let _ = submission.logged.send(Ok(()));
    let response = request.await.unwrap().unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let rejected = json!([{"row": 1, "reason": "bad_value", "detail": "not a number"}]);
    assert_eq!(body(response).await, json!({"accepted": 2, "rejected": rejected}));
    assert_eq!(read(&server.rig.status().acked_total), 1);
    server.stop().await;
}

/// Served with these limits, on a port of its own.
async fn limited(limits: Limits) -> (Rig, SocketAddr, tokio::task::JoinHandle<Ended>, FakeLog) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let plan = HttpPlan { listen: address, token: None, max_body_bytes: BODY_BYTES_MAX };
    let (rig, log) = Rig::new(SourceKind::Http(plan.clone()));
    let context = rig.context.clone();
    let serving =
        tokio::spawn(async move { serve_listener(listener, &plan, "plant".into(), context, limits).await });
    (rig, address, serving, log)
}

#[tokio::test]
async fn one_who_sends_ever_so_slowly_is_hung_up_on() {
    let limits = Limits { head: Duration::from_secs(1), body: Duration::from_secs(1), ..LIMITS };
    let (rig, address, serving, log) = limited(limits).await;
    log.accept_from_now_on();
    let mut slow = TcpStream::connect(address).await.unwrap();
    let (mut answer, mut to) = slow.split();
    let mut rest = Vec::new();
    let drip = async {
        while to.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        // Closed in the midst of what was sent: an end or a reset.
        _ = answer.read_to_end(&mut rest) => {}
        () = drip => {}
        () = tokio::time::sleep(STEP_MAX) => panic!("a head that never ends is waited for"),
    }

    let mut slow = TcpStream::connect(address).await.unwrap();
    let head = "POST /v1/events/pumps HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{";
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = timeout(STEP_MAX, slow.read(&mut answer))
        .await
        .expect("a body that never ends is waited for")
        .unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]);
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");

    let good = Client::new().post(format!("http://{address}/v1/events/pumps"));
    let good = good.header("content-type", "application/x-ndjson").body("a");
    assert_eq!(send(good).await.status(), StatusCode::OK);
    rig.context.shutdown.cancel();
    assert_eq!(timeout(STEP_MAX, serving).await.expect("it stops").unwrap(), Ended::Shutdown);
}

#[test]
fn the_readme_says_how_long_is_waited() {
    let readme = include_str!("../../README.md");
    assert!(readme.contains(&format!("| 408 | The body took longer than {} s |", LIMITS.body.as_secs())));
    assert!(readme.contains(&format!("within {} s of the last answer is closed", LIMITS.head.as_secs())));
}

#[tokio::test]
async fn nothing_is_logged_of_a_request_that_is_refused() {
    let (server, mut log) = serve(None).await;
    let answer = refused(send(server.post("bad\nbad")).await, 400, "none of 2 rows", "detail").await;
    assert_eq!(answer["accepted"], 0);
    assert_eq!(answer["rejected"][1]["row"], 1);
    refused(send(server.post("")).await, 400, "no row", "at least one").await;

    let large = "x".repeat(BODY_BYTES_MAX + 1);
    refused(send(server.post(&large)).await, 413, "larger than 1000 bytes", "`max_body`").await;

    let post = |path: &str| server.client.post(format!("{}{path}", server.base)).body("a");
    let typed = |path: &str, value: &str| post(path).header("content-type", value.to_owned());
    let pumps = "/v1/events/pumps";
    refused(send(typed(pumps, "text/csv")).await, 415, "text/csv", "application/x-ndjson").await;
    refused(send(post(pumps)).await, 415, "\"\"", "application/json").await;
    let packed = typed(pumps, "application/json").header("content-encoding", "gzip");
    refused(send(packed).await, 415, "gzip", "uncompressed").await;
    refused(send(typed("/v1/events/other", "application/json")).await, 404, "other", "fans, lines, pumps")
        .await;
    refused(send(typed("/v1/events/%FF", "application/json")).await, 404, "%FF", "/v1/events/STREAM").await;
    refused(send(post("/elsewhere")).await, 404, "/elsewhere", "/v1/events/STREAM").await;
    refused(send(server.keyed("", "a")).await, 400, "Idempotency-Key", "UUID").await;
    refused(send(server.keyed(&"k".repeat(256), "a")).await, 400, "255", "UUID").await;

    let get = send(server.client.request(Method::GET, format!("{}{pumps}", server.base))).await;
    assert_eq!(get.headers()["allow"], "POST");
    refused(get, 405, "GET", "POST").await;
    log.stays_empty(Duration::from_millis(100)).await;
    let status = server.rig.status();
    let counted = (read(&status.messages_total), read(&status.refused_total));
    assert_eq!(counted, (0, 10), "all that came for a stream");
    server.stop().await;
}

#[tokio::test]
async fn content_type_parameters_and_case_do_not_matter() {
    let (server, log) = serve(None).await;
    log.accept_from_now_on();
    let url = format!("{}/v1/events/fans", server.base);
    let request =
        server.client.post(url).header("content-type", "Application/JSON; charset=utf-8").body("{}");
    assert_eq!(send(request).await.status(), StatusCode::OK);
    server.stop().await;
}

#[tokio::test]
async fn a_body_must_say_that_it_has_its_streams_format() {
    let (server, log) = serve(None).await;
    log.accept_from_now_on();
    for (stream, csv, json) in [("lines", 200, 415), ("fans", 415, 200)] {
        for (content, wanted) in [("text/csv", csv), ("application/json", json)] {
            let url = format!("{}/v1/events/{stream}", server.base);
            let answer = send(server.client.post(url).header("content-type", content).body("1,2")).await;
            assert_eq!(answer.status().as_u16(), wanted, "{stream} {content}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_token_is_asked_for_and_compared() {
    let (server, log) = serve(Some("s3cret")).await;
    let logged = log.accept_from_now_on();
    let challenge = send(server.post("a")).await;
    assert_eq!(challenge.headers()["www-authenticate"], "Bearer realm=\"eddy\"");
    refused(challenge, 401, "bearer token", "Authorization: Bearer").await;
    refused(send(server.post("a").basic_auth("s3cret", Some(""))).await, 401, "bearer token", "Bearer").await;
    for wrong in ["", "s3cre", "s3cret2", "S3CRET"] {
        let denied = send(server.post("a").header("authorization", format!("Bearer {wrong}"))).await;
        assert_eq!(denied.status(), StatusCode::UNAUTHORIZED, "{wrong:?}");
    }
    let denied = send(server.post("a").bearer_auth("s3cret2")).await;
    assert_eq!(denied.headers()["www-authenticate"], "Bearer realm=\"eddy\", error=\"invalid_token\"");
    assert!(logged.lock().unwrap().is_empty());
    let granted = server.post("a").header("authorization", "bearer s3cret");
    assert_eq!(send(granted).await.status(), StatusCode::OK);
    server.stop().await;
}

#[tokio::test]
async fn an_unsafe_log_is_a_503_and_the_key_stays_free() {
    let (server, mut log) = serve(None).await;
    for request in [server.post("a"), server.keyed("k", "a")] {
        let answer = tokio::spawn(request.send());
        log.refuse().await;
        let answer = answer.await.unwrap().unwrap();
        assert_eq!(answer.headers()["retry-after"], "5");
        refused(answer, 503, "nothing of this request was kept", "free disk space").await;
    }
    let again = tokio::spawn(server.keyed("k", "a").send());
    assert_eq!(texts(&log.accept(1).await), ["a"]);
    assert_eq!(again.await.unwrap().unwrap().status(), StatusCode::OK);
    server.stop().await;
}

#[tokio::test]
async fn a_repeated_key_gets_the_first_answer_and_is_logged_once() {
    let (server, log) = serve(None).await;
    let logged = log.accept_from_now_on();
    let first = body(send(server.keyed("k", "a\nwhen")).await).await;
    let second = body(send(server.keyed("k", "a\nwhen")).await).await;
    assert_eq!(first, second);
    refused(send(server.keyed("k", "b")).await, 422, "another body", "new key").await;
    // All bad, and yet the key is what is wrong first.
    refused(send(server.keyed("k", "bad")).await, 422, "another body", "new key").await;
    let kept = logged.lock().unwrap().clone();
    assert_eq!(texts(&kept), ["a\nwhen"]);
    assert_eq!(kept[0].idempotency_key.as_deref(), Some("k"));

    // After a restart the index is refilled from the log.
    let (restarted, mut log) = serve(None).await;
    let answered = AnsweredKey::of(&kept[0]).expect("it has a key");
    restarted.rig.context.answered.remember(&answered);
    assert_eq!(body(send(restarted.keyed("k", "a\nwhen")).await).await, first);
    refused(send(restarted.keyed("k", "b")).await, 422, "another body", "new key").await;
    log.stays_empty(Duration::from_millis(100)).await;
    server.stop().await;
    restarted.stop().await;
}

#[tokio::test]
async fn concurrent_repeats_wait_for_the_first() {
    let (server, mut log) = serve(None).await;
    let requests: Vec<_> = (0..8).map(|_| tokio::spawn(server.keyed("k", "a").send())).collect();
    let submission = log.next().await;
    log.stays_empty(Duration::from_millis(200)).await;
    assert!(requests.iter().all(|request| !request.is_finished()));
    let _ = submission.logged.send(Ok(()));
    for request in requests {
        let response = timeout(STEP_MAX, request).await.expect("an answer").unwrap().unwrap();
        assert_eq!(body(response).await, json!({"accepted": 1, "rejected": []}));
    }
    log.stays_empty(Duration::from_millis(100)).await;
    assert_eq!(read(&server.rig.status().messages_total), 1);

    let requests: Vec<_> = (0..4).map(|_| tokio::spawn(server.keyed("k2", "a").send())).collect();
    let submission = log.next().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let _ = submission.logged.send(Err(NotSafe));
    for request in requests {
        let response = timeout(STEP_MAX, request).await.expect("an answer").unwrap().unwrap();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
    log.stays_empty(Duration::from_millis(100)).await;
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_left_is_remembered_all_the_same() {
    let (server, mut log) = serve(None).await;
    let left = tokio::spawn(server.keyed("k", "a").send());
    let submission = log.next().await;
    left.abort();
    let _ = left.await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let _ = submission.logged.send(Ok(()));
    assert_eq!(send(server.keyed("k", "a")).await.status(), StatusCode::OK);
    log.stays_empty(Duration::from_millis(100)).await;
    server.stop().await;
}

#[tokio::test]
async fn a_stop_answers_what_is_under_way() {
    let (server, mut log) = serve(None).await;
    let request = tokio::spawn(server.post("a").send());
    let submission = log.next().await;
    server.rig.context.shutdown.cancel();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!server.task.is_finished());
    let _ = submission.logged.send(Ok(()));
    assert_eq!(request.await.unwrap().unwrap().status(), StatusCode::OK);
    server.stop().await;
}

#[tokio::test]
async fn an_address_in_use_is_told_with_its_remedy() {
    let (server, _log) = serve(None).await;
    let second = eddy::source::run(&server.rig.plan, server.rig.context.clone()).await;
    let text = second.expect_err("the port is taken").to_string();
    assert!(text.contains("cannot listen on 127.0.0.1") && text.contains("another `listen`"), "{text}");
    server.stop().await;
}
