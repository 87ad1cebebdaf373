//! `chancery chat` as people use it: real processes and a real relay, line by line through pipes and in a real terminal.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::print_stdout,
    reason = "a test"
)]

#[cfg(test)]
mod plain;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../commands/support.rs"]
mod support;
#[cfg(test)]
mod terminal;

use support::{Company, run};

impl Company {
    /// The words of `chancery chat` for a member.
    fn chat(&self, who: &str, arguments: &[&str]) -> Vec<String> {
        let mut words: Vec<String> =
            [&["chat"], arguments].concat().iter().map(ToString::to_string).collect();
        words.extend(["--home".into(), self.at(who), "--key-file".into(), self.at(&format!("{who}.key"))]);
        words
    }

    /// Ends a member.
    fn offboard(&self, who: &str) {
        let (org, key) = (self.at("org"), self.at("org.key"));
        let ended = run(&["org", "offboard", who, "--dir", &org, "--key-file", &key, "--json"]);
        assert_eq!(ended.code, 0, "{ended:?}");
    }
}
