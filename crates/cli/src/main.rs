//! The `chancery` command: an organisation, its relay, its members, and a demonstration of them all.
//!
//! Each command is a module. They share four rules: results go to stdout and everything else to stderr
//! ([`output`]); every failure has a stable code and an exit code ([`failure`]); a passphrase that nobody can
//! be asked for is an error at once ([`key`]); and a signal is a clean end ([`stop`]).
//!
//! What this crate does not do: it knows no protocol and no file format; those are the library's. Only [`disk`] and
//! [`bench`] look below the library, as somebody does who has stolen a disk.

mod acting;
mod args;
mod bench;
mod chat;
mod conversations;
mod demo;
mod device;
mod disk;
mod enroll;
mod failure;
mod group;
mod history;
mod home;
mod invite;
mod key;
mod manual;
mod mention;
mod message;
mod org;
mod output;
mod process;
mod progress;
mod reading;
mod receive;
mod relay;
mod root;
mod rpc;
mod send;
mod stop;
mod text;
mod up;
mod witness;

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::FromArgMatches as _;
use clap::error::ErrorKind;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::args::{Cli, Command, help};
use crate::failure::{Failure, Report, USAGE};
use crate::output::Output;

/// How long the runtime may take to end its threads, once the command has its result.
const LEAVE: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let cli = match parse() {
        Ok(cli) => cli,
        Err(error) => return misused(&error),
    };
    let output = Output::new(cli.common.json);
    log_to_stderr(match &cli.command {
        // Nothing may be written where it draws.
        Command::Chat(args) if chat::is_drawn(args) && std::io::stderr().is_terminal() => LevelFilter::OFF,
        _ => cli.common.log,
    });
    match run(cli, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

fn parse() -> Result<Cli, clap::Error> {
    let mut command = help::command();
    let mut matches = command.try_get_matches_from_mut(std::env::args_os())?;
    Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

fn run(cli: Cli, output: Output) -> Result<(), Failure> {
    let mut builder = match cli.command {
        Command::Relay(_) => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = builder.worker_threads(relay::WORKERS).enable_all().build();
    let runtime = runtime.map_err(|error| failure::system(&error, "the runtime"))?;
    let result = runtime.block_on(dispatch(cli, output));
    runtime.shutdown_timeout(LEAVE);
    result
}

async fn dispatch(cli: Cli, output: Output) -> Result<(), Failure> {
    match cli.command {
        Command::Org(command) => org::run(command, output).await,
        Command::Relay(args) => relay::run(args, output).await,
        Command::Up(args) => up::run(&args, cli.common.log, output).await,
        Command::Enroll(args) => enroll::run(&args, output).await,
        Command::Device(command) => device::run(command, output).await,
        Command::Chat(args) => chat::run(&args, output).await,
        Command::Send(args) => send::run(&args, output).await,
        Command::Reply(args) => acting::reply(&args, output).await,
        Command::Edit(args) => acting::edit(&args, output).await,
        Command::Delete(args) => acting::delete(&args, output).await,
        Command::React(args) => acting::react(&args, output).await,
        Command::Form(args) => acting::form(&args, output).await,
        Command::Answer(args) => acting::answer(&args, output).await,
        Command::Receive(args) => receive::run(&args, output).await,
        Command::Conversations(args) => conversations::list(&args, output).await,
        Command::Draft(args) => conversations::draft(&args, output).await,
        Command::Members(args) => conversations::members(&args, output).await,
        Command::Readers(args) => conversations::readers(&args, output).await,
        Command::History(args) => history::run(&args, output).await,
        Command::Read(args) => reading::read(&args, output).await,
        Command::Settings(args) => reading::settings(&args, output).await,
        Command::Disappearing(args) => reading::disappearing(&args, output).await,
        Command::Typing(args) => reading::typing(&args, output).await,
        Command::Group(command) => group::run(command, output).await,
        Command::Rpc(args) => rpc::run(&args, output).await,
        Command::Monitor(args) => org::monitor(&args, output).await,
        Command::Witness(command) => witness::run(command, output).await,
        Command::Bench(command) => bench::run(&command, output).await,
        Command::Completions(args) => manual::completions(&args),
        Command::Man(args) => manual::man(&args, output),
        Command::Demo => match demo::run(output.is_json()).await? {
            true => Ok(()),
            false => Err(Failure::DemoFailed),
        },
    }
}

/// Help and version are results; anything else is wrong usage, whose exit code is 64.
fn misused(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    if !std::env::args_os().any(|argument| argument == "--json") {
        let _ = error.print();
        return ExitCode::from(USAGE);
    }
    let message = first_paragraph(&error.to_string());
    let report =
        Report { code: chancery::ErrorCode::Usage.name().to_owned(), message, retry: false, cause: None };
    Output::new(true).failure(&Failure::Reported(report, USAGE));
    ExitCode::from(USAGE)
}

/// Joins the lines up to the first empty one: what is missing stands on lines of its own.
fn first_paragraph(text: &str) -> String {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let lines: Vec<&str> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    lines.join(" ")
}

/// Logs what this project says at `level`, and of the libraries below at most warnings: they may log addresses.
fn log_to_stderr(level: LevelFilter) {
    let targets = Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("chancery", level);
    let ansi = std::io::stderr().is_terminal();
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(ansi);
    tracing_subscriber::registry().with(targets).with(layer).init();
}
