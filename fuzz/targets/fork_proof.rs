//! See `chancery_fuzz::fork_proof`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chancery_fuzz::fork_proof(data));
