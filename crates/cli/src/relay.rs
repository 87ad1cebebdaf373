//! `chancery relay`: the library of `chancery-relay`, for trials.

use std::net::SocketAddr;

use chancery::ErrorCode;
use chancery_relay_server::{Config, Limits, Ready, ServerError};
use serde_json::json;

use crate::args::RelayArgs;
use crate::failure::{Failure, Report};
use crate::output::Output;
use crate::stop::Stop;
use crate::text::hex;

/// Threads that serve connections; one more owns the database.
pub(crate) const WORKERS: usize = 2;

pub(crate) async fn run(args: RelayArgs, output: Output) -> Result<(), Failure> {
    let stop = Stop::listen(args.supervised)?;
    let listening = args.listening;
    let config = Config {
        organisation_dir: args.org,
        data: listening.data,
        listen: listening.listen,
        certificate: listening.cert.zip(listening.key),
        limits: Limits::default(),
        trust_clock: args.trust_clock,
    };
    let mut printed = Ok(());
    let on_ready = |ready: Ready| printed = print_ready(&ready, output);
    let served = chancery_relay_server::run(config, on_ready, stop.wait()).await;
    printed?;
    served.map_err(|error| failure(&error))
}

fn print_ready(ready: &Ready, output: Output) -> Result<(), Failure> {
    let (listen, url): (SocketAddr, &str) = (ready.listen, &ready.url);
    let (pin, log_key) = (hex(&ready.pin), hex(&ready.log_key));
    let object = json!({
        "event": "ready",
        "role": "relay",
        "listen": listen.to_string(),
        "url": url,
        "pin": pin,
        "log_key": log_key,
    });
    output.result(&object, || format!("relay ready: {url} pin {pin} log-key {log_key}"))
}

/// The relay's own words, under the one table of codes.
fn failure(error: &ServerError) -> Failure {
    use std::io::ErrorKind::{NotFound, StorageFull};
    let code = match error {
        ServerError::OrganisationFile(NotFound) => ErrorCode::FileNotFound,
        ServerError::OrganisationFile(_) => ErrorCode::FileUnreadable,
        ServerError::Organisation(_) => ErrorCode::NotAuthentic,
        ServerError::InUse => ErrorCode::StoreBusy,
        ServerError::OtherOrganisation => ErrorCode::WrongOrganisation,
        ServerError::NewerFormat { .. } => ErrorCode::StoreNewer,
        ServerError::Data(StorageFull) => ErrorCode::DiskFull,
        ServerError::Data(_) | ServerError::Database => ErrorCode::StoreUnreadable,
        ServerError::LogKeyMissing | ServerError::LogKeyDamaged | ServerError::LogKeyPermissions => {
            ErrorCode::KeyFileUnusable
        }
        ServerError::Log(_) => ErrorCode::StoreDamaged,
        ServerError::Certificate(_) => ErrorCode::FileUnreadable,
        ServerError::Listen(_) => ErrorCode::ListenFailed,
        _ => ErrorCode::Internal,
    };
    let (kind, retry) = (code.kind(), chancery::Error::new(code).is_retryable());
    let message = match error {
        ServerError::OrganisationFile(NotFound) => {
            "no organisation.bin there; give the folder `public` inside the organisation's".to_owned()
        }
        error => error.to_string(),
    };
    let report = Report { code: code.name().to_owned(), message, retry, cause: None };
    Failure::Reported(report, kind as u8)
}
