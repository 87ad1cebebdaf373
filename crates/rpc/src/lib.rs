//! JSON-RPC 2.0 for programs in any language: everything that [`chancery::Client`] does, over standard input and output, a Unix
//! socket, TCP or HTTP on this machine.
//!
//! One table of methods, with the types of their parameters and results, is what is served and what [`openrpc()`] describes.
//! Results are those of [`chancery::json`]; an application's error has the stable number of its [`chancery::ErrorCode`]. An event comes
//! again, with the same number, until it is acknowledged.
//!
//! What this crate does not do: it is no door for other machines (TLS, users and their rights are not its business), and whoever may
//! connect may do everything that the accounts may, and have files read and written as the user whom the process runs as.
//!
//! Source: `docs/RPC.md`.

mod fault;
mod http;
mod limit;
mod lines;
mod listen;
mod methods;
mod openrpc;
mod request;
mod service;
mod session;
mod shapes;
mod token;
#[cfg(unix)]
mod unix;

pub use listen::{listen, serve_http, serve_stdio, serve_tcp};
pub use openrpc::openrpc;
pub use service::Service;
pub use shapes::ReceiveMode;
pub use token::Token;
#[cfg(unix)]
pub use unix::{Socket, SocketAccess};
