//! Generates the wire types from `/proto`, without `protoc`.

use std::error::Error;
use std::path::PathBuf;

/// Messages with a field that must not be printed.
const SECRET: &[&str] = &[
    "Attachment",
    "Text",
    "ReplyTo",
    "Form",
    "FormValue",
    "Edit",
    "Invitation",
    "Enrolled",
    "DeskSettings",
    "DeskInvitation",
    "DeskMember",
    "GuestTokenRecord",
    "DeviceRecord",
    "DirectoryKeysRecord",
    "PendingEnrolmentRecord",
    "OutboxItem",
    "OutboxItem.step",
    "SessionRecord",
    "SkippedKey",
    "GroupFile",
    "GroupWelcome",
    "GroupHandOut",
    "GroupPath",
    "GroupRecord",
    "GroupInfo",
    "GroupStateRecord",
    "GroupEpochRecord",
    "GroupSecretRecord",
    "GroupCommitRecord",
    "NextGroupSet",
];

fn main() -> Result<(), Box<dyn Error>> {
    let proto = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(&proto)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "proto") {
            files.push(path);
        }
    }
    files.sort();
    println!("cargo:rerun-if-changed={}", proto.display());
    let descriptors = protox::compile(&files, [&proto])?;
    let mut config = prost_build::Config::new();
    config.btree_map(["."]);
    // Messages of the history are many, and few of them are acts, of groups or on messages.
    config.boxed(".chancery.v1.MessageRecord.act");
    config.boxed(".chancery.v1.MessageRecord.done");
    config.type_attribute(
        ".",
        "#[allow(missing_docs, reason = \"documented in /proto and docs/PROTOCOL.md\")]",
    );
    // Messages that hold secrets print their name only; the implementations are in `src/secret_debug.rs`.
    config.skip_debug(SECRET.iter().map(|name| format!(".chancery.v1.{name}")));
    config.compile_fds(descriptors)?;
    Ok(())
}
