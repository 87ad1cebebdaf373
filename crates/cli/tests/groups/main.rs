//! Groups as people use them: processes of several members, a real relay, and who is out at the end.

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
mod bad_input;
#[cfg(test)]
mod eviction;
#[cfg(test)]
mod life;
#[cfg(test)]
mod orders;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../commands/support.rs"]
mod support;

use serde_json::Value;

use support::{Company, Outcome, string};

impl Company {
    /// Makes these people members; each hears of all who came before.
    fn people(&self, handles: &[&str]) {
        for handle in handles {
            self.member(handle);
        }
    }

    /// Founds a group, and returns its identifier.
    #[track_caller]
    fn found(&self, who: &str, name: &str, members: &[&str]) -> String {
        let created = self.group(who, &[&["create", name], members].concat()).ok();
        assert_eq!(created["state"], "done", "{created}");
        string(&created["group"])
    }

    /// Runs `chancery group …`.
    fn group(&self, who: &str, arguments: &[&str]) -> Outcome {
        self.command(who, &[&["group"], arguments].concat())
    }

    #[track_caller]
    fn show(&self, who: &str, group: &str) -> Value {
        self.group(who, &["show", group]).ok()
    }

    /// What `receive` prints.
    #[track_caller]
    fn hears(&self, who: &str) -> Vec<Value> {
        let received = self.command(who, &["receive"]);
        assert_eq!(received.code, 0, "{who}: {received:?}");
        received.lines
    }

    /// The texts that `receive` prints of messages.
    #[track_caller]
    fn reads(&self, who: &str) -> Vec<String> {
        texts(&self.hears(who))
    }

    #[track_caller]
    fn writes(&self, who: &str, group: &str, text: &str) {
        let sent = self.group(who, &["send", group, text]).ok();
        assert_eq!(sent["state"], "sent", "{sent}");
    }
}

fn texts(lines: &[Value]) -> Vec<String> {
    lines.iter().filter(|line| line["event"] == "message").map(|line| string(&line["text"])).collect()
}

/// What happened, in a word each.
fn acts(lines: &[Value]) -> Vec<String> {
    lines.iter().filter(|line| line["event"] == "group-act").map(|line| string(&line["act"])).collect()
}

/// Handles and roles of a group's members, by handle.
fn roles(shown: &Value) -> Vec<(String, String)> {
    let members = shown["members"].as_array().unwrap().iter();
    let mut roles: Vec<_> = members.map(|it| (string(&it["handle"]), string(&it["role"]))).collect();
    roles.sort();
    roles
}

/// Handles of the members, sorted.
fn handles(shown: &Value) -> Vec<String> {
    roles(shown).into_iter().map(|(handle, _)| handle).collect()
}
