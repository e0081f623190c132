//! What is wrong with a suite, all of it at once, each with its position and a way out.
//!
//! Invariant: every diagnostic points at a place in the file or in a `--set` argument, and its message stands on its
//! own without the picture. Deliberately absent: warnings. A suite is right, or it is not run.

use std::fmt;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;

/// The text in which a place lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The suite file.
    File,
    /// The `--set` argument of this number, counted from 0.
    Set(usize),
}

/// A range of bytes in the suite file or in a `--set` argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which text.
    pub origin: Origin,
    /// Which bytes of it.
    pub range: Range<usize>,
}

impl Place {
    /// A range of the suite file.
    pub(super) fn file(range: Range<usize>) -> Self {
        Self { origin: Origin::File, range }
    }

    /// A range of a `--set` argument.
    pub(super) fn set(argument: usize, range: Range<usize>) -> Self {
        Self { origin: Origin::Set(argument), range }
    }
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Where.
    pub place: Place,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What stands under the caret; may be empty.
    pub label: String,
    /// Other places that have to do with it, each with what it has to do with it.
    pub also: Vec<(Place, String)>,
    /// How to put it right.
    pub help: Vec<String>,
}

impl Diagnostic {
    /// A problem at a place.
    pub(super) fn new(place: Place, message: impl Into<String>) -> Self {
        Self { place, message: message.into(), label: String::new(), also: Vec::new(), help: Vec::new() }
    }

    /// Writes this under the caret.
    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Points at another place, too.
    pub(super) fn also(mut self, place: Place, label: impl Into<String>) -> Self {
        self.also.push((place, label.into()));
        self
    }

    /// Adds a way out.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }
}

/// The problems that were found so far.
#[derive(Debug, Default)]
pub(super) struct Diagnostics {
    found: Vec<Diagnostic>,
}

impl Diagnostics {
    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        // A broken anchor is met at each of its aliases; one report of it is enough.
        if !self.found.contains(&diagnostic) {
            self.found.push(diagnostic);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.found.len()
    }

    /// Moves everything found since there were `mark` problems to this place, for text that is not in any file.
    pub(super) fn relocate(&mut self, mark: usize, place: &Place, note: &str) {
        for diagnostic in &mut self.found[mark..] {
            diagnostic.place = place.clone();
            diagnostic.also.clear();
            diagnostic.help.insert(0, note.to_owned());
        }
    }

    /// Adds what the templates stand for to everything found since there were `mark` problems at a template's place.
    pub(super) fn annotate(&mut self, mark: usize, notes: &[(Place, String)]) {
        for diagnostic in &mut self.found[mark..] {
            let notes = notes.iter().filter(|(place, _)| *place == diagnostic.place);
            diagnostic.help.extend(notes.map(|(_, note)| note.clone()));
        }
    }

    /// Ends the reading: what was found, with the texts to show it in.
    pub(super) fn into_problems(mut self, file: &str, source: String, sets: &[String]) -> Problems {
        self.found.sort_by_key(|found| (found.place.origin, found.place.range.start, found.place.range.end));
        Problems { file: file.to_owned(), source, sets: sets.to_vec(), found: self.found }
    }
}

/// Everything that is wrong with a suite, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    file: String,
    source: String,
    sets: Vec<String>,
    found: Vec<Diagnostic>,
}

/// Whether a rendering is meant for a terminal that shows colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// No escape sequences.
    Plain,
    /// ANSI escape sequences.
    Ansi,
}

/// A problem for machines: the same text, and the position in lines and columns, both counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Located {
    /// The file, or `--set`.
    pub file: String,
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What stands under the caret.
    pub label: String,
    /// How to put it right.
    pub help: Vec<String>,
}

impl Problems {
    /// The problems; never none.
    pub fn all(&self) -> &[Diagnostic] {
        &self.found
    }

    /// The problems with line and column, for `--format json`.
    pub fn located(&self) -> Vec<Located> {
        let located = |found: &Diagnostic| {
            let (path, text) = self.text(found.place.origin);
            let before = &text[..found.place.range.start];
            Located {
                file: path.to_owned(),
                line: before.matches('\n').count() + 1,
                column: before.rsplit('\n').next().unwrap_or("").chars().count() + 1,
                message: found.message.clone(),
                label: found.label.clone(),
                help: found.help.clone(),
            }
        };
        self.found.iter().map(located).collect()
    }

    /// The report for a person: every problem with its line and a caret, then how many there are.
    pub fn render(&self, colour: Colour) -> String {
        let renderer = match colour {
            Colour::Plain => Renderer::plain(),
            Colour::Ansi => Renderer::styled(),
        };
        let renderer = renderer.decor_style(DecorStyle::Ascii);
        let mut report = String::new();
        for found in &self.found {
            report.push_str(&renderer.render(&[self.group(found)]));
            report.push_str("\n\n");
        }
        let count = match self.found.len() {
            1 => "1 error".to_owned(),
            count => format!("{count} errors"),
        };
        report.push_str(&format!("{}: {count}, nothing was run\n", self.file));
        report
    }

    fn group<'a>(&'a self, found: &'a Diagnostic) -> Group<'a> {
        let (path, text) = self.text(found.place.origin);
        let mut snippet = Snippet::source(text).path(path).fold(true);
        let primary = AnnotationKind::Primary.span(found.place.range.clone());
        snippet =
            snippet.annotation(if found.label.is_empty() { primary } else { primary.label(&found.label) });
        for (place, label) in found.also.iter().filter(|(place, _)| place.origin == found.place.origin) {
            snippet = snippet.annotation(AnnotationKind::Context.span(place.range.clone()).label(label));
        }
        let group = Level::ERROR.primary_title(&found.message).element(snippet);
        found.help.iter().fold(group, |group, help| group.element(Level::HELP.message(help)))
    }

    fn text(&self, origin: Origin) -> (&str, &str) {
        match origin {
            Origin::File => (&self.file, &self.source),
            Origin::Set(argument) => ("--set", &self.sets[argument]),
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Colour::Plain))
    }
}

impl std::error::Error for Problems {}
