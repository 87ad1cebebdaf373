//! See `chancery_fuzz::five_devices`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chancery_fuzz::five_devices(data));
