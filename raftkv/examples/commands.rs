//! The two commands of the bundled node in one small program, `node` and `node-edit`, for the tests of other packages that
//! start real nodes. `cargo test --workspace` builds it before they run.

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
enum Cli {
    /// Run one node
    Node(Box<raftkv::node::Args>),
    /// Change the files of a stopped node
    NodeEdit(raftkv::offline::Args),
}

fn main() -> ExitCode {
    let ended = match Cli::parse() {
        Cli::Node(args) => raftkv::node::run(*args).map_err(|error| error.to_string()),
        Cli::NodeEdit(args) => raftkv::offline::run(&args).map_err(|error| error.to_string()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
