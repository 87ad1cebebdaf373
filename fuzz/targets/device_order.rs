//! See `chancery_fuzz::device_order`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chancery_fuzz::device_order(data));
