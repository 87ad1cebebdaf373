//! A real relay over loopback TLS, in this process and as the binary that is killed.

#[cfg(test)]
#[allow(dead_code, reason = "also used by the tests inside the crate")]
#[path = "../src/tests/fixture.rs"]
mod fixture;
#[cfg(test)]
mod scenarios {
    mod server;
}
