//! The `raftcheck` command. Everything is in the library; see `docs/architecture.md`.

fn main() -> std::process::ExitCode {
    raftcheck::cli::main().into()
}
