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
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
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

/// Open files that are left to all that is no connection of an HTTP source: the page's connections, those to brokers and
/// receivers, log, snapshots and SQLite.
pub const FILES_RESERVED: u64 = 768;

/// Where that are most of those that the process may have, one in so many goes to the sources all the same.
const FEW_PART: u64 = 4;

/// From here on the process may have as many files open as its hard limit says: it often starts with 1024.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    // Where that is refused, sources do with what there is, and say so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// How many files the process may have open.
pub fn open_files_max() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

impl Limits {
    /// The same for each of so many servers of a process that may have `files` open: it must never be their connections
    /// for which the log cannot open its next segment.
    #[must_use]
    pub fn within(self, files: u64, servers: usize) -> Limits {
        let all = files.saturating_sub(FILES_RESERVED).max(files / FEW_PART);
        let each = usize::try_from(all).unwrap_or(usize::MAX) / servers.max(1);
        Limits { connections: self.connections.min(each), ..self }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_share_what_the_limit_of_open_files_leaves_them() {
        let wanted = Limits { connections: 10_000, head: Duration::ZERO, body: Duration::ZERO };
        let within = |files, servers| wanted.within(files, servers).connections;
        assert_eq!(
            [1_024, 4_096, 10_767, 10_768, u64::MAX].map(|files| within(files, 1)),
            [256, 3_328, 9_999, 10_000, 10_000]
        );
        assert_eq!([within(4_096, 2), within(20_768, 2), within(20_767, 2)], [1_664, 10_000, 9_999]);
        assert_eq!(within(256, 1), 64, "less than is reserved elsewhere");
    }
}
