//! What a call over a pipe costs beside the same call in Rust.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::caller::{Caller, Transport};
use crate::support::Company;

/// Calls of each kind.
const CALLS: usize = 500;

/// The median of a call.
fn median(mut call: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..CALLS)
        .map(|_| {
            let begun = Instant::now();
            call();
            begun.elapsed()
        })
        .collect();
    times.sort();
    times[CALLS / 2]
}

#[test]
fn a_call_over_a_pipe_costs_little_beside_the_same_in_rust() {
    let company = Company::open();
    company.member("alice");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let key = chancery::read_key_file(company.at("alice.key")).unwrap();
    let client = chancery::Client::open(&company.path("alice"), &key).unwrap();
    let rust = median(|| assert!(runtime.block_on(client.log_status()).unwrap().size > 0));
    drop(client);
    for transport in [Transport::Stdio, Transport::Socket, Transport::Tcp, Transport::Http] {
        let mut caller = Caller::start(&company, "alice", transport, &["--receive-mode", "manual"]);
        let rpc = median(|| drop(caller.ok("logStatus", json!({}))));
        let nothing = median(|| drop(caller.ok("version", json!({}))));
        println!(
            "logStatus: in Rust {} us, over {transport:?} {} us; version over {transport:?} {} us (medians of {CALLS})",
            rust.as_micros(),
            rpc.as_micros(),
            nothing.as_micros()
        );
        // Far above what it takes, so that a machine that is busy does not matter.
        assert!(nothing < Duration::from_millis(50), "{nothing:?}");
    }
}
