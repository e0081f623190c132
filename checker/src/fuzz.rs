//! What a fuzzer feeds: bytes from outside into the readers of histories.
//!
//! Each body returns for any bytes, and the harness around it takes a panic for the finding: a reader must not panic, must
//! name a place within the text where it refuses one, and must read a text in pieces as it reads it whole. The bodies lie
//! here, and not in `fuzz/`, so that the tests of the stable toolchain run them too (`tests/fuzz.rs`).
//! Invariant: a body is a function of its bytes. Not a part of the judgement; reference: the book of `cargo fuzz`.

use crate::history::formats::{
    self, CasFailure, Format, FormatError, Keys, NilReads, Reader, Reading, Recorded, Specification,
};
use crate::transactions;

/// A body and its name, which is that of its target and of its corpus.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] =
    &[("edn", edn), ("transactions", transactions), ("jsonl", jsonl), ("porcupine", porcupine)];

/// Jepsen's and Knossos' maps.
pub fn edn(bytes: &[u8]) {
    let Some((how, text)) = bytes.split_first() else { return };
    format(*how, Format::JepsenEdn, text);
}

/// Transactions in EDN and in elle-cli's JSON.
pub fn transactions(bytes: &[u8]) {
    let Some((how, text)) = bytes.split_first() else { return };
    let _ = transactions::looks_like(text);
    let mut reader = transactions::Reader::default();
    let pushed = text.chunks(piece(*how)).try_for_each(|piece| reader.push(piece));
    let pieces = pushed.and_then(|()| reader.finish());
    let whole = transactions::read(text);
    assert_eq!(pieces, whole, "in pieces of {}", piece(*how));
    if let Err(error) = whole {
        within(text, &error);
    }
}

/// The lines of a run of our own.
pub fn jsonl(bytes: &[u8]) {
    let Some((how, text)) = bytes.split_first() else { return };
    format(*how, Format::Raftcheck, text);
}

/// Porcupine's logs, Jepsen's `history.txt`, and Porcupine's texts.
pub fn porcupine(bytes: &[u8]) {
    let Some((how, text)) = bytes.split_first() else { return };
    let formats = [Format::PorcupineEtcd, Format::JepsenText, Format::PorcupineKv];
    format(*how, formats[usize::from(how / 8) % formats.len()], text);
}

/// A byte as the size of a piece.
fn piece(how: u8) -> usize {
    [1, 2, 3, 5, 16, 61, 1024, 4096][usize::from(how) % 8]
}

/// A byte as what the text does not tell.
fn reading(how: u8) -> Reading {
    Reading {
        cas_failure: [CasFailure::NothingHappened, CasFailure::Mismatch][usize::from(how / 8) % 2],
        nil_reads: [NilReads::Exact, NilReads::Ignored][usize::from(how / 16) % 2],
        keys: [Keys::Unsaid, Keys::One, Keys::Independent][usize::from(how / 32) % 3],
    }
}

fn format(how: u8, format: Format, text: &[u8]) {
    let reading = reading(how);
    let whole = formats::read(format, text, &reading);
    let pieces = in_pieces(format, text, &reading, piece(how));
    assert_eq!(pieces, whole, "in pieces of {}", piece(how));
    let _ = formats::detect(text);
    match whole {
        Err(error) => within(text, &error),
        Ok(recorded) => {
            let history = recorded.history();
            let operations = history.operations().expect("what was paired is well formed");
            assert!(operations.into_iter().eq(recorded.recording.operations()), "another pairing");
            assert_eq!(history.counts(), recorded.recording.counts());
            let _ = Specification::detect(&recorded);
            for specification in Specification::ALL {
                let mut settled = recorded.clone();
                if specification.fits(&recorded.functions).is_ok()
                    && specification.settle(&mut settled, reading.nil_reads).is_ok()
                {
                    let history = settled.history();
                    assert!(history.operations().is_ok(), "{specification} makes it malformed");
                }
            }
        }
    }
}

fn in_pieces(format: Format, text: &[u8], reading: &Reading, size: usize) -> Result<Recorded, FormatError> {
    let mut reader = Reader::new(format, reading)?;
    for piece in text.chunks(size) {
        reader.push(piece)?;
    }
    reader.finish()
}

/// The place of an error is in the text, or right behind it.
fn within(text: &[u8], error: &FormatError) {
    let mut lines = text.split(|&byte| byte == b'\n');
    let line = error.line.checked_sub(1).and_then(|before| lines.nth(before));
    let columns = line.map_or(0, |line| line.len() + 1);
    assert!((1..=columns).contains(&error.column), "{error} is not in the text");
}
