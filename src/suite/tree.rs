//! YAML as a tree in which every key and every value knows where it stands.
//!
//! Scalars stay text: `on`, `007` and `400/s` mean what the reader of that place says, and not what a YAML schema says.
//! Anchors, aliases and merge keys (`<<`) work. Invariant: a tree has no duplicate keys, no keys that are not scalars,
//! and at most [`NODES_MAX`] nodes however often an alias is repeated. Deliberately absent: tags and several documents
//! in one file, which a suite has no use for. Reference: YAML 1.2.2.

use std::collections::BTreeMap;
use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::diagnostics::{Diagnostic, Diagnostics, Place};

/// The most nodes of one tree, aliases expanded.
const NODES_MAX: usize = 20_000;
/// How deep collections may lie in one another.
const DEPTH_MAX: usize = 32;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// Any other scalar, as text.
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scalar {
    pub(super) text: String,
    /// Whether it stands there without quotes, so that `5` would be a number.
    pub(super) style: Style,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Quoted,
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_place: Place,
    pub(super) value: Node,
}

impl Node {
    /// What stands here, for "expected a duration, not a list".
    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Scalar(_) => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }
}

/// Reads a file; `None` if it is no tree at all, with the reason in `out`.
pub(super) fn parse(source: &str, out: &mut Diagnostics) -> Option<Node> {
    let mut builder =
        Builder { source, parser: Parser::new_from_str(source), anchors: BTreeMap::new(), nodes: 0, out };
    match builder.document() {
        Ok(node) => node,
        Err(stop) => {
            builder.out.push(*stop);
            None
        }
    }
}

/// Why reading cannot go on. Everything else is noted and read past.
type Stop = Box<Diagnostic>;

struct Builder<'s, 'o> {
    source: &'s str,
    parser: Parser<'s, StrInput<'s>>,
    /// The finished nodes that an alias can repeat.
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
    out: &'o mut Diagnostics,
}

