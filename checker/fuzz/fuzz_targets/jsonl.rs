//! See `checker::fuzz::jsonl`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checker::fuzz::jsonl(bytes));
