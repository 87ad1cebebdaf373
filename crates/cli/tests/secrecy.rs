//! A marker in names, handles, texts and files is readable nowhere but where its key is.
//!
//! Each search is checked first: it must find the marker where it is.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::print_stdout,
    reason = "a test"
)]

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "commands/support.rs"]
mod support;

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;

use support::{Daemon, Outcome, chancery, run, string};

/// What a handle may consist of, and what nothing contains by chance.
const MARKER: &str = "vq7zk3mwx9tj2rhd5c";
const PASSPHRASE: &str = "correct horse battery staple 8315";
/// Bytes of memory that are read at once.
const BLOCK: usize = 1 << 20;

#[test]
fn a_marker_is_readable_nowhere_without_the_key() {
    let scene = Scene::open();
    let mut needles = Needles::of_marker(MARKER);
    controls(&needles, &scene.path("control"));

    let alice = scene.enroll("alice", &mut needles);
    let bob = scene.enroll("bob", &mut needles);
    needles.add("the passphrase", PASSPHRASE.as_bytes());
    for key in ["alice.key", "bob.key"] {
        needles.add(key, &std::fs::read(scene.path(key)).unwrap());
    }
    let follower = scene.follow("alice");
    let contents = format!("{MARKER} stands in this file.\n").repeat(12_000);
    let name = format!("report {MARKER}.txt");
    std::fs::write(scene.path(&name), &contents).unwrap();

    // Both directions, so that sessions have turned; then to somebody who is away.
    scene.member("alice", &["send", &bob, &format!("first {MARKER}")]).ok();
    scene.member("bob", &["receive"]).ok();
    scene.member("bob", &["send", &alice, &format!("second {MARKER}")]).ok();
    scene.member("alice", &["send", &bob, &format!("third {MARKER}"), "--file", &scene.at(&name)]).ok();
    scene.nothing_readable(&needles);

    let received = scene.member("bob", &["receive", "--save", &scene.at("downloads")]).ok();
    let saved = std::fs::read_to_string(string(&received["files"][0]["path"])).unwrap();
    assert!(saved == contents, "the file has other contents");
    let history = scene.member("bob", &["history", &alice]);
    assert!(
        history.lines.iter().all(|line| string(&line["text"]).ends_with(MARKER)) && history.lines.len() == 3
    );
    scene.nothing_readable(&needles);

    // Controls: the same search finds what a process does hold.
    let (found, bytes) = search_memory(follower.id(), &needles);
    assert!(
        found.iter().any(|found| found.starts_with("raw")),
        "alice's own name: {found:?} in {bytes} bytes"
    );
    scene.only_public_is_open();
    scene.end(&needles, follower);
}

/// The searches find every form of the marker in a file, and what an environment can hold of them in a memory.
fn controls(needles: &Needles, folder: &Path) {
    std::fs::create_dir_all(folder.join("deeper")).unwrap();
    let planted: Vec<u8> =
        needles.0.iter().flat_map(|(_, bytes)| [b"\x00\xFF", bytes.as_slice()].concat()).collect();
    std::fs::write(folder.join("deeper/planted"), planted).unwrap();
    let (found, _) = search_files(folder, needles);
    assert_eq!(found.len(), needles.0.len(), "{found:?}");

    // NUL ends a variable, so that UTF-16 has no place in one.
    let forms = needles.0.iter().map(|(_, bytes)| bytes).filter(|bytes| !bytes.contains(&0));
    let forms: Vec<Vec<u8>> = forms.cloned().collect();
    let mut sleep = Command::new("sleep");
    sleep.arg("60").stdin(Stdio::null()).env("PLANTED", OsString::from_vec(forms.join(&b' ')));
    let sleeper = Daemon::spawn(&mut sleep);
    let (found, bytes) = search_memory(sleeper.id(), needles);
    assert_eq!(found.len(), forms.len(), "{found:?} in {bytes} bytes");
}

/// An organisation with the marker in its name; its relay and desk log all that they can.
struct Scene {
    folder: tempfile::TempDir,
    relay: Daemon,
    desk: Daemon,
    org_id: Vec<u8>,
}

