//! See `chancery_fuzz::stored_keys`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chancery_fuzz::stored_keys(data));
