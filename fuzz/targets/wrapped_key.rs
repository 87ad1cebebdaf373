//! See `chancery_fuzz::wrapped_key`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chancery_fuzz::wrapped_key(data));