impl<'s> Builder<'s, '_> {
    /// The next event that says something about data.
    fn event(&mut self) -> Result<(Event<'s>, Span), Stop> {
        loop {
            match self.parser.next() {
                Some(Ok((Event::StreamStart | Event::Comment(..) | Event::Anchor(..), _))) => {}
                Some(Ok(found)) => return Ok(found),
                Some(Err(error)) => return Err(self.syntax(&error)),
                None => return Ok((Event::StreamEnd, Span::default())),
            }
        }
    }

    fn syntax(&self, error: &ScanError) -> Stop {
        let at = error.marker().byte_offset().unwrap_or(self.source.len());
        let diagnostic = Diagnostic::new(self.visible(at), "this is not YAML").label(error.info());
        if error.info().contains("quoted") {
            return Box::new(diagnostic.help("a quote above this place may not be closed"));
        }
        Box::new(diagnostic)
    }

    /// A range of at least one character at this offset; at the end of the file that is its last visible character.
    fn visible(&self, offset: usize) -> Place {
        let mut start = offset.min(self.source.len());
        while !self.source.is_char_boundary(start) {
            start -= 1;
        }
        if self.source[start..].trim_start().is_empty() {
            start = self.source.trim_end().char_indices().next_back().map_or(0, |(index, _)| index);
        }
        let width = self.source[start..].chars().next().map_or(0, char::len_utf8);
        Place::file(start..start + width)
    }

    fn document(&mut self) -> Result<Option<Node>, Stop> {
        match self.event()?.0 {
            Event::StreamEnd => {
                return Err(Box::new(
                    Diagnostic::new(Place::file(0..0), "the suite file is empty")
                        .help("a suite begins with `version: 1` and `name:`"),
                ));
            }
            Event::DocumentStart(..) => {}
            other => unreachable!("a stream consists of documents, not of {other:?}"),
        }
        let first = self.event()?;
        let node = self.node(first, 0)?;
        self.event()?;
        let (next, span) = self.event()?;
        if !matches!(next, Event::StreamEnd) {
            let place = self.visible(self.bytes(&span).start);
            let stop = Diagnostic::new(place, "a second document begins here");
            return Err(Box::new(stop.label("a file holds one suite")));
        }
        Ok(Some(node))
    }

    fn node(&mut self, (event, span): (Event<'s>, Span), depth: usize) -> Result<Node, Stop> {
        let place = self.place(&span);
        self.count(1, &place)?;
        if depth > DEPTH_MAX {
            return Err(Box::new(Diagnostic::new(
                place,
                format!("more than {DEPTH_MAX} levels lie in one another here"),
            )));
        }
        let (anchor, tag) = match &event {
            Event::Scalar(_, _, anchor, tag) => (*anchor, tag.is_some()),
            Event::SequenceStart(_, anchor, tag) | Event::MappingStart(_, anchor, tag) => {
                (*anchor, tag.is_some())
            }
            _ => (0, false),
        };
        if tag {
            let tag = span.tag_span().map_or(place.clone(), |tag| self.place(&tag));
            self.out.push(Diagnostic::new(tag, "a suite has no tags").label("remove this"));
        }
        let node = match event {
            Event::Scalar(text, style, ..) => scalar(place, &text, style),
            Event::SequenceStart(..) => self.list(place, depth)?,
            Event::MappingStart(..) => self.map(place, depth)?,
            Event::Alias(anchor) => return self.alias(anchor, place),
            other => {
                return Err(Box::new(Diagnostic::new(
                    place,
                    format!("this is not YAML: {other:?} at an odd place"),
                )));
            }
        };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, mut place: Place, depth: usize) -> Result<Node, Stop> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.event()?;
            if matches!(event, Event::SequenceEnd) {
                place = self.first_line(place, &span, items.first().map(|node: &Node| &node.place));
                return Ok(Node { place, value: Value::List(items) });
            }
            items.push(self.node((event, span), depth + 1)?);
        }
    }

    fn map(&mut self, mut place: Place, depth: usize) -> Result<Node, Stop> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut merges = Vec::new();
        loop {
            let (event, span) = self.event()?;
            if matches!(event, Event::MappingEnd) {
                place = self.first_line(place, &span, entries.first().map(|entry| &entry.key_place));
                break;
            }
            let merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<");
            let key = self.node((event, span), depth + 1)?;
            let next = self.event()?;
            let mut value = self.node(next, depth + 1)?;
            if value.value == Value::Null && value.place.range.is_empty() {
                value.place = key.place.clone();
            }
            let Value::Scalar(name) = key.value else {
                self.out.push(Diagnostic::new(key.place.clone(), format!("a key cannot be {}", key.kind())));
                continue;
            };
            match entries.iter().find(|entry| entry.key == name.text) {
                _ if merge => merges.push(value),
                None => entries.push(Entry { key: name.text, key_place: key.place, value }),
                Some(first) => {
                    let message = format!("`{}` stands here twice", name.text);
                    let first = first.key_place.clone();
                    self.out.push(
                        Diagnostic::new(key.place, message).label("again here").also(first, "first here"),
                    );
                }
            }
        }
        for merge in merges {
            self.merge(&mut entries, merge);
        }
        Ok(Node { place, value: Value::Map(entries) })
    }

    /// `<<: *base` or `<<: [*base, *more]`: keys that are there already win, then those of earlier maps.
    fn merge(&mut self, entries: &mut Vec<Entry>, from: Node) {
        match from.value {
            Value::Map(more) => {
                for entry in more {
                    if !entries.iter().any(|known| known.key == entry.key) {
                        entries.push(entry);
                    }
                }
            }
            Value::List(maps) if maps.iter().all(|node| matches!(node.value, Value::Map(_))) => {
                for map in maps {
                    self.merge(entries, map);
                }
            }
            _ => {
                let message = format!("`<<` takes in a map, or a list of maps, not {}", from.kind());
                self.out.push(Diagnostic::new(from.place, message).help("write `<<: *name`"));
            }
        }
    }

    fn alias(&mut self, anchor: usize, place: Place) -> Result<Node, Stop> {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            return Err(Box::new(Diagnostic::new(place, "this alias stands inside of what it repeats")));
        };
        self.count(size(&node), &place)?;
        Ok(node)
    }

    fn count(&mut self, nodes: usize, place: &Place) -> Result<(), Stop> {
        self.nodes += nodes;
        if self.nodes > NODES_MAX {
            let message = format!("the suite has more than {NODES_MAX} values, aliases repeated");
            return Err(Box::new(Diagnostic::new(place.clone(), message)));
        }
        Ok(())
    }

    fn bytes(&self, span: &Span) -> Range<usize> {
        let clamp = |offset: Option<usize>| offset.unwrap_or(self.source.len()).min(self.source.len());
        let range = clamp(span.start.byte_offset())..clamp(span.end.byte_offset());
        if range.start <= range.end
            && self.source.is_char_boundary(range.start)
            && self.source.is_char_boundary(range.end)
        {
            range
        } else {
            0..0
        }
    }

    /// The span without trailing white space, cut at the end of its first line.
    fn place(&self, span: &Span) -> Place {
        let range = self.bytes(span);
        let line = self.source[range.clone()].lines().next().unwrap_or("").trim_end();
        Place::file(range.start..range.start + line.len())
    }

    /// A collection is shown as a whole if it stands on one line, and else by its beginning.
    fn first_line(&self, opening: Place, closing: &Span, first: Option<&Place>) -> Place {
        let start = opening.range.start;
        let end = self.bytes(closing).end.max(start);
        let text = self.source[start..end].trim_end();
        if text.starts_with(['{', '[']) && !text.contains('\n') {
            return Place::file(start..start + text.len());
        }
        match first {
            Some(first) if opening.range.is_empty() || !text.starts_with(['{', '[']) => first.clone(),
            _ => opening,
        }
    }
}

fn scalar(place: Place, text: &str, style: ScalarStyle) -> Node {
    let value = match style {
        ScalarStyle::Plain if matches!(text, "" | "~" | "null") => Value::Null,
        ScalarStyle::Plain => Value::Scalar(Scalar { text: text.to_owned(), style: Style::Plain }),
        _ => Value::Scalar(Scalar { text: text.to_owned(), style: Style::Quoted }),
    };
    Node { place, value }
}

fn size(node: &Node) -> usize {
    1 + match &node.value {
        Value::Null | Value::Scalar(_) => 0,
        Value::List(items) => items.iter().map(size).sum(),
        Value::Map(entries) => entries.iter().map(|entry| 1 + size(&entry.value)).sum(),
    }
}
