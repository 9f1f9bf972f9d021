//! Connections that say nothing, and those of whom nothing more should be told.

use reqwest::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::super::{LIMITS, ways};
use super::access::Guarded;
use super::*;
use crate::access::{Scope, Tokens, folder};
use crate::connections::{self, Limits};

#[tokio::test]
async fn one_who_says_nothing_is_hung_up_on_and_so_makes_room() {
    let state =
        spawn_blocking(|| AppState::new(testing::parts(Scene::Calm, Clock::start().now_ns()))).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (shutdown, limits) =
        (state.parts.shutdown.clone(), Limits { connections: 2, head: Duration::from_secs(4), ..LIMITS });
    let serving = tokio::spawn(connections::serve(listener, ways::router(state), shutdown.clone(), limits));
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n").await.unwrap();
    let mut third = TcpStream::connect(address).await.unwrap();
    third.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    let early = timeout(Duration::from_millis(500), third.read_to_string(&mut answer)).await;
    assert!(early.is_err(), "there was room for two: {answer}");
    for one in [&mut silent, &mut slow] {
        let mut rest = Vec::new();
        timeout(STEP_MAX, one.read_to_end(&mut rest)).await.expect("it is not hung up on").unwrap();
    }
    timeout(STEP_MAX, third.read_to_string(&mut answer)).await.expect("no room").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    shutdown.cancel();
    timeout(STEP_MAX, serving).await.expect("it does not stop").unwrap();
}

#[tokio::test]
async fn live_updates_end_with_the_token() {
    let guarded = Guarded::new(Scene::Calm).await;
    let live = guarded.request(Method::GET, "/api/v1/live?topics=health");
    let mut live = live.bearer_auth(&guarded.tokens[Scope::Read as usize]).send().await.unwrap();
    assert_eq!(live.status(), 200);
    assert!(live.chunk().await.unwrap().is_some());
    let sampled = &guarded.served;
    sampled.state.parts.status.rows_total.fetch_add(1, Relaxed);
    sampled.sample().await;
    assert!(timeout(STEP_MAX, live.chunk()).await.expect("no news").unwrap().is_some());
    Tokens::of(&folder(guarded.folder.path())).revoke("read").unwrap();
    sampled.state.parts.status.rows_total.fetch_add(1, Relaxed);
    sampled.sample().await;
    let end = timeout(STEP_MAX, live.chunk()).await.expect("it goes on without a token").unwrap();
    assert!(end.is_none(), "{end:?}");
}

/// As [`connections::serve`] is told, within so long.
async fn served(limits: Limits) -> (std::net::SocketAddr, tokio_util::sync::CancellationToken) {
    let state =
        spawn_blocking(|| AppState::new(testing::parts(Scene::Calm, Clock::start().now_ns()))).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = state.parts.shutdown.clone();
    tokio::spawn(connections::serve(listener, ways::router(state), shutdown.clone(), limits));
    (address, shutdown)
}

#[tokio::test]
async fn one_who_sends_a_body_ever_so_slowly_is_told_so() {
    let limits = Limits { connections: 2, head: Duration::from_secs(30), body: Duration::from_secs(1) };
    let (address, shutdown) = served(limits).await;
    let mut slow = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /api/v1/silences HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
         content-length: 100\r\n\r\n{{"
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = timeout(STEP_MAX, slow.read(&mut answer)).await.expect("it waits on").unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]);
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("did not arrive within 1 s"), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
    shutdown.cancel();
}