impl Scene {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| support::text(&folder.path().join(name));
        let (org, data, public) = (at("org"), at("data"), at("org/public"));
        let founded =
            with_passphrase(&["org", "init", "--name", &format!("Acme {MARKER}"), "--dir", &org]).ok();
        let org_id = unhex(&string(&founded["org_id"]));
        let listen = "127.0.0.1:0";
        let serve =
            ["relay", "--org", &public, "--data", &data, "--listen", listen, "--log", "trace", "--json"];
        let mut relay = Daemon::spawn(chancery(&serve).stderr(File::create(at("relay.log")).unwrap()));
        let ready = relay.line();
        let (url, pin) = (string(&ready["url"]), string(&ready["pin"]));
        with_passphrase(&["org", "relay", &url, "--pin", &pin, "--dir", &org]).ok();
        let serve = ["org", "serve", "--dir", &org, "--log", "trace", "--json"];
        let mut desk = chancery(&serve);
        desk.env("CHANCERY_PASSPHRASE", PASSPHRASE).stderr(File::create(at("desk.log")).unwrap());
        let mut desk = Daemon::spawn(&mut desk);
        assert_eq!(desk.line()["event"], "ready");
        Self { folder, relay, desk, org_id }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn at(&self, name: &str) -> String {
        support::text(&self.path(name))
    }

    /// Makes somebody a member, and returns the handle.
    fn enroll(&self, who: &str, needles: &mut Needles) -> String {
        let (handle, name) = (format!("{who}-{MARKER}"), format!("{who} {MARKER}"));
        let invited =
            with_passphrase(&["org", "invite", &handle, "--name", &name, "--dir", &self.at("org")]).ok();
        let link = string(&invited["link"]);
        needles.add("an invitation's secret", &secret_part(&link));
        self.member(who, &["enroll", &link]).ok();
        handle
    }

    fn words(&self, who: &str, arguments: &[&str]) -> Vec<String> {
        let (home, key) = (self.at(who), self.at(&format!("{who}.key")));
        let fixed = ["--home", &home, "--key-file", &key, "--json"];
        [arguments, &fixed].concat().iter().map(ToString::to_string).collect()
    }

