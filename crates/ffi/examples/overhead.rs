//! What the C ABI costs beside the same calls in Rust: one process, a member for each, the calls in turns, medians.
//!
//! `cargo run --release -p chancery-ffi --example overhead`
//!
//! "Rust" is the call alone, with what it returns; "JSON" is the same and its text, which is what C gets; "C" is all that a program in C calls
//! for it, freeing included.

#![allow(clippy::print_stdout, reason = "it prints what it has measured")]

use std::hint::black_box;
use std::ptr::{null, null_mut};
use std::time::{Duration, Instant};

use chancery::{Client, json};
use chancery_dev::{Error, Organisation, PATIENCE};
use chancery_ffi::client::{
    chancery_client, chancery_client_free, chancery_client_me, chancery_client_new, chancery_client_send,
};
use chancery_ffi::key::{chancery_key_free, chancery_key_new_file};
use chancery_ffi::library::chancery_code;
use chancery_ffi::page::{chancery_client_history, chancery_page_free, chancery_page_json};
use chancery_ffi::text::{chancery_str, chancery_string, chancery_string_free, chancery_string_len};
use tokio::runtime::{Builder, Runtime};

/// Messages in the conversation that is read.
const MESSAGES: usize = 50;

fn text(text: &str) -> chancery_str {
    chancery_str { data: text.as_ptr().cast(), len: text.len() }
}

fn ok(code: chancery_code) -> Result<(), Error> {
    if code == 0 { Ok(()) } else { Err(format!("code {code}").into()) }
}

/// Looks at a text and frees it, as whoever calls does.
fn used(json: *mut chancery_string) -> Result<(), Error> {
    // SAFETY: a handle, which may be anything.
    let len = unsafe { chancery_string_len(json) };
    // SAFETY: as above.
    unsafe { chancery_string_free(json) };
    if len > 0 { Ok(()) } else { Err("no text".into()) }
}

/// A member's device as C has it.
struct InC(*mut chancery_client);

impl InC {
    fn open(acme: &Organisation, handle: &str) -> Result<Self, Error> {
        let path = |name: String| acme.folder().join(name).to_string_lossy().into_owned();
        let (home, file) = (path(handle.to_owned()), path(format!("{handle}.key")));
        let (mut key, mut client) = (null_mut(), null_mut());
        // SAFETY: the texts live until the functions return, and there is room for what they write.
        ok(unsafe { chancery_key_new_file(text(&file), false, &raw mut key) })?;
        // SAFETY: as above.
        ok(unsafe { chancery_client_new(text(&home), key, &raw mut client) })?;
        // SAFETY: a handle.
        unsafe { chancery_key_free(key) };
        Ok(Self(client))
    }

    fn me(&self) -> Result<(), Error> {
        let mut json = null_mut();
        // SAFETY: there is room for what it writes.
        ok(unsafe { chancery_client_me(self.0, &raw mut json) })?;
        used(json)
    }

    fn history(&self) -> Result<(), Error> {
        let (mut page, mut json) = (null_mut(), null_mut());
        // SAFETY: the text lives until it returns, and there is room for what it writes.
        ok(unsafe { chancery_client_history(self.0, text("bob"), 0, &raw mut page) })?;
        // SAFETY: there is room for what it writes.
        ok(unsafe { chancery_page_json(page, &raw mut json) })?;
        // SAFETY: a handle.
        unsafe { chancery_page_free(page) };
        used(json)
    }

    fn send(&self) -> Result<(), Error> {
        let mut json = null_mut();
        let sent =
            // SAFETY: the texts live until it returns, there are no files, and there is room for what it writes.
            unsafe { chancery_client_send(self.0, text("bob"), text("Tea?"), null(), 0, 30_000, &raw mut json) };
        ok(sent)?;
        used(json)
    }
}

impl Drop for InC {
    fn drop(&mut self) {
        // SAFETY: a handle.
        unsafe { chancery_client_free(self.0) };
    }
}

type Call<'a> = &'a mut dyn FnMut() -> Result<(), Error>;

/// Calls each in turn, and prints the medians and how the last compares with the first.
fn compare(what: &str, rounds: usize, calls: [Call<'_>; 3]) -> Result<(), Error> {
    let mut times: [Vec<Duration>; 3] = std::array::from_fn(|_| Vec::with_capacity(rounds));
    let [rust, with_json, c] = calls;
    for _ in 0..rounds {
        for (call, times) in [&mut *rust, &mut *with_json, &mut *c].into_iter().zip(&mut times) {
            let begun = Instant::now();
            call()?;
            times.push(begun.elapsed());
        }
    }
    let [rust, with_json, c] = times.map(|mut times| {
        times.sort();
        times.get(rounds / 2).map_or(0.0, |median| median.as_secs_f64() * 1e6)
    });
    println!(
        "{what} ({rounds} each): Rust {rust:.2} us, JSON {with_json:.2} us, C {c:.2} us; C to Rust {:.3}, C to JSON {:.3}",
        c / rust,
        c / with_json
    );
    Ok(())
}

fn run(runtime: &Runtime, client: &Client, c: &InC) -> Result<(), Error> {
    compare(
        "me",
        20_000,
        [
            &mut || {
                black_box(client.me());
                Ok(())
            },
            &mut || {
                black_box(json::me(client.me()).to_string());
                Ok(())
            },
            &mut || c.me(),
        ],
    )?;
    compare(
        "history of 50 messages",
        2_000,
        [
            &mut || {
                black_box(runtime.block_on(client.history("bob", 0))?);
                Ok(())
            },
            &mut || {
                let page = runtime.block_on(client.history("bob", 0))?;
                let shown: Vec<_> = page.iter().map(json::message).collect();
                black_box(serde_json::Value::from(shown).to_string());
                Ok(())
            },
            &mut || c.history(),
        ],
    )?;
    let send = || runtime.block_on(client.send("bob", "Tea?", &[], PATIENCE));
    compare(
        "send, until the relay of this process has it",
        300,
        [
            &mut || {
                black_box(send()?);
                Ok(())
            },
            &mut || {
                black_box(json::sent(&send()?).to_string());
                Ok(())
            },
            &mut || c.send(),
        ],
    )
}

fn main() -> Result<(), Error> {
    // The relay and the desk have threads of their own, and the client in Rust a runtime like the one that each client in C has.
    let relay = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let acme = relay.block_on(Organisation::start("Acme"))?;
    runtime.block_on(acme.member("bob"))?;
    let client = runtime.block_on(acme.member("rust"))?;
    drop(runtime.block_on(acme.member("c"))?);
    let c = InC::open(&acme, "c")?;
    for _ in 0..MESSAGES {
        runtime.block_on(client.send("bob", "Tea?", &[], PATIENCE))?;
        c.send()?;
    }
    run(&runtime, &client, &c)?;
    drop(c);
    // Ends the relay's tasks before their folder goes.
    relay.block_on(async { drop(acme) });
    Ok(())
}
