//! See `checker::fuzz::edn`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checker::fuzz::edn(bytes));
