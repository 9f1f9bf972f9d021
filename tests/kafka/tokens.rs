//! OAUTHBEARER between the release binary and a real Kafka that checks unsecured tokens: they are fetched by Eddy itself from
//! a server that is away at first, and asked for again before their time is over.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::e2e::eddy::{Deployment, config};
use crate::e2e::expect::now_ns;
use crate::e2e::group::{ALERTS, NOBODY, STATE, until_committed};
use crate::e2e::kafka::{Kafka, Listener, Sent};
use crate::e2e::topic::{PARTITIONS, TOPIC, rows, send};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;

const DEAD: &str = "plant-dead";
/// Longer than two tokens hold. The broker hangs up on who has not shown a new one by then.
const LONG: Duration = Duration::from_secs(12);
const HOLDS_S: i64 = 5;

/// Gives tokens that hold for some seconds, but not to the first who asks.
struct Server {
    address: SocketAddr,
    given: Arc<AtomicUsize>,
    /// What the last request was.
    asked: Arc<Mutex<(String, String)>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (given, asked) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::default()));
        let (counted, kept) = (given.clone(), asked.clone());
        std::thread::spawn(move || {
            for (at, connection) in listener.incoming().enumerate() {
                answer(connection.expect("a connection"), at, &counted, &kept);
            }
        });
        Server { address, given, asked }
    }
}

fn answer(mut connection: TcpStream, at: usize, given: &AtomicUsize, asked: &Mutex<(String, String)>) {
    let mut reader = BufReader::new(connection.try_clone().expect("a second handle"));
    let (mut authorization, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a request");
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length: ") {
            length = value.trim().parse().expect("a length");
        } else if lower.starts_with("authorization: ") {
            line["authorization: ".len()..].trim().clone_into(&mut authorization);
        } else if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");
    *asked.lock().unwrap() = (authorization, String::from_utf8(body).expect("a form"));
    let (status, text) = match at {
        0 => ("503 Service Unavailable", String::new()),
        _ => (
            "200 OK",
            json!({ "access_token": token(), "token_type": "Bearer", "expires_in": HOLDS_S }).to_string(),
        ),
    };
    given.fetch_add(usize::from(at > 0), SeqCst);
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", text.len());
    connection.write_all((head + &text).as_bytes()).expect("it listens");
}

/// As Kafka's own validator of unsecured tokens wants it (RFC 7515, `alg` none).
fn token() -> String {
    let now_s = now_ns() / 1_000_000_000;
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({ "sub": "eddy", "iat": now_s, "exp": now_s + HOLDS_S });
    format!("{}.{}.", part(json!({ "alg": "none" })), part(claims))
}

fn broker() -> Kafka {
    let config = "listener.name.tokens.sasl.enabled.mechanisms=OAUTHBEARER\n\
                  listener.name.tokens.oauthbearer.connections.max.reauth.ms=60000\n\
                  listener.name.tokens.oauthbearer.sasl.jaas.config=\
                  org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;";
    let listener = Listener { name: "TOKENS", protocol: "SASL_PLAINTEXT", config: config.to_owned() };
    let kafka = Kafka::start_with(&[listener], &[]);
    // Eddy makes none where it goes by tokens.
    [TOPIC, ALERTS].iter().for_each(|topic| kafka.make_topic(topic, PARTITIONS));
    kafka.make_topic(DEAD, 1);
    kafka.make_topic_with(STATE, PARTITIONS, &[("cleanup.policy", "compact")]);
    kafka
}

fn deployment(kafka: &Kafka, server: &Server, more: &str) -> Deployment {
    let source = format!(
        "[source.plant]\ntype = \"kafka\"\nbrokers = \"localhost:{}\"\ntopics = \"{TOPIC}\"\ndead_letters = \"{DEAD}\"\n{more}\n\
         [source.plant.sasl]\nmechanism = \"OAUTHBEARER\"\ntoken_url = \"http://{}/token\"\nclient_id = \"ed:dy\"\n\
         client_secret = \"s&cret\"\nscope = \"kafka plant\"",
        kafka.ports["TOKENS"], server.address
    );
    Deployment::new(&config(&source, "[\"plant\"]", "max_future = \"none\"", NOBODY))
}

fn send_bad(kafka: &Kafka) {
    let producer = kafka.producer();
    producer.send(&Sent::new(TOPIC, 0, b"{"));
    producer.flush();
}

#[test]
fn tokens_are_fetched_and_renewed() {
    let (kafka, server) = (broker(), Server::start());
    let rows = rows(20_000);
    let (first, second) = rows.split_at(10_000);
    let everything = AtomicUsize::new(usize::MAX);
    send(&kafka.producer(), first, &everything);
    send_bad(&kafka);
    let deployment = deployment(&kafka, &server, "");
    let mut eddy = deployment.start();
    eddy.until("the first rows", |eddy| (eddy.events() == 10_000).then_some(()));
    let said = eddy.said();
    assert!(said.contains("answered 503") && said.contains("`token_url`"), "{said}");
    assert!(!said.contains("the broker refuses"), "it was not asked: {said}");
    let (authorization, form) = server.asked.lock().unwrap().clone();
    assert_eq!(authorization, format!("Basic {}", STANDARD.encode("ed%3Ady:s%26cret")));
    assert_eq!(form, "grant_type=client_credentials&scope=kafka+plant");
    eddy.until("a letter", |_| (kafka.all_committed(DEAD).len() == 1).then_some(()));
    std::thread::sleep(LONG);
    send_bad(&kafka);
    send(&kafka.producer(), second, &everything);
    eddy.until("the other rows", |eddy| (eddy.events() == 20_000).then_some(()));
    eddy.until("another letter", |_| (kafka.all_committed(DEAD).len() == 2).then_some(()));
    assert!(server.given.load(SeqCst) >= 4, "{} tokens for {LONG:?}", server.given.load(SeqCst));
    let (status, said) = eddy.stop();
    assert!(status.success(), "{status}; it said:\n{said}");
    assert!(!said.contains("s&cret"), "{said}");
}

#[test]
fn several_show_tokens_too() {
    let (kafka, server) = (broker(), Server::start());
    let rows = rows(20_000);
    let (first, second) = rows.split_at(10_000);
    let everything = AtomicUsize::new(usize::MAX);
    send(&kafka.producer(), first, &everything);
    let more = format!("shared = {{ alerts = \"{ALERTS}\", state = \"{STATE}\" }}");
    let deployment = deployment(&kafka, &server, &more);
    let eddy = deployment.start();
    until_committed(&kafka, 10_000, |_| {});
    std::thread::sleep(LONG);
    send_bad(&kafka);
    send(&kafka.producer(), second, &everything);
    until_committed(&kafka, 20_001, |_| {});
    assert_eq!((eddy.events(), kafka.all_committed(DEAD).len()), (20_000, 1));
    let (status, said) = eddy.stop();
    assert!(status.success(), "{status}; it said:\n{said}");
}
