//! The reader against a vocabulary of its own: what a suite becomes, how errors read, and bytes that are no suite.

mod errors;
mod hostile;
mod matrix;
mod reading;
mod schema;
mod steps;
mod suites;
mod vocabulary;
