//! See `raftkv::fuzz::peer_frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| raftkv::fuzz::peer_frame(bytes));
