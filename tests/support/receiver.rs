//! A webhook receiver on a real socket that fails in real ways, one scripted behaviour a request.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the receiver does with a request it has read in full.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// 200.
    Accept,
    /// 200, this much later.
    AcceptAfter(Duration),
    /// This status and nothing else.
    Status(u16),
    /// This status with this `Retry-After`.
    RetryAfter(u16, String),
    /// 200 with these lines of headers.
    AcceptSaying(&'static str),
    /// 302 to this path of the same receiver.
    RedirectTo(&'static str),
    /// Never answers, keeps the connection open.
    Hang,
    /// Closes in the middle of the answer's headers.
    CloseMidResponse,
    /// Closes without an answer.
    Close,
    /// Answers a byte every 50 ms, and never comes to an end.
    Drip,
    /// 200, with a body that never ends.
    Flood,
}

/// A request as it came in.
#[derive(Clone, Debug)]
pub struct Received {
    pub method: String,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub at: Instant,
}

impl Received {
    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    pub fn id(&self) -> &str {
        self.header("webhook-id")
    }
}

/// What to do with a request that has just been read.
type Choose = Box<dyn FnMut(&Received) -> Behaviour + Send>;

/// Listens until dropped. Behaviours are used up in order of request; then it accepts everything.
pub struct Receiver {
    pub url: String,
    state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

struct State {
    choose: Mutex<Choose>,
    received: Mutex<Vec<Received>>,
    accepted: Mutex<Vec<String>>,
    answering: AtomicUsize,
    answering_max: AtomicUsize,
}

impl Receiver {
    pub async fn start(script: impl IntoIterator<Item = Behaviour>) -> Self {
        let mut script: VecDeque<Behaviour> = script.into_iter().collect();
        Self::choosing(move |_| script.pop_front().unwrap_or(Behaviour::Accept)).await
    }

    /// Does `no` until it is told to take everything.
    pub async fn refusing(no: Behaviour) -> (Self, Arc<AtomicBool>) {
        let is_back = Arc::new(AtomicBool::new(false));
        let takes = is_back.clone();
        let choose = move |_: &_| if takes.load(Ordering::SeqCst) { Behaviour::Accept } else { no.clone() };
        (Self::choosing(choose).await, is_back)
    }

    /// Decides request by request, in the order in which they were read.
    pub async fn choosing(choose: impl FnMut(&Received) -> Behaviour + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let state = Arc::new(State {
            choose: Mutex::new(Box::new(choose)),
            received: Mutex::default(),
            accepted: Mutex::default(),
            answering: AtomicUsize::new(0),
            answering_max: AtomicUsize::new(0),
        });
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            loop {
                let (connection, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(connection, Arc::clone(&shared)));
            }
        });
        Receiver { url, state, task }
    }

    pub fn received(&self) -> Vec<Received> {
        self.state.received.lock().unwrap().clone()
    }

    /// Ids of what it answered by 200, in order.
    pub fn accepted(&self) -> Vec<String> {
        self.state.accepted.lock().unwrap().clone()
    }

    /// The most requests it held unanswered at one time.
    pub fn answering_max(&self) -> usize {
        self.state.answering_max.load(Ordering::SeqCst)
    }

    /// Waits until `count` requests were read; panics after a long time.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        let deadline = Instant::now() + Duration::from_secs(90);
        loop {
            let received = self.received();
            if received.len() >= count {
                return received;
            }
            assert!(Instant::now() < deadline, "{} of {count} requests", received.len());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut connection: TcpStream, state: Arc<State>) {
    while let Some(request) = read_request(&mut connection).await {
        let behaviour = (state.choose.lock().unwrap())(&request);
        let id = request.headers.get("webhook-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        state.received.lock().unwrap().push(request);
        let answering = state.answering.fetch_add(1, Ordering::SeqCst) + 1;
        state.answering_max.fetch_max(answering, Ordering::SeqCst);
        let answer = match behaviour {
            Behaviour::Accept => response(200, ""),
            Behaviour::AcceptAfter(delay) => {
                tokio::time::sleep(delay).await;
                response(200, "")
            }
            Behaviour::Status(status) => response(status, ""),
            Behaviour::RetryAfter(status, after) => response(status, &format!("Retry-After: {after}\r\n")),
            Behaviour::AcceptSaying(headers) => response(200, headers),
            Behaviour::RedirectTo(path) => response(302, &format!("Location: {path}\r\n")),
            Behaviour::Hang => std::future::pending().await,
            Behaviour::CloseMidResponse => {
                let _ = connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Le").await;
                return;
            }
            Behaviour::Close => return,
            Behaviour::Drip => {
                let _ = connection.write_all(b"HTTP/1.1 200 OK\r\nX-Slow: ").await;
                while connection.write_all(b"x").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                return;
            }
            Behaviour::Flood => {
                let _ = connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n").await;
                // A 200 is a 200, whatever comes behind it.
                state.accepted.lock().unwrap().extend(id);
                while connection.write_all(&[b'x'; 65_536]).await.is_ok() {}
                return;
            }
        };
        if answer.starts_with("HTTP/1.1 200") {
            state.accepted.lock().unwrap().extend(id);
        }
        state.answering.fetch_sub(1, Ordering::SeqCst);
        if connection.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn response(status: u16, headers: &str) -> String {
    format!("HTTP/1.1 {status} Scripted\r\n{headers}Content-Length: 2\r\n\r\nok")
}

/// `None` once the sender has closed the connection.
async fn read_request(connection: &mut TcpStream) -> Option<Received> {
    let mut bytes = Vec::new();
    let head_len = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if connection.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..head_len].to_vec()).unwrap();
    let mut lines = head.lines();
    let mut request = lines.next()?.split(' ').map(str::to_owned);
    let (method, path) = (request.next()?, request.next()?);
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        headers.insert(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    }
    // A GET, as a followed redirect makes it, has none.
    let body_len: usize =
        headers.get("content-length").map_or(0, |len| len.to_str().unwrap().parse().unwrap());
    while bytes.len() < head_len + body_len {
        if connection.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some(Received { method, path, headers, body: bytes[head_len..][..body_len].to_vec(), at: Instant::now() })
}
