//! `chancery chat`: conversations at a terminal, on the whole screen or line by line.
//!
//! One [`model`] says what is known and what a key or line does; it wants things ([`model::Want`]) that [`work`] does with the
//! library, and is told what came of them ([`model::News`]). [`view`] draws it on a [`screen`]; [`plain`] prints what has become
//! different, for screen readers and pipes.

mod command;
mod editor;
mod item;
mod keys;
mod model;
mod open;
mod overlay;
mod plain;
mod screen;
#[cfg(test)]
mod tests;
mod unsent;
mod view;
mod work;
mod wrap;

use std::io::IsTerminal as _;
use std::time::Duration;

use chancery::{Client, Error, ErrorCode};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;
use tokio::time::timeout;

use self::model::{Model, News, Own, Want};
use self::work::Worker;
use crate::args::ChatArgs;
use crate::failure::Failure;
use crate::key::Purpose;
use crate::output::Output;
use crate::stop::Stop;
use crate::text::tame_line;

/// How long what was wanted last may take, the drafts among it, before the program ends all the same.
const LEAVE: Duration = Duration::from_secs(2);

/// Whether the whole screen is drawn on, so that nothing else may be written there.
pub(crate) fn is_drawn(args: &ChatArgs) -> bool {
    let is_dumb = std::env::var_os("TERM").is_some_and(|name| name == "dumb");
    !args.plain && !is_dumb && std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// Waits until all that was wanted is done, what takes long among it; keeps what could not be stored, and returns how many
/// messages those are.
async fn last_words(
    model: &mut Model,
    news: &mut UnboundedReceiver<News>,
    wants: &UnboundedSender<Want>,
) -> usize {
    let mut lost: usize = 0;
    let _ = wants.send(Want::Echo);
    let settle = async {
        while let Some(told) = news.recv().await {
            match told {
                News::Echo | News::Ended(_) => break,
                News::NotSaid { .. } => {
                    lost = lost.saturating_add(1);
                    let kept = model.news(told).into_iter().chain(model.leave());
                    kept.for_each(|want| drop(wants.send(want)));
                }
                _ => {}
            }
        }
    };
    let _ = timeout(LEAVE, settle).await;
    lost
}

pub(crate) async fn run(args: &ChatArgs, output: Output) -> Result<(), Failure> {
    if output.is_json() {
        return Err(
            Error::with(ErrorCode::Usage, "chat is for people; `chancery rpc` serves programs").into()
        );
    }
    let home = args.home.folder()?;
    let key = args.home.key.source(Purpose::Open)?;
    let (told, mut news) = unbounded_channel();
    let client = Client::open_with(&home, &key, Some(work::progress(told.clone())))?;
    let me = client.me();
    let own = Own { handle: tame_line(&me.handle), organisation: tame_line(&me.organisation) };
    let stop = Stop::listen_at_terminal()?;
    let mut model = Model::new(own);
    let (wants, wanted) = unbounded_channel();
    if let Some(who) = &args.who {
        // Nobody can be gone already: the receiver is here.
        model.want_open(who.clone()).into_iter().for_each(|want| drop(wants.send(want)));
    }
    let work = async {
        let worker = Worker::new(client, told);
        let doing = worker.start(wanted);
        let ended = if is_drawn(args) {
            screen::run(&mut model, (&mut news, &wants), &stop).await
        } else {
            plain::run(&mut model, (&mut news, &wants), &stop).await
        };
        let kept = last_words(&mut model, &mut news, &wants).await;
        let lost = worker.sending();
        drop(wants);
        let _ = timeout(LEAVE, doing).await;
        for (count, what) in [(kept, "are kept as drafts"), (lost, "were not stored in time")] {
            if count > 0 && model.ended.is_none() {
                output.note(&format!("! messages that were not sent and {what}: {count}"));
            }
        }
        ended
    };
    LocalSet::new().run_until(work).await?;
    match model.ended {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}
