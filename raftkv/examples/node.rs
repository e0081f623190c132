//! One node alone, for trying it by hand:
//! `cargo run -p raftkv --example node -- --id n1 --members n1=127.0.1.1 --data-dir /tmp/n1 --bootstrap`.

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: raftkv::node::Args,
}

fn main() -> ExitCode {
    match raftkv::node::run(Cli::parse().args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("node: {error}");
            ExitCode::FAILURE
        }
    }
}
