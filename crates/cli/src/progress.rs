//! How far a file has come, as a bar on a terminal.

use std::sync::Arc;

use chancery::{Direction, Progress, ProgressFn};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::Output;
use crate::text::tame_line;

/// A bar, if there is somebody to see it.
#[derive(Debug, Clone)]
pub(crate) struct Bar(Option<ProgressBar>);

impl Bar {
    pub(crate) fn new(output: Output) -> Self {
        let bar = output.has_viewer().then(ProgressBar::hidden);
        if let Some(bar) = &bar {
            let style = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {eta}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        }
        Self(bar)
    }

    /// Returns what moves the bar.
    pub(crate) fn function(&self) -> Option<ProgressFn> {
        let bar = self.0.clone()?;
        Some(Arc::new(move |progress: &Progress| show(&bar, progress)))
    }

    /// Takes the bar away, before anything else is printed.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
    }
}

fn show(bar: &ProgressBar, progress: &Progress) {
    let is_new = bar.is_hidden();
    if is_new {
        bar.reset();
    }
    bar.set_length(progress.total);
    bar.set_message(label(progress.direction, &progress.name));
    if is_new {
        bar.set_draw_target(ProgressDrawTarget::stderr());
    }
    bar.set_position(progress.done);
}

fn label(direction: Direction, name: &str) -> String {
    let name = tame_line(name);
    if direction == Direction::Sending { format!("sending {name}") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_says_which_file_goes_which_way_without_control_characters() {
        assert_eq!(label(Direction::Sending, "menu.pdf"), "sending menu.pdf");
        assert_eq!(label(Direction::Receiving, "menu.pdf"), "menu.pdf");
        assert!(!label(Direction::Receiving, "menu\u{1b}[2J.pdf").contains('\u{1b}'));
    }
}
