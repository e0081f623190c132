//! One self-contained HTML page: what was found, why, and a picture of the operations around it.
//!
//! Invariants: the page loads nothing, from the network or from elsewhere; whatever was recorded is untrusted text and
//! reaches the page only escaped; the size is bounded whatever the size of the history, because only a window of it is
//! drawn and the rest is counted. Without scripts the page still shows the verdicts, the sketch and the table of each
//! counterexample. Lacks a server, and lacks any way to load more.
//! The picture of operations as bars follows Porcupine's visualisation (<https://github.com/anishathalye/porcupine>).

mod document;
mod escape;
mod figures;
mod items;
mod keys;
mod nodes;
mod page;
mod run;
mod story;
mod timeline;
mod transactions;

#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;

pub use document::render;
pub use keys::picture as picture_of_operations;
pub use page::{Band, Finding, Mark, Page, Picture, Tab, Table, Tone};
pub use run::page as page_of_run;
pub(crate) use run::{call, material as material_of_run};
pub use timeline::{Call, End, Timeline};
pub use transactions::picture as picture_of_transactions;

/// The name of the page in a run directory.
pub const FILE: &str = "report.html";

/// Writes a page in one piece. The error names the file.
pub fn write(path: &Path, page: &Page) -> io::Result<()> {
    let text = render(page);
    let named = |error| crate::rundir::named(path, error);
    // A pipe or a device cannot be replaced.
    if path.symlink_metadata().is_ok_and(|found| !found.is_file()) {
        return std::fs::write(path, text).map_err(named);
    }
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let written = std::fs::write(&temporary, text).and_then(|()| std::fs::rename(&temporary, path));
    written.map_err(|error| {
        // Half a page helps nobody, and on a full disk its place does.
        let _ = std::fs::remove_file(&temporary);
        named(error)
    })
}
