//! A listener that speaks TLS. Handshakes go on beside one another, so that a slow one holds nobody up.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

use crate::config::plan::{ServerTlsPlan, TlsProblem};

/// At a time; more connections wait at the operating system's.
const HANDSHAKES_MAX: usize = 128;
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

pub struct TlsDoor {
    listener: TcpListener,
    certificate: Certificate,
    handshakes: JoinSet<Option<(TlsStream<TcpStream>, SocketAddr)>>,
}

impl TlsDoor {
    /// # Errors
    /// If the files do not hold what they should.
    pub fn new(listener: TcpListener, plan: &ServerTlsPlan) -> Result<TlsDoor, TlsProblem> {
        let written = written(plan);
        let config = Arc::new(plan.server_config()?);
        let certificate = Certificate { plan: plan.clone(), written, config };
        Ok(TlsDoor { listener, certificate, handshakes: JoinSet::new() })
    }
}

impl Listener for TlsDoor {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let TlsDoor { listener, certificate, handshakes } = self;
        loop {
            tokio::select! {
                (stream, from) = Listener::accept(listener), if handshakes.len() < HANDSHAKES_MAX => {
                    let acceptor = TlsAcceptor::from(certificate.current());
                    handshakes.spawn(async move {
                        let stream = timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await.ok()?.ok()?;
                        Some((stream, from))
                    });
                }
                // Who does not speak TLS is nobody's concern but their own.
                done = handshakes.join_next(), if !handshakes.is_empty() => {
                    if let Some(Ok(Some(done))) = done {
                        return done;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// What is shown to who connects; a renewed file is in use from the next connection on.
struct Certificate {
    plan: ServerTlsPlan,
    written: [Option<SystemTime>; 2],
    config: Arc<ServerConfig>,
}

impl Certificate {
    fn current(&mut self) -> Arc<ServerConfig> {
        let written = written(&self.plan);
        if written != self.written {
            self.written = written;
            match self.plan.server_config() {
                Ok(config) => self.config = Arc::new(config),
                // Certificate and key are two files, and may be seen when one is new: the other's change is seen too.
                Err(problem) => {
                    let (key, fault) = (problem.key, problem.fault);
                    tracing::warn!(
                        key,
                        fault,
                        "the page's new certificate cannot be used; the one before stays"
                    );
                }
            }
        }
        self.config.clone()
    }
}

fn written(plan: &ServerTlsPlan) -> [Option<SystemTime>; 2] {
    [&plan.cert, &plan.key].map(|path| std::fs::metadata(path).and_then(|file| file.modified()).ok())
}
