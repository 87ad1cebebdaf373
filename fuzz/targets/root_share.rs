//! See `chancery_fuzz::root_share`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chancery_fuzz::root_share(data));
