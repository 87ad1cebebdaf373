//! One connection on which requests come line by line, and answers and events go the same way.

use std::collections::BTreeMap;
use std::sync::Arc;

use chancery::ErrorCode;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::limit::{
    HEAD_PATIENCE, HEARTBEAT, LEAVE, MAX_BEFORE_TOKEN, MAX_IN_FLIGHT, MAX_REQUEST, MAX_UNREAD,
};
use crate::lines::Lines;
use crate::request::{Request, refusal};
use crate::service::Service;
use crate::shapes::ReceiveMode;
use crate::token::Token;

/// What is to be written.
type Out = mpsc::Sender<String>;

/// Serves one connection until its input ends and what was asked is answered, or nobody reads the answers. With a token, nothing is
/// served before it was shown.
pub(crate) async fn serve<R, W>(service: &Service, reader: R, writer: W, token: Option<&Token>)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let (out, queue) = mpsc::channel(MAX_UNREAD);
    // It owns the queue's beginning: once it is over, the queue has an end.
    let reading = async move {
        let mut lines = Lines::new(reader);
        if let Some(token) = token
            && !admit(service, &mut lines, token, &out).await
        {
            return;
        }
        let mut pushing = JoinSet::new();
        if service.mode() == ReceiveMode::Automatic {
            pushing.spawn(push(service.clone(), out.clone(), Form::Line));
        }
        let mut calls = take_requests(service, &mut lines, &out).await;
        let rest = async { while calls.join_next().await.is_some() {} };
        // What is left when that is over is given up.
        let _ = timeout(LEAVE, rest).await;
        pushing.shutdown().await;
    };
    let writing = write(queue, writer);
    let (mut reading, mut writing) = (std::pin::pin!(reading), std::pin::pin!(writing));
    tokio::select! {
        () = &mut reading => writing.await,
        // Nobody reads any more.
        () = &mut writing => {}
    }
}

/// Has the token shown by the first request.
async fn admit<R: AsyncRead + Unpin>(
    service: &Service,
    lines: &mut Lines<R>,
    token: &Token,
    out: &Out,
) -> bool {
    let Ok(Some(line)) = timeout(HEAD_PATIENCE, lines.next(MAX_BEFORE_TOKEN)).await else { return false };
    let request = line.and_then(|line| Ok((is_shown(&line, token), Request::read(&line, service)?)));
    let (shown, answer) = match request {
        Ok((true, request)) => (true, request.answer().await),
        Ok((false, request)) => (false, request.refuse(&ErrorCode::TokenMissing.into())),
        Err(fault) => (false, Some(refusal(&fault))),
    };
    if let Some(answer) = answer {
        let _ = out.send(answer).await;
    }
    shown
}

fn is_shown(line: &[u8], token: &Token) -> bool {
    let request: Value = serde_json::from_slice(line).unwrap_or_default();
    let shown = request.pointer("/params/token").and_then(Value::as_str);
    request.get("method").is_some_and(|method| method == "authenticate")
        && shown.is_some_and(|shown| token.is(shown.as_bytes()))
}

/// Begins what is asked for, until nobody asks any more; returns what is not finished.
async fn take_requests<R: AsyncRead + Unpin>(
    service: &Service,
    lines: &mut Lines<R>,
    out: &Out,
) -> JoinSet<()> {
    let mut calls = JoinSet::new();
    let places = Arc::new(Semaphore::new(MAX_IN_FLIGHT));
    while let Some(line) = lines.next(MAX_REQUEST).await {
        while calls.try_join_next().is_some() {}
        let refused = match line.and_then(|line| Request::read(&line, service)) {
            Err(fault) => Some(refusal(&fault)),
            Ok(request) => match places.clone().try_acquire_owned() {
                Err(_) => request.refuse(&ErrorCode::TooBusy.into()),
                Ok(place) => {
                    let out = out.clone();
                    calls.spawn_local(async move {
                        if let Some(answer) = request.answer().await {
                            let _ = out.send(answer).await;
                        }
                        drop(place);
                    });
                    None
                }
            },
        };
        if let Some(answer) = refused
            && out.send(answer).await.is_err()
        {
            break;
        }
    }
    calls
}

async fn write<W: AsyncWrite + Unpin>(mut queue: mpsc::Receiver<String>, mut writer: W) {
    while let Some(mut line) = queue.recv().await {
        line.push('\n');
        let written = async {
            writer.write_all(line.as_bytes()).await?;
            writer.flush().await
        };
        if written.await.is_err() {
            return;
        }
    }
    let _ = writer.shutdown().await;
}

/// How an event is written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Form {
    /// As a notification.
    Line,
    /// As a server-sent event.
    ServerSent,
}

impl Form {
    fn write(self, event: &Value) -> String {
        match self {
            Self::Line => json!({"jsonrpc": "2.0", "method": "event", "params": event}).to_string(),
            Self::ServerSent => format!("event: event\nid: {}\ndata: {event}\n\n", event["number"]),
        }
    }
}

/// Pushes every event of every account that was not acknowledged, once, for as long as somebody reads.
pub(crate) async fn push(service: Service, out: Out, form: Form) {
    let mut happened = service.happened();
    let mut pushed: BTreeMap<u64, Option<u64>> = BTreeMap::new();
    let mut last = Instant::now();
    loop {
        happened.mark_unchanged();
        for account in service.accounts() {
            let after = pushed.entry(account.serial).or_default();
            let events = match account.events(*after).await {
                Ok(events) => events,
                Err(error) => {
                    tracing::debug!(code = error.code().name(), "events wait");
                    continue;
                }
            };
            for event in events {
                if let Some(object) = account.hand_out(&event) {
                    if out.send(form.write(&object)).await.is_err() {
                        return;
                    }
                    last = Instant::now();
                }
                *after = Some(event.number);
            }
        }
        if matches!(form, Form::ServerSent) && last.elapsed() >= HEARTBEAT {
            if out.send(":\n\n".to_owned()).await.is_err() {
                return;
            }
            last = Instant::now();
        }
        service.something(&mut happened).await;
    }
}
