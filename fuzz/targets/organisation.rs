//! See `chancery_fuzz::organisation`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chancery_fuzz::organisation(data));
