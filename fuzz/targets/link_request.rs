//! See `chancery_fuzz::link_request`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chancery_fuzz::link_request(data));
