//! A small replicated key-value store on Raft, whose protocol rules can be switched off one at a time.

mod clock;
pub mod datadir;
mod driver;
pub mod failpoints;
pub mod fuzz;
pub mod http;
mod inbox;
pub mod kept;
pub mod machine;
pub mod node;
pub mod offline;
pub mod peers;
pub mod raft;
pub mod sessions;
pub mod sim;
pub mod snapshot;
pub mod store;
pub mod tracefile;
pub mod wal;
mod writer;
