//! Connections to the page and to the HTTP source: so many at a time, and none that is silent for long.

use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Where a connection comes from; beside every request.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// What one who says nothing can take from the others.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// At a time; more wait at the operating system's.
    pub connections: usize,
    /// From the beginning of a connection, or the end of an answer, to the end of the next request's head.
    pub head: Duration,
    /// From the end of the head to the end of the body.
    pub body: Duration,
}

/// Serves until shutdown, then lets open requests finish. Each finds [`Peer`] and `limits` among its extensions.
pub async fn serve<L>(mut listener: L, router: Router, shutdown: CancellationToken, limits: Limits)
where
    L: Listener<Addr = SocketAddr>,
{
    let mut http = Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.head);
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            (io, from) = listener.accept(), if open.len() < limits.connections => {
                open.spawn(talk((http.clone(), limits), io, Peer(from), router.clone(), shutdown.clone()));
            }
            _ = open.join_next(), if !open.is_empty() => {}
            () = shutdown.cancelled() => break,
        }
    }
    drop(listener);
    while open.join_next().await.is_some() {}
}

/// One connection, until either side ends it.
async fn talk<I>(
    (http, limits): (Builder, Limits),
    io: I,
    peer: Peer,
    router: Router,
    shutdown: CancellationToken,
) where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(limits);
        router.call(request)
    });
    let mut connection = pin!(http.serve_connection(TokioIo::new(io), service));
    // How it ended is the other side's concern: it has heard, or it is gone.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
