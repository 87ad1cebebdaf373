//! One connection on which requests come line by line, and answers and events go the same way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chancery::{Error, ErrorCode};
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
use crate::service::{Account, Service};
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
                    calls.spawn(async move {
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

/// How what happens is written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Form {
    /// As a notification.
    Line,
    /// As a server-sent event.
    ServerSent,
}

impl Form {
    /// An event, which is to be acknowledged, or news or the progress of a file, which have no number.
    fn write(self, object: &Value) -> String {
        let number = object.get("number");
        let method = match number {
            Some(_) => "event",
            None if object.get("direction").is_some() => "progress",
            None => "news",
        };
        match self {
            Self::Line => json!({"jsonrpc": "2.0", "method": method, "params": object}).to_string(),
            Self::ServerSent => {
                let id = number.map_or_else(String::new, |number| format!("id: {number}\n"));
                format!("event: {method}\n{id}data: {object}\n\n")
            }
        }
    }
}

/// What was pushed of an account on one connection.
#[derive(Default)]
struct Pushed {
    /// The number of the last event.
    event: Option<u64>,
    /// The codes of new devices that ask for approval.
    requests: BTreeSet<String>,
}

/// Pushes every event of every account that was not acknowledged, once, and what is told as it happens, for as long as somebody reads.
pub(crate) async fn push(service: Service, out: Out, form: Form) {
    let (mut happened, mut news) = (service.happened(), service.news());
    let mut pushed: BTreeMap<u64, Pushed> = BTreeMap::new();
    let mut last = Instant::now();
    loop {
        happened.mark_unchanged();
        for account in service.accounts() {
            let pushed = pushed.entry(account.serial).or_default();
            match push_account(&account, pushed, &out, form).await {
                Ok(0) => {}
                Ok(_) => last = Instant::now(),
                Err(_) => return,
            }
        }
        if matches!(form, Form::ServerSent) && last.elapsed() >= HEARTBEAT {
            if out.send(":\n\n".to_owned()).await.is_err() {
                return;
            }
            last = Instant::now();
        }
        tokio::select! {
            () = service.something(&mut happened) => {}
            // Who has missed some hears of the next.
            Ok(object) = news.recv() => {
                if out.send(form.write(&object)).await.is_err() {
                    return;
                }
                last = Instant::now();
            }
        }
    }
}

/// Pushes what is new of an account, and returns how much that was.
///
/// # Errors
///
/// Nobody reads any more.
async fn push_account(
    account: &Account,
    pushed: &mut Pushed,
    out: &Out,
    form: Form,
) -> Result<usize, mpsc::error::SendError<String>> {
    let mut count = 0_usize;
    let waits = |error: Error| tracing::debug!(code = error.code().name(), "events wait");
    for event in account.events(pushed.event).await.map_err(waits).unwrap_or_default() {
        if let Some(object) = account.hand_out(&event) {
            out.send(form.write(&object)).await?;
            count = count.saturating_add(1);
        }
        pushed.event = Some(event.number);
    }
    for object in account.requests(&mut pushed.requests).await.map_err(waits).unwrap_or_default() {
        out.send(form.write(&object)).await?;
        count = count.saturating_add(1);
    }
    Ok(count)
}