    fn member(&self, who: &str, arguments: &[&str]) -> Outcome {
        run(&self.words(who, arguments).iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn follow(&self, who: &str) -> Daemon {
        let words = self.words(who, &["receive", "--follow", "--log", "trace"]);
        let mut command = chancery(&words.iter().map(String::as_str).collect::<Vec<_>>());
        Daemon::spawn(command.stderr(File::create(self.path(&format!("{who}.log"))).unwrap()))
    }

    /// Searches all that lies on disks, and the relay's memory.
    fn nothing_readable(&self, needles: &Needles) {
        for place in ["data", "alice", "bob", "org"] {
            let (found, bytes) = search_files(&self.path(place), needles);
            assert!(found.is_empty(), "{place}: {found:?}");
            assert!(bytes > 10_000, "{place} has only {bytes} bytes");
        }
        for log in ["relay.log", "desk.log", "alice.log"] {
            let (found, bytes) = search_file(&self.path(log), needles);
            assert!(found.is_empty(), "{found:?}");
            assert!(bytes > 0, "{log} is empty");
        }
        let (found, bytes) = search_memory(self.relay.id(), needles);
        assert!(found.is_empty(), "the relay's memory: {found:?}");
        // Control: what a relay must know is there, in files and memory.
        let mut known = Needles::default();
        known.add("the organisation", &self.org_id);
        assert_eq!(search_files(&self.path("data"), &known).0.len(), 1);
        assert_eq!(search_memory(self.relay.id(), &known).0.len(), 1, "in {bytes} bytes");
    }

    /// The relay has no passphrase, and of the organisation's folder nothing but `public` open or mapped.
    fn only_public_is_open(&self) {
        let environment = |id: u32| std::fs::read(format!("/proc/{id}/environ")).unwrap();
        let mut secrets = Needles::default();
        secrets.add("the variable", b"CHANCERY_PASSPHRASE");
        secrets.add("the passphrase", PASSPHRASE.as_bytes());
        assert_eq!(secrets.search(&environment(self.relay.id())), Vec::<String>::new());
        assert_eq!(secrets.search(&environment(self.desk.id())).len(), 2, "control");

        let (data, org, public) = (self.path("data"), self.path("org"), self.path("org/public"));
        let open = open_files(self.relay.id());
        assert!(open.iter().any(|(_, path)| path.starts_with(&data)), "control: {open:?}");
        for (descriptor, path) in &open {
            let name = path.to_str().unwrap();
            let kinds = ["socket:", "pipe:", "anon_inode:", "/dev/null", "/dev/urandom"];
            let is_no_file = kinds.iter().any(|kind| name.starts_with(kind));
            let allowed =
                *descriptor <= 2 || is_no_file || path.starts_with(&data) || path.starts_with(&public);
            assert!(allowed, "the relay has {name} open as {descriptor}");
        }
        let org_of_desk = open_files(self.desk.id()).iter().any(|(_, path)| path.starts_with(&org));
        assert!(org_of_desk, "control: the desk has the organisation's folder open");
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", self.relay.id())).unwrap();
        let mapped = maps.lines().filter_map(|line| line.find('/').map(|start| Path::new(&line[start..])));
        for path in mapped {
            assert!(
                !path.starts_with(&org) || path.starts_with(&public),
                "the relay maps {}",
                path.display()
            );
        }
    }

    /// Ends all processes; what they logged and printed on the way is searched, too.
    fn end(mut self, needles: &Needles, mut follower: Daemon) {
        follower.stop();
        self.desk.stop();
        self.relay.stop();
        assert_eq!(self.relay.try_line(), None::<Value>, "the relay prints one line");
        for log in ["relay.log", "desk.log", "alice.log"] {
            assert!(search_file(&self.path(log), needles).0.is_empty(), "{log}");
        }
        let (found, _) = search_files(&self.path("data"), needles);
        assert!(found.is_empty(), "{found:?}");
    }
}

fn with_passphrase(arguments: &[&str]) -> Outcome {
    let arguments = [arguments, &["--json"]].concat();
    let output = chancery(&arguments).env("CHANCERY_PASSPHRASE", PASSPHRASE).output().unwrap();
    Outcome::of(&output, &arguments)
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap()).collect()
}

/// The part of a link that only its recipient has: field 6 of the invitation, a protobuf message.
fn secret_part(link: &str) -> Vec<u8> {
    const SECRET: u8 = 6;
    let bytes = URL_SAFE_NO_PAD.decode(link.strip_prefix("chancery:").unwrap()).unwrap();
    let mut rest = bytes.as_slice();
    loop {
        let (tag, length) = (rest[0], usize::from(rest[1]));
        // Fields before it are lengths and bytes, but for the version, a small number.
        let is_bytes = tag & 7 == 2;
        if tag >> 3 == SECRET {
            assert!(is_bytes && length == 32);
            return rest[2..34].to_vec();
        }
        rest = &rest[if is_bytes { 2 + length } else { 2 }..];
    }
}

/// What must not be found, each with a label.
#[derive(Default)]
struct Needles(Vec<(String, Vec<u8>)>);

impl Needles {
    /// The marker in all forms in which it would leak.
    fn of_marker(marker: &str) -> Self {
        let mut needles = Self::default();
        needles.add("raw", marker.as_bytes());
        needles.add("UTF-16", &marker.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>());
        let hex: String = marker.bytes().map(|byte| format!("{byte:02x}")).collect();
        needles.add("hexadecimal", hex.as_bytes());
        let numbers: Vec<String> = marker.bytes().map(|byte| byte.to_string()).collect();
        needles.add("as numbers", numbers.join(", ").as_bytes());
        for before in 0..3 {
            needles.add(&format!("base64 after {before}"), in_base64(marker, before).as_bytes());
        }
        needles
    }

    fn add(&mut self, label: &str, bytes: &[u8]) {
        assert!(bytes.len() >= 16, "{label} would be found by chance");
        self.0.push((label.into(), bytes.into()));
    }

    /// Returns the label of every needle that occurs, with what stands around it.
    fn search(&self, haystack: &[u8]) -> Vec<String> {
        let mut begins = [false; 256];
        for (_, needle) in &self.0 {
            begins[usize::from(needle[0])] = true;
        }
        let mut found: Vec<Option<String>> = vec![None; self.0.len()];
        for (start, first) in haystack.iter().enumerate() {
            if !begins[usize::from(*first)] {
                continue;
            }
            for ((label, needle), found) in self.0.iter().zip(&mut found) {
                if found.is_none() && haystack[start..].starts_with(needle) {
                    let around = start.saturating_sub(40)..(start + needle.len() + 20).min(haystack.len());
                    *found = Some(format!("{label}: {}", haystack[around].escape_ascii()));
                }
            }
        }
        found.into_iter().flatten().collect()
    }

