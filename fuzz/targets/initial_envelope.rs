//! See `chancery_fuzz::initial_envelope`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chancery_fuzz::initial_envelope(data));
