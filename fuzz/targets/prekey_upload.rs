//! See `chancery_fuzz::prekey_upload`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chancery_fuzz::prekey_upload(data));
