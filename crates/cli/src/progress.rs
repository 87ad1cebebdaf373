//! How far a file has come, as a bar on a terminal.

use std::sync::Arc;

use chancery::{Progress, ProgressFn};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::Output;
use crate::text::tame_line;

/// Digits of a blob's name, which stands in for a file's while it is uploaded.
const BLOB_NAME: usize = 32;

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
    bar.set_message(label(&progress.name));
    if is_new {
        bar.set_draw_target(ProgressDrawTarget::stderr());
    }
    bar.set_position(progress.done);
}

fn label(name: &str) -> String {
    let is_blob = name.len() == BLOB_NAME && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_blob { "sending".to_owned() } else { tame_line(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_blob_is_not_shown() {
        assert_eq!(label(&"0a".repeat(16)), "sending");
        assert_eq!(label("menu.pdf"), "menu.pdf");
    }
}