    fn longest(&self) -> usize {
        self.0.iter().map(|(_, needle)| needle.len()).max().unwrap_or(0)
    }
}

/// The characters that the marker becomes in base64 if `before` bytes (modulo 3) stand before it, whatever
/// stands around it.
fn in_base64(marker: &str, before: usize) -> String {
    let text = [vec![0; before], marker.as_bytes().to_vec()].concat();
    let encoded = STANDARD_NO_PAD.encode(&text);
    assert_eq!(encoded, URL_SAFE_NO_PAD.encode(&text), "one form for both alphabets");
    let begin = (before * 8).div_ceil(6);
    let end = text.len() * 8 / 6;
    encoded[begin..end].to_owned()
}

/// Searches everything below a folder, names included; returns what was found, and the bytes read.
fn search_files(folder: &Path, needles: &Needles) -> (Vec<String>, usize) {
    let (mut all, mut bytes) = (Vec::new(), 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = entry.path();
        let here = needles.search(entry.file_name().as_encoded_bytes());
        all.extend(here.into_iter().map(|found| format!("{} is named {found}", path.display())));
        let (found, read) = match entry.file_type().unwrap().is_dir() {
            true => search_files(&path, needles),
            false => search_file(&path, needles),
        };
        all.extend(found);
        bytes += read;
    }
    (all, bytes)
}

fn search_file(path: &Path, needles: &Needles) -> (Vec<String>, usize) {
    match std::fs::read(path) {
        Ok(contents) => {
            let found = needles.search(&contents);
            (found.into_iter().map(|found| format!("{}: {found}", path.display())).collect(), contents.len())
        }
        // A running process may have removed it since the folder was listed.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => (Vec::new(), 0),
        Err(error) => panic!("{}: {error}", path.display()),
    }
}

/// Searches all that a child process can read of its own memory; returns what was found, and the bytes read.
fn search_memory(id: u32, needles: &Needles) -> (Vec<String>, usize) {
    let maps = std::fs::read_to_string(format!("/proc/{id}/maps")).unwrap();
    let memory = File::open(format!("/proc/{id}/mem")).unwrap();
    let (mut all, mut bytes, mut block) = (Vec::new(), 0, vec![0; BLOCK]);
    for (start, end) in maps.lines().filter_map(readable) {
        let mut at = start;
        while at < end {
            let wanted = BLOCK.min(usize::try_from(end - at).unwrap());
            // Pages may go while this reads; and the kernel's own cannot be read.
            let Ok(read @ 1..) = memory.read_at(&mut block[..wanted], at) else { break };
            all.extend(needles.search(&block[..read]));
            bytes += read;
            // What lies across the border of two blocks is seen in the second.
            let step = if read > needles.longest() { read - needles.longest() } else { read };
            at +=
                if at + u64::try_from(read).unwrap() < end { u64::try_from(step).unwrap() } else { end - at };
        }
    }
    assert!(bytes > 100_000, "only {bytes} bytes of memory could be read");
    // One needle may stand in several places.
    let label = |found: &String| found.split(':').next().map(str::to_owned);
    all.sort();
    all.dedup_by_key(|found| label(found));
    (all, bytes)
}

/// Start and end of a readable region in `/proc/PID/maps`.
fn readable(line: &str) -> Option<(u64, u64)> {
    let mut words = line.split(' ');
    let (start, end) = words.next()?.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    words.next()?.starts_with('r').then_some((number(start)?, number(end)?))
}

/// What a process has open.
fn open_files(id: u32) -> Vec<(u32, PathBuf)> {
    let entries = std::fs::read_dir(format!("/proc/{id}/fd")).unwrap().map(Result::unwrap);
    let number = |entry: &std::fs::DirEntry| entry.file_name().to_str().unwrap().parse().unwrap();
    entries.filter_map(|entry| Some((number(&entry), std::fs::read_link(entry.path()).ok()?))).collect()
}
