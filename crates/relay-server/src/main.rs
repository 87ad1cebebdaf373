//! `chancery-relay`: serves one organisation.

use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use chancery_relay_server::{Config, Limits, Ready, ServerError, run};
use clap::Parser;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Exit code for a command line that is not understood, as in sysexits.h.
const USAGE: u8 = 64;
/// Threads that serve connections; a third one owns the database.
const WORKERS: usize = 2;

/// Serves one organisation. Needs its public export only, and no passphrase.
#[derive(Debug, Parser)]
#[command(name = "chancery-relay", version)]
struct Arguments {
    /// Directory with the organisation's public export.
    #[arg(long, value_name = "DIR")]
    org: PathBuf,
    /// Directory for everything that the relay keeps.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Address to listen on; port 0 picks one.
    #[arg(long, value_name = "ADDR")]
    listen: SocketAddr,
    /// Certificate chain in PEM; without it the relay makes its own.
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The certificate's key in PEM.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Believes the system's clock, though it is more than a week ahead of the log. Check it first: what expires by it is gone.
    #[arg(long)]
    trust_clock: bool,
    /// Prints the line that says that the relay is ready as JSON.
    #[arg(long)]
    json: bool,
    /// How much to log on stderr: off, error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL", env = "CHANCERY_LOG", default_value = "info")]
    log: LevelFilter,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Nothing can be done about a closed terminal.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    log_to_stderr(arguments.log);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    let Ok(runtime) = runtime else {
        return failed("the operating system gives no threads", ExitCode::FAILURE);
    };
    let json = arguments.json;
    let config = Config {
        organisation_dir: arguments.org,
        data: arguments.data,
        listen: arguments.listen,
        certificate: arguments.cert.zip(arguments.key),
        limits: Limits::default(),
        trust_clock: arguments.trust_clock,
    };
    match runtime.block_on(run(config, |ready| announce(&ready, json), shutdown())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(ServerError::OrganisationFile(io::ErrorKind::NotFound)) => failed(
            "no organisation.bin there; give the folder `public` inside the organisation's",
            ExitCode::FAILURE,
        ),
        Err(error) => failed(&error.to_string(), ExitCode::FAILURE),
    }
}

fn log_to_stderr(level: LevelFilter) {
    let ansi = io::stderr().is_terminal();
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(ansi);
    tracing_subscriber::registry().with(targets(level)).with(layer).init();
}

/// What this project says at `level`, and of the libraries below at most warnings: they may log addresses.
fn targets(level: LevelFilter) -> Targets {
    Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("chancery", level)
}

fn failed(message: &str, code: ExitCode) -> ExitCode {
    // Nothing can be done about a closed terminal.
    let _ = writeln!(io::stderr(), "chancery-relay: {message}");
    code
}

/// Writes the one line that says that the relay is ready.
fn announce(ready: &Ready, json: bool) {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (pin, log_key) = (hex(&ready.pin), hex(&ready.log_key));
    let line = if json {
        let listen = ready.listen.to_string();
        let (event, url) = ("ready", &ready.url);
        serde_json::json!({ "event": event, "listen": listen, "url": url, "pin": pin, "log_key": log_key })
            .to_string()
    } else {
        format!("relay ready: {} pin {pin} log-key {log_key}", ready.url)
    };
    let mut stdout = io::stdout().lock();
    if writeln!(stdout, "{line}").and_then(|()| stdout.flush()).is_err() {
        tracing::warn!("nobody reads that the relay is ready");
    }
}

/// Waits for the signal to end.
async fn shutdown() {
    #[cfg(unix)]
    if let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = terminate.recv() => return,
            _ = tokio::signal::ctrl_c() => return,
        }
    }
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_log_warnings_at_most_whatever_the_level() {
        let all = targets(LevelFilter::TRACE);
        for library in ["tokio", "tokio_tungstenite", "rustls", "h2"] {
            assert!(all.would_enable(library, &tracing::Level::WARN), "{library}");
            assert!(!all.would_enable(library, &tracing::Level::INFO), "{library}");
        }
        assert!(all.would_enable("chancery_relay_server::server", &tracing::Level::TRACE));
        assert!(!targets(LevelFilter::OFF).would_enable("tokio", &tracing::Level::ERROR));
    }
}
