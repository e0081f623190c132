//! What the clients ask for.
//!
//! A [`Workload`] is asked for the next step of one client at a time and told how every call ended; a caller drives it.
//! Invariant: this crate performs no IO and knows no clock and no async runtime. What a client draws depends on the
//! seed, the client's number and its own earlier draws alone, so that another client, another fault or another machine
//! never shifts it. Deliberately absent: any judgement of the answers (that is the `checker` crate) and retries (a call
//! is made once; whether it took effect is the history's question).
//!
//! One kind of workload is one file in [`kinds`] and one line in [`registry`].

mod draw;
mod keys;
pub mod kinds;
mod pace;
mod settings;
mod step;
#[cfg(test)]
mod testing;
mod values;

pub use kinds::{WorkloadKind, find, registry};
pub use pace::Paced;
pub use step::{Context, Step, Workload};
pub use values::CLIENTS_MAX;
