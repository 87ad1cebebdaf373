//! HTTP: requests by `POST /rpc`, events from `GET /events` as server-sent events. Every request bears the token, names this machine as
//! its host, and comes from no web page.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use chancery::ErrorCode;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue, ORIGIN,
    WWW_AUTHENTICATE,
};
use hyper::http::uri::Authority;
use hyper::{Method, Request as HttpRequest, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::fault::Fault;
use crate::limit::{HEAD_PATIENCE, MAX_IN_FLIGHT, MAX_REQUEST, MAX_UNREAD};
use crate::lines::too_long;
use crate::request::{Request, refusal};
use crate::service::Service;
use crate::session::{Form, push};
use crate::shapes::ReceiveMode;
use crate::token::Token;

/// Serves HTTP.
pub(crate) struct Server {
    service: Service,
    token: Token,
    places: Arc<Semaphore>,
}

/// What is answered: a text, or events as they come.
enum Answer {
    Text(Option<Bytes>),
    Events {
        queue: mpsc::Receiver<String>,
        /// Ends with the answer.
        _pushing: JoinSet<()>,
    },
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = |bytes: Bytes| Ok(Frame::data(bytes));
        match self.get_mut() {
            Self::Text(text) => Poll::Ready(text.take().map(frame)),
            Self::Events { queue, .. } => {
                queue.poll_recv(context).map(|event| event.map(|event| frame(event.into())))
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            Self::Events { .. } => SizeHint::default(),
        }
    }
}

impl Server {
    pub(crate) fn new(service: Service, token: Token) -> Self {
        Self { service, token, places: Arc::new(Semaphore::new(MAX_IN_FLIGHT)) }
    }

    /// Serves one connection.
    pub(crate) async fn serve(self: Arc<Self>, stream: TcpStream) {
        let service = hyper::service::service_fn(move |request| {
            let server = self.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(HEAD_PATIENCE);
        if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
            tracing::debug!(%error, "an HTTP connection");
        }
    }

    async fn answer(&self, request: HttpRequest<Incoming>) -> Response<Answer> {
        if !is_local(&request) {
            return turned_away(StatusCode::FORBIDDEN, ErrorCode::OriginRefused);
        }
        if !self.is_admitted(&request) {
            let mut response = turned_away(StatusCode::UNAUTHORIZED, ErrorCode::TokenMissing);
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return response;
        }
        match (request.method(), request.uri().path()) {
            (&Method::POST, "/rpc") => self.call(request).await,
            (&Method::GET, "/events") if self.service.mode() == ReceiveMode::Automatic => self.events(),
            (_, "/rpc" | "/events") => text(StatusCode::METHOD_NOT_ALLOWED, String::new()),
            _ => text(StatusCode::NOT_FOUND, String::new()),
        }
    }

    fn is_admitted(&self, request: &HttpRequest<Incoming>) -> bool {
        let shown = request.headers().get(AUTHORIZATION).map(|value| value.as_bytes());
        shown.and_then(|shown| shown.strip_prefix(b"Bearer ")).is_some_and(|shown| self.token.is(shown))
    }

    async fn call(&self, request: HttpRequest<Incoming>) -> Response<Answer> {
        let length = request.headers().get(CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        let body = match length {
            Some(length) if length > MAX_REQUEST as u64 => None,
            _ => Limited::new(request.into_body(), MAX_REQUEST).collect().await.ok(),
        };
        let Some(body) = body else {
            return refused(StatusCode::PAYLOAD_TOO_LARGE, &too_long(MAX_REQUEST));
        };
        // What JSON-RPC says of a request is its own affair: to HTTP it was answered.
        let request = match Request::read(&body.to_bytes(), &self.service) {
            Err(fault) => return refused(StatusCode::OK, &fault),
            Ok(request) => request,
        };
        let answer = match self.places.try_acquire() {
            Ok(_place) => request.answer().await,
            Err(_) => request.refuse(&ErrorCode::TooBusy.into()),
        };
        match answer {
            Some(answer) => text(StatusCode::OK, answer),
            None => text(StatusCode::NO_CONTENT, String::new()),
        }
    }

    fn events(&self) -> Response<Answer> {
        let (out, queue) = mpsc::channel(MAX_UNREAD);
        let mut pushing = JoinSet::new();
        pushing.spawn(push(self.service.clone(), out, Form::ServerSent));
        let mut response = Response::new(Answer::Events { queue, _pushing: pushing });
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// Whether the request is for this machine by name, and of no web page. A page whose host's name leads to this machine (DNS rebinding)
/// sends that name, and whatever a browser sends for another page has an `Origin`.
fn is_local(request: &HttpRequest<Incoming>) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    hosts.next().is_none()
        && host.is_some_and(|host| is_this_machine(host.host()))
        && request.uri().host().is_none_or(is_this_machine)
        && !request.headers().contains_key(ORIGIN)
}

fn is_this_machine(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Refuses somebody who may not call, and ends the connection: whoever has no token keeps no place.
fn turned_away(status: StatusCode, code: ErrorCode) -> Response<Answer> {
    let mut response = refused(status, &code.into());
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn refused(status: StatusCode, fault: &Fault) -> Response<Answer> {
    text(status, refusal(fault))
}

fn text(status: StatusCode, text: String) -> Response<Answer> {
    let mut response = Response::new(Answer::Text((!text.is_empty()).then(|| text.into())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn who_may_not_call_keeps_no_connection() {
        let folder = tempfile::tempdir().unwrap();
        let token = Token::read_or_create(&folder.path().join("token")).unwrap();
        let server = Arc::new(Server::new(Service::new(ReceiveMode::Manual), token));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let cases = [("localhost", "HTTP/1.1 401 "), ("chancery.example", "HTTP/1.1 403 ")];
        for (host, expected) in cases {
            let mut caller = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            tokio::spawn(server.clone().serve(listener.accept().await.unwrap().0));
            let request = format!("POST /rpc HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n");
            caller.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            let read = tokio::time::timeout(HEAD_PATIENCE / 2, caller.read_to_string(&mut answer));
            read.await.expect("the connection ends").unwrap();
            assert!(answer.starts_with(expected) && answer.contains("connection: close"), "{answer}");
        }
    }
}
