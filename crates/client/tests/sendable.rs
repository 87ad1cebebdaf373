//! Every future of this crate may be moved to another thread: applications spawn them on runtimes of several threads.
#![cfg(test)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chancery::organisation::{self, Administrator, GroupOrder, OffboardingPlan, SignedWith, Witness};
use chancery::transport::Transport;
use chancery::{
    Client, EventStream, Form, Group, GroupRole, KeySource, Message, MessageRef, Outgoing, ReceiptSettings,
};

const PATIENCE: Duration = Duration::ZERO;

fn is_send<T: Send>(_: T) {}

/// What is here compiles, or it does not: nobody calls it.
#[expect(dead_code, reason = "that it compiles is the test")]
fn of_what_happens(client: &Client, events: &mut EventStream) {
    is_send(client.events());
    is_send(client.events_from(0));
    is_send(client.take_events(0));
    is_send(events.next());
}

#[expect(dead_code, reason = "that it compiles is the test")]
fn of_a_client(client: &Client, (message, which): (&Message, MessageRef), path: &Path) {
    is_send(client.send("", "", &[], PATIENCE));
    is_send(client.send_message("", Outgoing::default(), PATIENCE));
    is_send(client.send_form("", "", Form::default(), PATIENCE));
    is_send(client.reply(which, "", &[], PATIENCE));
    is_send(client.edit(which, "", &[], PATIENCE));
    is_send(client.delete(which, PATIENCE));
    is_send(client.react(which, "", false, PATIENCE));
    is_send(client.answer_form(which, &[], PATIENCE));
    is_send(client.find_message("", ""));
    is_send(client.conversations());
    is_send(client.conversation(""));
    is_send(client.history_before("", None, 1));
    is_send(client.message(&which.author, &which.id));
    is_send(client.mark_read("", 0));
    is_send(client.set_draft("", ""));
    is_send(client.draft(""));
    is_send(client.members("", None));
    is_send(client.member(""));
    is_send(client.resolve(""));
    is_send(client.history("", 0));
    is_send(client.save_attachment(message, 0, path));
    is_send(client.save_attachment_as(message, 0, path));
    is_send(client.read_attachment(message, 0, 0));
    is_send(client.readers(""));
    is_send(client.unaddressed());
    is_send(client.discard([0; 16]));
    is_send(client.clone().close());
    is_send(client.file_waits(message, 0));
    is_send(client.give_up_file(message, 0));
    is_send(client.waiting_files());
    is_send(client.sync(PATIENCE));
    is_send(client.follow(async {}));
    is_send(client.send_waiting(PATIENCE));
}

#[expect(dead_code, reason = "that it compiles is the test")]
fn of_a_device(client: &Client, settings: ReceiptSettings) {
    is_send(client.device_link());
    is_send(client.devices());
    is_send(client.device_requests());
    is_send(client.approve_device("", PATIENCE));
    is_send(client.remove_device("", PATIENCE));
    is_send(client.log_status());
    is_send(client.log_entries());
    is_send(client.policy());
    is_send(client.fork_proof());
    is_send(client.checkpoint());
    is_send(client.raise_checkpoint(""));
    is_send(client.receipt_settings());
    is_send(client.set_receipt_settings(settings));
    is_send(client.disappearing(""));
    is_send(client.set_disappearing("", None));
    is_send(client.typing("", false));
    is_send(client.create_group("", &[], PATIENCE));
    is_send(client.groups());
    is_send(client.group(""));
}

#[expect(dead_code, reason = "that it compiles is the test")]
fn of_a_group(group: &Group) {
    is_send(group.add(&[], GroupRole::Member, PATIENCE));
    is_send(group.remove(&[], PATIENCE));
    is_send(group.set_role("", GroupRole::Member, PATIENCE));
    is_send(group.hand_over("", PATIENCE));
    is_send(group.leave(PATIENCE));
    is_send(group.rename("", PATIENCE));
    is_send(group.set_policy(|_| {}, PATIENCE));
    is_send(group.dissolve(PATIENCE));
    is_send(group.heal(PATIENCE));
    is_send(group.execute("", PATIENCE));
    is_send(group.send("", &[], PATIENCE));
    is_send(group.send_message(Outgoing::default(), PATIENCE));
    is_send(group.send_form("", Form::default(), PATIENCE));
    is_send(group.find_message(""));
    is_send(group.history(0));
    is_send(group.members());
    is_send(group.state());
}

#[expect(dead_code, reason = "that it compiles is the test")]
fn of_who_enrols(transport: Arc<dyn Transport>, path: &Path, key: &KeySource) {
    is_send(Client::enroll(path, key, "", PATIENCE));
    is_send(Client::enroll_with(path, key, "", PATIENCE, |_: &str| {}));
    is_send(Client::enroll_over(transport, (path, key), "", PATIENCE, |_: &str| {}));
}

#[expect(dead_code, reason = "that it compiles is the test")]
fn of_an_administrator(
    administrator: &Administrator,
    (plan, order, with): (&OffboardingPlan, &GroupOrder, SignedWith<'_>),
    (witness, path, key): (&Witness, &Path, &KeySource),
) {
    is_send(administrator.verify_offboarded(""));
    is_send(administrator.confirmed_ends(plan));
    is_send(administrator.send());
    is_send(administrator.log());
    is_send(administrator.order_group(with, ([0; 16], 0), order));
    is_send(witness.once());
    is_send(organisation::serve(path, key, |_| {}, async {}));
    is_send(organisation::fetch_log_key(path, "", &[0; 32], None));
}

/// Finds the names behind `pub async fn` in the files of a folder.
fn names(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            names(&path, found);
            continue;
        }
        let text = std::fs::read_to_string(path).unwrap();
        let calls = text.split("pub async fn ").skip(1);
        found.extend(calls.map(|call| call.split(['(', '<']).next().unwrap().to_owned()));
    }
}

#[test]
fn no_future_of_this_crate_is_left_out_here() {
    let mut found = Vec::new();
    names(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(found.len() > 70, "{found:?}");
    let lines = include_str!("sendable.rs").lines().map(str::trim_start);
    let here: String = lines.filter(|line| line.starts_with("is_send(")).collect();
    for name in found {
        assert!(here.contains(&format!(".{name}(")) || here.contains(&format!("::{name}(")), "{name}");
    }
}
