//! How far a file has come, as a bar on a terminal.

use std::sync::Arc;

use chancery::{Progress, ProgressFn};
use indicatif::{ProgressBar, ProgressStyle};

use crate::output::Output;
use crate::text::tame_line;

/// Digits of a blob's name, which stands in for a file's while it is uploaded.
const BLOB_NAME: usize = 32;

/// Returns what shows progress, if there is somebody to see it.
pub(crate) fn shown(output: Output) -> Option<ProgressFn> {
    if !output.has_viewer() {
        return None;
    }
    let bar = ProgressBar::hidden();
    let style = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    Some(Arc::new(move |progress: &Progress| show(&bar, progress)))
}

fn show(bar: &ProgressBar, progress: &Progress) {
    if progress.done >= progress.total {
        bar.finish_and_clear();
        bar.reset();
        bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
        return;
    }
    if bar.is_hidden() {
        bar.reset();
        bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
    }
    bar.set_message(label(&progress.name));
    bar.set_length(progress.total);
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
