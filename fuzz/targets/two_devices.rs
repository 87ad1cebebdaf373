//! See `chancery_fuzz::two_devices`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chancery_fuzz::two_devices(data));
