//! See `raftkv::fuzz::raft_steps`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| raftkv::fuzz::raft_steps(bytes));
