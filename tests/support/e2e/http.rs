//! One HTTP/1.1 exchange on a connection of its own.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

const READ_MAX: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Response {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        super::json(&self.body)
    }
}

/// Why there was no answer.
#[derive(Debug)]
pub enum Unanswered {
    /// Nobody listened: the request cannot have been taken.
    Unsent(io::Error),
    /// It was at least partly sent: whether it was taken is not known.
    Broken(io::Error),
}

pub fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Response, Unanswered> {
    let mut socket = std::net::TcpStream::connect(address).map_err(Unanswered::Unsent)?;
    let mut exchange = || -> io::Result<Response> {
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(READ_MAX))?;
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("Content-Length: {}\r\n\r\n", body.len());
        socket.write_all(&[head.as_bytes(), body].concat())?;
        let mut bytes = Vec::new();
        socket.read_to_end(&mut bytes)?;
        parse(&bytes)
    };
    exchange().map_err(Unanswered::Broken)
}

pub fn get(address: SocketAddr, path: &str) -> Result<Response, Unanswered> {
    request(address, "GET", path, &[], b"")
}

/// A body shorter than announced is no answer.
fn parse(bytes: &[u8]) -> io::Result<Response> {
    let cut = || io::Error::new(io::ErrorKind::UnexpectedEof, "the answer is cut off");
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").ok_or_else(cut)?;
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let body = bytes[end + 4..].to_vec();
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(cut)?;
    let announced = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    if announced.is_some_and(|len| len.trim().parse() != Ok(body.len())) {
        return Err(cut());
    }
    Ok(Response { status, head, body })
}
