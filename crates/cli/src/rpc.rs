//! `chancery rpc`: JSON-RPC 2.0 for programs in any language.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use chancery::{Client, Error, ErrorCode};
use chancery_rpc::{ReceiveMode, Service, Token, listen, openrpc, serve_http, serve_stdio, serve_tcp};
use serde_json::json;

use crate::args::{Receive, RpcArgs};
use crate::failure::Failure;
use crate::key::Purpose;
use crate::output::Output;
use crate::stop::Stop;

pub(crate) async fn run(args: &RpcArgs, output: Output) -> Result<(), Failure> {
    if args.openrpc {
        // A document and not a line: it is read by people too.
        let mut stdout = std::io::stdout().lock();
        return writeln!(stdout, "{:#}", openrpc()).map_err(|_| Failure::StdoutClosed);
    }
    let mode = match args.receive_mode {
        Receive::Automatic => ReceiveMode::Automatic,
        Receive::Manual => ReceiveMode::Manual,
    };
    let token = args.token_file.as_deref().map(Token::read_or_create).transpose()?;
    let stop = Stop::listen(false)?;
    let service = Service::new(mode);
    if !args.no_account {
        let home = args.home.folder()?;
        // A folder that is not enrolled yet is served so that a program can enrol it.
        let purpose = if Client::exists(&home) { Purpose::Open } else { Purpose::Create };
        service.add(&args.account, &home, args.home.key.source(purpose)?)?;
    }
    let place = &args.place;
    if let Some(path) = &place.socket {
        return serve_socket(&service, path, args.group_access, (&stop, output)).await;
    }
    let Some(address) = place.tcp.or(place.http) else {
        serve_stdio(&service, stop.wait()).await;
        return Ok(());
    };
    let (listener, address) = listen(address).await?;
    let token = token.ok_or_else(|| Error::with(ErrorCode::Usage, "--token-file is missing"))?;
    if place.tcp.is_some() {
        print_ready(output, "tcp", &address)?;
        serve_tcp(&service, listener, token, stop.wait()).await;
    } else {
        print_ready(output, "http", &address)?;
        serve_http(&service, listener, token, stop.wait()).await;
    }
    Ok(())
}

fn print_ready(output: Output, how: &str, address: &SocketAddr) -> Result<(), Failure> {
    let object = json!({"event": "ready", "role": "rpc", "transport": how, "listen": address.to_string()});
    output.result(&object, || format!("rpc ready: {how} {address}"))
}

#[cfg(unix)]
async fn serve_socket(
    service: &Service,
    path: &Path,
    group: bool,
    (stop, output): (&Stop, Output),
) -> Result<(), Failure> {
    use chancery_rpc::{Socket, SocketAccess};
    let access = if group { SocketAccess::Group } else { SocketAccess::Owner };
    let socket = Socket::listen(path, access).await?;
    let path = path.display().to_string();
    let object = json!({"event": "ready", "role": "rpc", "transport": "socket", "listen": path});
    output.result(&object, || format!("rpc ready: socket {path}"))?;
    socket.serve(service, stop.wait()).await;
    Ok(())
}

#[cfg(not(unix))]
async fn serve_socket(_: &Service, _: &Path, _: bool, _: (&Stop, Output)) -> Result<(), Failure> {
    Err(Error::with(ErrorCode::Usage, "this system has no Unix sockets").into())
}
