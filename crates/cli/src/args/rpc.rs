//! What whoever serves programs types.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::HomeArgs;

#[derive(Debug, Args)]
#[command(after_help = "\
Requests and answers are JSON-RPC 2.0, one object on a line. A home that is not enrolled yet can enrol through it.
docs/RPC.md in the project's sources has the methods by what they are for, and --openrpc prints each of them with its types.

Examples:
  chancery rpc --home alarm
  chancery rpc --openrpc
  chancery rpc --home alarm --socket run/alarm.sock --receive-mode manual
  chancery rpc --home alarm --http 127.0.0.1:7000 --token-file alarm.token")]
pub(crate) struct RpcArgs {
    #[command(flatten)]
    pub(crate) home: HomeArgs,
    /// The name under which this device is served.
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(crate) account: String,
    /// Start without a device; `accounts.add` brings some.
    #[arg(long)]
    pub(crate) no_account: bool,
    #[command(flatten)]
    pub(crate) place: RpcPlace,
    /// Let the group of the socket's folder connect as well (mode 0660 instead of 0600).
    #[arg(long, requires = "socket")]
    pub(crate) group_access: bool,
    /// The token that callers over TCP and HTTP show; the file is made if it is not there.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Whether events are pushed, or only given to who asks with `events.next`.
    #[arg(long, value_name = "MODE", value_enum, default_value_t = Receive::Automatic)]
    pub(crate) receive_mode: Receive,
    /// Print the OpenRPC document of what is served, and end.
    #[arg(long)]
    pub(crate) openrpc: bool,
}

/// Where callers come from; on standard input and output if nothing is named.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct RpcPlace {
    /// Listen on a Unix socket at this path, in a folder that nobody else can write to.
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// Listen on this TCP address of this machine, as 127.0.0.1:7000; port 0 is chosen by the system.
    #[arg(long, value_name = "ADDRESS", requires = "token_file")]
    pub(crate) tcp: Option<SocketAddr>,
    /// Listen on this address of this machine for HTTP: POST /rpc, and GET /events for server-sent events.
    #[arg(long, value_name = "ADDRESS", requires = "token_file")]
    pub(crate) http: Option<SocketAddr>,
}

/// How events come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Receive {
    /// Pushed, where the transport can.
    Automatic,
    /// Asked for.
    Manual,
}
