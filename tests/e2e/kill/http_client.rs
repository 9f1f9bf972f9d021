//! A client that posts rows in small batches over several connections and repeats every request that was
//! not answered 2xx, under the same `Idempotency-Key`, until it is.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::e2e::WAIT_MAX;
use crate::e2e::http::{self, Unanswered};
use crate::plant::Row;

const ROWS_A_REQUEST: usize = 6;
const WORKERS: usize = 8;
/// No request is begun this far ahead of the oldest unanswered one: rows stay within the lateness.
const AHEAD_MAX: usize = 24;
const RETRY: Duration = Duration::from_millis(5);

#[derive(Clone)]
pub struct Client(Arc<Shared>);

struct Shared {
    address: SocketAddr,
    name: &'static str,
    bodies: Vec<String>,
    /// Next request to begin; those begun and not answered.
    queue: Mutex<(usize, Vec<usize>)>,
    answered: Condvar,
    acked: AtomicU64,
    broken: AtomicU64,
}

impl Client {
    pub fn new(port: u16, rows: &[Row]) -> Self {
        let body = |rows: &[Row]| -> String {
            rows.iter()
                .map(|row| String::from_utf8_lossy(&row.message().payload).into_owned() + "\n")
                .collect()
        };
        Client(Arc::new(Shared {
            address: ([127, 0, 0, 1], port).into(),
            name: "batch",
            bodies: rows.chunks(ROWS_A_REQUEST).map(body).collect(),
            queue: Mutex::default(),
            answered: Condvar::new(),
            acked: AtomicU64::new(0),
            broken: AtomicU64::new(0),
        }))
    }

    /// Sets the prefix of the idempotency keys; before anything is shared.
    pub fn named(mut self, name: &'static str) -> Self {
        Arc::get_mut(&mut self.0).expect("not shared yet").name = name;
        self
    }

    pub fn requests(&self) -> u64 {
        self.0.bodies.len() as u64
    }

    /// Requests answered 2xx.
    pub fn acked(&self) -> u64 {
        self.0.acked.load(SeqCst)
    }

    /// Requests that were sent and got no answer.
    pub fn broken(&self) -> u64 {
        self.0.broken.load(SeqCst)
    }

    pub fn start(&self) -> Vec<JoinHandle<()>> {
        let worker = |_| {
            let shared = self.0.clone();
            std::thread::spawn(move || shared.work())
        };
        (0..WORKERS).map(worker).collect()
    }
}

impl Shared {
    fn work(&self) {
        while let Some(request) = self.begin() {
            self.post(request);
            self.queue.lock().unwrap().1.retain(|begun| *begun != request);
            self.answered.notify_all();
        }
    }

    fn begin(&self) -> Option<usize> {
        let mut queue = self.queue.lock().unwrap();
        loop {
            let next = queue.0;
            if next == self.bodies.len() {
                return None;
            }
            let oldest = queue.1.iter().min().copied().unwrap_or(next);
            if next - oldest < AHEAD_MAX {
                queue.0 += 1;
                queue.1.push(next);
                return Some(next);
            }
            queue = self.answered.wait(queue).unwrap();
        }
    }

    fn post(&self, request: usize) {
        let key = format!("{}-{request}", self.name);
        let headers = [("Content-Type", "application/x-ndjson"), ("Idempotency-Key", &key)];
        let deadline = Instant::now() + WAIT_MAX;
        loop {
            let body = self.bodies[request].as_bytes();
            match http::request(self.address, "POST", "/v1/events/pumps", &headers, body) {
                Ok(answer) if answer.status == 200 => break,
                Err(Unanswered::Broken(_)) => _ = self.broken.fetch_add(1, SeqCst),
                Err(Unanswered::Unsent(_)) => {}
                Ok(answer) => panic!("{}: {}", answer.status, answer.text()),
            }
            assert!(Instant::now() < deadline, "{key} was never answered");
            std::thread::sleep(RETRY);
        }
        self.acked.fetch_add(1, SeqCst);
    }
}
