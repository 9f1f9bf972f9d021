//! HTTP/1.1 over a kept-open socket: as little client as will do, since it shares the machine.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::fleet;

pub struct Connection {
    reader: BufReader<TcpStream>,
    port: u16,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Connection {
    pub fn open(port: u16) -> std::io::Result<Self> {
        let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Connection { reader: BufReader::new(socket), port, request: Vec::new(), answer: Vec::new() })
    }

    /// Status code and body.
    pub fn get(&mut self, path: &str) -> std::io::Result<(u16, String)> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", self.port);
        self.reader.get_mut().write_all(request.as_bytes())?;
        let code = self.read_answer()?;
        Ok((code, String::from_utf8_lossy(&self.answer).into_owned()))
    }

    /// Posts a body of events; panics unless they are taken.
    pub fn post(&mut self, body: &[u8]) {
        self.request.clear();
        write!(
            self.request,
            "POST /v1/events/pumps HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/x-ndjson\r\n\
             Content-Length: {}\r\n\r\n",
            self.port,
            body.len()
        )
        .expect("memory takes it");
        self.request.extend_from_slice(body);
        self.reader.get_mut().write_all(&self.request).expect("eddy reads on");
        let code = self.read_answer().expect("eddy answers");
        assert_eq!(code, 200, "{}", String::from_utf8_lossy(&self.answer));
    }

    fn read_answer(&mut self) -> std::io::Result<u16> {
        let (mut code, mut length) = (0, 0);
        let mut line = String::new();
        loop {
            line.clear();
            self.reader.read_line(&mut line)?;
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(rest) = line.strip_prefix("http/1.1 ") {
                code = rest[..3].parse().expect("a status code");
            } else if let Some(rest) = line.strip_prefix("content-length: ") {
                length = rest.parse().expect("a length");
            }
        }
        self.answer.resize(length, 0);
        self.reader.read_exact(&mut self.answer)?;
        Ok(code)
    }
}

/// How requests are paced.
#[derive(Clone, Copy)]
pub enum Pace {
    /// The next as soon as the last is answered, on each connection.
    Closed,
    /// One each so often, whatever the answers do: latency counts from when it was due.
    Open(Duration),
}

#[derive(Clone, Copy)]
pub struct Load {
    pub keys: u64,
    /// Where in the fleet's endless stream of rows to start.
    pub first_row: u64,
    pub rows_a_request: u64,
    pub connections: usize,
    pub pace: Pace,
    pub run_for: Duration,
    /// Requests after which to stop even before that.
    pub requests_max: u64,
}

/// What was sent, and how long the answers took: from the due time when open, from sending when closed.
pub struct Sent {
    pub rows: u64,
    pub took: Duration,
    pub response: Histogram<u64>,
}

/// Event time by which a request may be ahead of the oldest one not answered, s: half the lateness, so
/// that a stalled connection delays rows and never makes them late. Open-loop times go on counting.
const AHEAD_MAX_S: u64 = 2;

/// Sends the fleet's rows in order over several connections, which draw requests from one counter.
pub fn drive(port: u16, load: Load) -> Sent {
    let shared = Shared {
        start: Instant::now(),
        next: AtomicU64::new(0),
        under_way: (0..load.connections).map(|_| AtomicU64::new(0)).collect(),
    };
    let (shared, start) = (&shared, shared.start);
    let histograms: Vec<Histogram<u64>> = std::thread::scope(|scope| {
        let start_one = |own| scope.spawn(move || worker(port, load, shared, own));
        let workers: Vec<_> = (0..load.connections).map(start_one).collect();
        workers.into_iter().map(|worker| worker.join().expect("a worker ends")).collect()
    });
    let mut response = histogram();
    for part in &histograms {
        response.add(part).expect("same bounds");
    }
    Sent { rows: response.len() * load.rows_a_request, took: start.elapsed(), response }
}

pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000_000, 3).expect("constant bounds are valid")
}

struct Shared {
    start: Instant,
    next: AtomicU64,
    /// Of each worker: no request before this one is still its own to send.
    under_way: Vec<AtomicU64>,
}

impl Shared {
    /// The next request. What this worker has under way is never later than it says.
    fn take(&self, own: usize) -> u64 {
        self.under_way[own].store(self.next.load(Ordering::SeqCst), Ordering::SeqCst);
        let request = self.next.fetch_add(1, Ordering::SeqCst);
        self.under_way[own].store(request, Ordering::SeqCst);
        request
    }

    /// Waits until a request is not too far ahead of the others'.
    fn keep_together(&self, request: u64, load: &Load) {
        let ahead_max = (AHEAD_MAX_S * load.keys / load.rows_a_request).max(1);
        let oldest = || self.under_way.iter().map(|r| r.load(Ordering::SeqCst)).min().unwrap_or(request);
        while request > oldest() + ahead_max {
            std::thread::sleep(Duration::from_micros(50));
        }
    }
}

fn worker(port: u16, load: Load, shared: &Shared, own: usize) -> Histogram<u64> {
    let mut connection = Connection::open(port).expect("eddy listens");
    let mut response = histogram();
    let mut body = Vec::new();
    let start = shared.start;
    loop {
        let request = shared.take(own);
        let due = match load.pace {
            Pace::Closed => None,
            Pace::Open(every) => Some(every.mul_f64(request as f64)),
        };
        let over = due.unwrap_or_else(|| start.elapsed()) >= load.run_for || request >= load.requests_max;
        if over {
            shared.under_way[own].store(u64::MAX, Ordering::SeqCst);
            return response;
        }
        body.clear();
        let first = load.first_row + request * load.rows_a_request;
        fleet::push_ndjson(&mut body, load.keys, first..first + load.rows_a_request);
        if let Some(due) = due {
            std::thread::sleep(due.saturating_sub(start.elapsed()));
        }
        shared.keep_together(request, &load);
        let from = due.unwrap_or_else(|| start.elapsed());
        connection.post(&body);
        response.saturating_record((start.elapsed() - from).as_nanos() as u64);
    }
}
