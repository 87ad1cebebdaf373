//! `chancery demo`: an organisation, a relay and ten people, on one machine, by itself.
//!
//! The demo calls the very program it is part of, as a person would, and judges only what these calls print
//! and what lies on disk. It ends all its processes and removes its folder on every way out.

mod checks;
mod group;
#[cfg(target_os = "linux")]
mod memory;
mod picture;
mod relay_view;
mod search;
mod stage;
mod story;
mod transcript;

use std::time::{Duration, Instant};

use chancery::{Error, ErrorCode};

use stage::Stage;

use crate::process::Failure;
use crate::stop::interrupted;

/// The demo ends by then, whatever happens.
const LIMIT: Duration = Duration::from_secs(110);

/// Plays the demo and prints it; returns whether every check has passed.
///
/// # Errors
///
/// [`ErrorCode::FileUnreadable`] if there is no place for temporary files: nothing was started.
pub(crate) async fn run(json: bool) -> Result<bool, Error> {
    let began = Instant::now();
    let mut stage =
        Stage::new(json).map_err(|failure| Error::with(ErrorCode::FileUnreadable, failure.to_string()))?;
    let outcome = tokio::select! {
        biased;
        () = interrupted() => Err(Failure::new("interrupted")),
        outcome = story::play(&mut stage) => outcome,
        () = tokio::time::sleep(LIMIT) => Err(Failure::new(format!("not done within {} s", LIMIT.as_secs()))),
    };
    let (end, told) = match outcome {
        Ok(()) => ("yes".into(), Ok(())),
        Err(failure) => (failure.to_string(), stage.transcript.stopped(&failure)),
    };
    stage.checks.equal("the story was played to its end", "yes", end);
    // A reader that has gone away has seen no table, and so no success.
    let told = told.and_then(|()| stage.transcript.summary(&stage.checks, began.elapsed()));
    Ok(stage.checks.passed() && told.is_ok())
}
