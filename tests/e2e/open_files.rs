//! Connections to the HTTP source leave the log the files that it needs.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::e2e::eddy::{Deployment, config};
use crate::e2e::expect::up_to_now;
use crate::e2e::mosquitto::free_port;
use crate::e2e::receiver::Receiver;
use crate::plant;

const FILES: u64 = 400;
/// A quarter, where there are fewer than are reserved otherwise.
const CONNECTIONS: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_the_http_source_stay_within_the_limit_of_open_files() {
    let receiver = Receiver::start([]).await;
    let address: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let source = format!("[source.line]\ntype = \"http\"\nlisten = \"{address}\"");
    let deployment = Deployment::new(&config(&source, "[\"line\"]", "", &receiver.url));
    let mut eddy = deployment.start_with_few_files(FILES / 2, FILES);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", eddy.id())).expect("its limits");
    let of_files = limits.lines().find(|line| line.starts_with("Max open files")).expect("of open files");
    assert_eq!(of_files.split_whitespace().nth(3), Some("400"), "the soft limit is raised: {of_files}");
    let said = format!("no more than {CONNECTIONS} connections may be open");
    eddy.until("it says so", |eddy| eddy.said().contains(&said).then_some(()));
    assert!(eddy.said().contains("LimitNOFILE="), "{}", eddy.said());

    let connect = || TcpStream::connect(address).expect("a connection");
    let mut idle: Vec<TcpStream> = (0..CONNECTIONS).map(|_| connect()).collect();
    let mut last = connect();
    let body = plant::ndjson(&up_to_now("pump-0", 1));
    let head = format!(
        "POST /v1/events/pumps HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    last.write_all(&[head.as_bytes(), &body].concat()).expect("it is sent");
    last.set_read_timeout(Some(Duration::from_secs(2))).expect("a time-out");
    let mut answer = [0; 12];
    let early = last.read(&mut answer).expect_err("it has to wait");
    assert!(matches!(early.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{early}");
    assert_eq!(
        eddy.metric("eddy_stream_events_total{stream=\"pumps\"}"),
        0,
        "and the page answers meanwhile"
    );
    idle.pop();
    last.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
    last.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200");
}
