//! Where callers come from: standard input, a Unix socket, TCP and HTTP on this machine.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use chancery::{Error, ErrorCode};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::limit::MAX_CONNECTIONS;
use crate::service::Service;
use crate::token::Token;
use crate::{http, session};

/// Serves one caller on standard input and output, until standard input ends and what was asked is answered, or `stop` ends.
pub async fn serve_stdio(service: &Service, stop: impl Future<Output = ()>) {
    let serving = session::serve(service, tokio::io::stdin(), tokio::io::stdout(), None);
    until(stop, serving).await;
}

/// Listens on a TCP address of this machine. A port of 0 is chosen by the system.
///
/// # Errors
///
/// [`ErrorCode::NotLoopback`]: the address can be reached from other machines. [`ErrorCode::ListenFailed`]: another program listens there.
pub async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |_| Error::with(ErrorCode::ListenFailed, address.to_string());
    if !address.ip().is_loopback() {
        return Err(Error::with(ErrorCode::NotLoopback, address.to_string()));
    }
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Serves callers over TCP whose first request shows the token, until `stop` ends.
pub async fn serve_tcp(
    service: &Service,
    listener: TcpListener,
    token: Token,
    stop: impl Future<Output = ()>,
) {
    let token = Arc::new(token);
    let serving = accept(
        async || listener.accept().await.map(|(stream, _)| stream),
        |stream: TcpStream| {
            let (service, token) = (service.clone(), token.clone());
            async move {
                let _ = stream.set_nodelay(true);
                let (reader, writer) = stream.into_split();
                session::serve(&service, reader, writer, Some(&token)).await;
            }
        },
    );
    until(stop, serving).await;
}

/// Serves callers over HTTP whose requests bear the token, until `stop` ends: requests by `POST /rpc`, events from `GET /events`.
pub async fn serve_http(
    service: &Service,
    listener: TcpListener,
    token: Token,
    stop: impl Future<Output = ()>,
) {
    let server = Arc::new(http::Server::new(service.clone(), token));
    let serving = accept(
        async || listener.accept().await.map(|(stream, _)| stream),
        |stream: TcpStream| {
            let server = server.clone();
            async move {
                let _ = stream.set_nodelay(true);
                server.serve(stream).await;
            }
        },
    );
    until(stop, serving).await;
}

/// Serves until `stop` ends.
pub(crate) async fn until(stop: impl Future<Output = ()>, serving: impl Future<Output = ()>) {
    tokio::select! {
        () = serving => {}
        () = stop => {}
    }
}

/// Serves everybody who comes, so many at once; the rest waits to be accepted.
pub(crate) async fn accept<S, F: Future<Output = ()> + Send + 'static>(
    next: impl AsyncFn() -> std::io::Result<S>,
    serve: impl Fn(S) -> F,
) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut callers = JoinSet::new();
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        while callers.try_join_next().is_some() {}
        match next().await {
            Ok(stream) => {
                let serving = serve(stream);
                callers.spawn(async move {
                    serving.await;
                    drop(place);
                });
            }
            // As a rule because there are too many open files; they become fewer.
            Err(error) => {
                tracing::warn!(%error, "a caller could not be accepted");
                tokio::time::sleep(crate::limit::POLL).await;
            }
        }
    }
}
