//! A local webhook receiver, as a customer would write one from the Standard Webhooks specification:
//! it trusts nothing that is not signed with its secret. Shares no code with the sink.

use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::types::{Decision, EventTime, Receipt};

/// The specification's tolerance against replayed messages.
const TIMESTAMP_TOLERANCE_S: u64 = 300;

/// One verified alert.
#[derive(Clone, Debug)]
pub struct Received {
    /// Real seconds since the receiver started.
    pub at_s: f64,
    pub decision: Decision,
    /// `[start, end)` of the window or the cell it is about.
    pub start: EventTime,
    pub end: EventTime,
    pub receipt: Receipt,
}

#[derive(serde::Deserialize)]
struct Body {
    r#type: String,
    data: Data,
}

#[derive(serde::Deserialize)]
struct Data {
    #[serde(flatten)]
    decision: Decision,
    receipt: Receipt,
}

#[derive(Debug, Default)]
struct Inbox {
    ids: HashSet<String>,
    received: Vec<Received>,
    duplicates: u64,
    refused: u64,
}

#[derive(Clone)]
struct Shared {
    key: Arc<[u8]>,
    started: Instant,
    inbox: Arc<Mutex<Inbox>>,
}

impl Shared {
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        // Every change of the inbox is complete in itself, so a panic elsewhere leaves it sound.
        self.inbox.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// Listens on a free loopback port until dropped.
pub struct Receiver {
    address: SocketAddr,
    shared: Shared,
    server: JoinHandle<()>,
}

impl Receiver {
    /// `key` is the secret's bytes, without `whsec_` and base64. `started` is what `at_s` counts from.
    pub async fn start(key: &[u8], started: Instant) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Shared { key: key.into(), started, inbox: Arc::default() };
        let routes = Router::new().route("/alerts", post(take)).with_state(shared.clone());
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, routes).await {
                tracing::error!(%error, "the demo's receiver stopped");
            }
        });
        Ok(Receiver { address, shared, server })
    }

    pub fn url(&self) -> String {
        format!("http://{}/alerts", self.address)
    }

    /// Alerts from the `skip`-th on, in order of receipt; each `webhook-id` once.
    pub fn received_from(&self, skip: usize) -> Vec<Received> {
        self.shared.inbox().received.iter().skip(skip).cloned().collect()
    }

    /// Deliveries of an id already received.
    pub fn duplicates(&self) -> u64 {
        self.shared.inbox().duplicates
    }

    /// Requests without a valid signature, or with a body that is not an alert.
    pub fn refused(&self) -> u64 {
        self.shared.inbox().refused
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn take(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let at_s = shared.started.elapsed().as_secs_f64();
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut inbox = shared.inbox();
    let Some(id) = verify(&shared.key, &headers, &body, now_s) else {
        inbox.refused += 1;
        return StatusCode::UNAUTHORIZED;
    };
    let Some(Data { decision, receipt }) = read(&body) else {
        inbox.refused += 1;
        return StatusCode::BAD_REQUEST;
    };
    if inbox.ids.insert(id.to_owned()) {
        // Faults are in the values: that a pump is silent is true or not by itself.
        if let Some((start, end)) = decision.span() {
            inbox.received.push(Received { at_s, decision, start, end, receipt });
        }
    } else {
        inbox.duplicates += 1;
    }
    StatusCode::NO_CONTENT
}

fn read(body: &[u8]) -> Option<Data> {
    let body: Body = serde_json::from_slice(body).ok()?;
    (body.r#type == body.data.decision.event_type()).then_some(body.data)
}

/// The `webhook-id` of a message signed with `key` (Standard Webhooks, section "Verifying signatures"):
/// one `v1` signature of the space-delimited list must match, the timestamp must be recent.
fn verify<'a>(key: &[u8], headers: &'a HeaderMap, body: &[u8], now_s: u64) -> Option<&'a str> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let (id, timestamp) = (header("webhook-id")?, header("webhook-timestamp")?);
    if timestamp.parse::<u64>().ok()?.abs_diff(now_s) > TIMESTAMP_TOLERANCE_S {
        return None;
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    let genuine = header("webhook-signature")?
        .split(' ')
        .filter_map(|signature| signature.strip_prefix("v1,"))
        .filter_map(|encoded| STANDARD.decode(encoded).ok())
        .any(|signature| mac.clone().verify_slice(&signature).is_ok());
    genuine.then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"a key of twenty-four bytes at least";
    const NOW_S: u64 = 1_767_225_600;

    fn signed(id: &str, at_s: u64, body: &[u8], key: &[u8]) -> HeaderMap {
        let signer = standardwebhooks::Webhook::from_bytes(key.to_vec()).unwrap();
        let signature = signer.sign(id, at_s as i64, body).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", id.parse().unwrap());
        headers.insert("webhook-timestamp", at_s.to_string().parse().unwrap());
        headers.insert("webhook-signature", signature.parse().unwrap());
        headers
    }

    #[test]
    fn accepts_what_the_reference_library_signs_and_nothing_else() {
        let good = signed("a_1", NOW_S, b"{}", KEY);
        assert_eq!(verify(KEY, &good, b"{}", NOW_S), Some("a_1"));
        assert_eq!(verify(KEY, &good, b"{ }", NOW_S), None, "changed body");
        assert_eq!(verify(b"another key of twenty-four bytes", &good, b"{}", NOW_S), None, "other key");
        assert_eq!(verify(KEY, &good, b"{}", NOW_S + 301), None, "too old");
        let mut renamed = good.clone();
        renamed.insert("webhook-id", "a_2".parse().unwrap());
        assert_eq!(verify(KEY, &renamed, b"{}", NOW_S), None, "changed id");
        let mut rotated = good.clone();
        let list = format!("v1,AAAA {}", good["webhook-signature"].to_str().unwrap());
        rotated.insert("webhook-signature", list.parse().unwrap());
        assert_eq!(verify(KEY, &rotated, b"{}", NOW_S), Some("a_1"), "one of several");
    }

    #[tokio::test]
    async fn stores_an_alert_once_and_counts_the_rest() {
        let receiver = Receiver::start(KEY, Instant::now()).await.unwrap();
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let alert = super::super::report::fixtures::alert("pump-01", "a", 0, 64);
        let mut data = serde_json::to_value(&alert.decision).unwrap();
        data["receipt"] = serde_json::to_value(&alert.receipt).unwrap();
        let body =
            serde_json::json!({"type": "anomaly.raised", "timestamp": "2026-01-07T08:00:00Z", "data": data});
        let body = body.to_string();
        let client = reqwest::Client::new();
        let post =
            |headers: HeaderMap| client.post(receiver.url()).headers(headers).body(body.clone()).send();
        let headers = signed("a_0", now_s, body.as_bytes(), KEY);
        assert_eq!(post(headers.clone()).await.unwrap().status(), 204);
        assert_eq!(post(headers).await.unwrap().status(), 204);
        assert_eq!(post(HeaderMap::new()).await.unwrap().status(), 401);
        let received = receiver.received_from(0);
        assert_eq!(received.len(), 1);
        assert_eq!(received[0].decision, alert.decision);
        assert_eq!((receiver.duplicates(), receiver.refused()), (1, 1));
    }
}
