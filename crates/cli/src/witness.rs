//! `chancery witness`: watching an organisation's log from outside, and saying so under a key of one's own.

use std::time::Duration;

use chancery::Error;
use chancery::organisation::{Witness, Witnessed};
use serde_json::json;

use crate::args::WitnessCommand;
use crate::failure::Failure;
use crate::output::Output;
use crate::stop::Stop;
use crate::text::{hex, rfc3339, short_time};

/// How often a witness looks: every minute, ten times as often as a log signs that has not grown.
const INTERVAL: Duration = Duration::from_secs(60);

pub(crate) async fn run(command: WitnessCommand, output: Output) -> Result<(), Failure> {
    match command {
        WitnessCommand::Init(args) => {
            let witness = Witness::init(&args.dir, &args.org)?;
            let key = hex(&witness.key());
            let object = json!({"key": key, "name": witness.name()});
            output.result(&object, || format!("witness {}, key {key}", witness.name()))?;
            output.note(&format!(
                "Next, by an administrator: chancery org policy set --witness {key} --witness-quorum 1 --dir DIR"
            ));
            Ok(())
        }
        WitnessCommand::Once(args) => {
            let seen = Witness::open(&args.dir)?.once().await?;
            print(&seen, output)
        }
        WitnessCommand::Run(args) => {
            let witness = Witness::open(&args.dir)?;
            let stop = Stop::listen(false)?;
            tokio::select! {
                () = stop.wait() => Ok(()),
                ended = keep_watching(&witness, output) => ended,
            }
        }
    }
}

/// Looks again and again. A log that contradicts itself ends it: somebody has to look at that.
async fn keep_watching(witness: &Witness, output: Output) -> Result<(), Failure> {
    loop {
        match witness.once().await {
            Ok(seen) if seen.is_new => print(&seen, output)?,
            Ok(_) => {}
            Err(error) if may_pass(&error) => {
                tracing::warn!(code = error.code().name(), "nothing was cosigned");
            }
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Whether the next round may go well: the relay is away, or the policy does not name this witness yet.
fn may_pass(error: &Error) -> bool {
    use chancery::ErrorCode::{LogRolledBack, RelayConflict, RelayNotAuthorised};
    let waits = matches!(error.code(), RelayConflict | RelayNotAuthorised);
    error.code() != LogRolledBack && (waits || error.is_retryable())
}

fn print(seen: &Witnessed, output: Output) -> Result<(), Failure> {
    let (root, time) = (hex(&seen.root), seen.time.as_millis());
    let object =
        json!({"size": seen.size, "root": root, "checkpoint": rfc3339(time), "cosigned": seen.is_new});
    output.result(&object, || {
        let done = if seen.is_new { "cosigned" } else { "cosigned before" };
        format!("{done}: {} entries, root {root}, as of {}", seen.size, short_time(time))
    })
}
