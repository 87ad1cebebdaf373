//! The terminal: keys in, a screen out, and everything as it was at the end.

use std::io::{Stdout, stdout};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chancery::ErrorCode;
use crossterm::event::{
    DisableBracketedPaste, DisableFocusChange, EnableBracketedPaste, EnableFocusChange, Event, EventStream,
    KeyCode,
};
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use crossterm::{cursor, execute};
use futures_util::StreamExt as _;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::sleep;

use super::keys::is_ctrl;
use super::model::{Model, News, Want};
use super::view::{Drawn, View};
use super::wrap::Clock;
use crate::failure::{Failure, system};
use crate::stop::Stop;

/// How long after the last key a draft is kept.
const KEEP_DRAFT: Duration = Duration::from_secs(1);
/// For ever, as far as a timer goes: a day.
const FOREVER: Duration = Duration::from_secs(86_400);

/// Whether some part of the program has given up, and the terminal was given back.
static HAS_PANICKED: AtomicBool = AtomicBool::new(false);
/// Wakes who waits for keys then.
static PANICKED: Notify = Notify::const_new();

/// The time, in milliseconds.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The terminal as this program has it, until this is dropped.
struct Screen(Terminal<CrosstermBackend<Stdout>>);

impl Screen {
    fn begin() -> Result<Self, Failure> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                HAS_PANICKED.store(true, Ordering::Relaxed);
                restore();
                before(info);
                PANICKED.notify_one();
            }));
        });
        let begun = enable_raw_mode()
            .and_then(|()| execute!(stdout(), EnterAlternateScreen, EnableBracketedPaste, EnableFocusChange))
            .and_then(|()| Terminal::new(CrosstermBackend::new(stdout())));
        begun.map(Self).map_err(|error| {
            restore();
            system(&error, "the terminal").into()
        })
    }

    fn draw(&mut self, view: &View, model: &mut Model) -> Result<Drawn, Failure> {
        let mut drawn = Drawn::default();
        let frame = self.0.draw(|frame| {
            drawn = view.draw(model, frame.buffer_mut());
            if let Some(at) = drawn.cursor {
                frame.set_cursor_position(at);
            }
        });
        frame.map_err(|error| system(&error, "the terminal"))?;
        Ok(drawn)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back as it was; what cannot be done there nobody can do better.
fn restore() {
    let _ = execute!(stdout(), DisableFocusChange, DisableBracketedPaste, LeaveAlternateScreen, cursor::Show);
    let _ = disable_raw_mode();
}

/// Draws and takes keys until the end.
pub(super) async fn run(
    model: &mut Model,
    (news, wants): (&mut UnboundedReceiver<News>, &UnboundedSender<Want>),
    stop: &Stop,
) -> Result<(), Failure> {
    let has_colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let view = View { clock: Clock::system(), has_colours };
    let mut screen = Screen::begin()?;
    let (mut keys, mut pending, mut draft) = (EventStream::new(), vec![Want::List], FOREVER);
    while !model.has_quit {
        if HAS_PANICKED.load(Ordering::Relaxed) {
            return Err(ErrorCode::Internal.into());
        }
        model.now = now();
        let drawn = screen.draw(&view, model)?;
        pending.extend(model.seen(&drawn.seen));
        if drawn.is_at_top {
            pending.extend(model.want_older());
        }
        // Not before: what is taken as shown was shown.
        pending.drain(..).for_each(|want| drop(wants.send(want)));
        let typing =
            model.next_end().map_or(FOREVER, |end| Duration::from_millis(end.saturating_sub(model.now)));
        tokio::select! {
            event = keys.next() => {
                let Some(Ok(event)) = event else { break };
                model.now = now();
                if matches!(event, Event::Key(key) if is_ctrl(key) && key.code == KeyCode::Char('l')) {
                    screen.0.clear().map_err(|error| system(&error, "the terminal"))?;
                }
                draft = KEEP_DRAFT;
                pending = happened(model, event);
            }
            Some(told) = news.recv() => {
                model.now = now();
                pending = model.news(told);
                while let Ok(told) = news.try_recv() {
                    pending.extend(model.news(told));
                }
            }
            () = sleep(typing) => {}
            () = sleep(draft) => {
                draft = FOREVER;
                pending = model.leave();
            }
            // That is looked at before anything is drawn.
            () = PANICKED.notified() => {}
            () = stop.wait() => break,
        }
    }
    pending.extend(model.leave());
    pending.into_iter().for_each(|want| drop(wants.send(want)));
    Ok(())
}

/// What the terminal has told.
fn happened(model: &mut Model, event: Event) -> Vec<Want> {
    match event {
        Event::Key(key) => return model.key(key),
        Event::Paste(text) => return model.paste(&text),
        Event::FocusGained => model.is_watched = true,
        Event::FocusLost => model.is_watched = false,
        // It is drawn anew in any case.
        Event::Resize(..) | Event::Mouse(_) => {}
    }
    Vec::new()
}
