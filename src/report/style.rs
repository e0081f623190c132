//! Colour for people, and only for people: off in pipes, in CI and under NO_COLOR.

use std::io::IsTerminal;

/// Whether and how to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Escape sequences of ANSI terminals.
    Ansi,
    /// No escape sequences.
    Plain,
}

impl Style {
    /// What suits this stream, by the conventions of NO_COLOR and TERM=dumb.
    pub fn of(stream: &impl IsTerminal) -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        if stream.is_terminal() && !unwanted { Style::Ansi } else { Style::Plain }
    }

    /// Bold.
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// Green.
    pub fn good(self, text: &str) -> String {
        self.paint("32;1", text)
    }

    /// Red.
    pub fn bad(self, text: &str) -> String {
        self.paint("31;1", text)
    }

    /// Yellow.
    pub fn warn(self, text: &str) -> String {
        self.paint("33;1", text)
    }

    /// Grey.
    pub fn faint(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        match self {
            Style::Ansi => format!("\x1b[{code}m{text}\x1b[0m"),
            Style::Plain => text.to_owned(),
        }
    }
}
