//! The keys of one map, taken one by one; what nobody takes is an error.
//!
//! Invariant: a key that is read is also in the list of what is allowed, because both are the same call. Deliberately
//! absent: values of any type; see `settings.rs`.

use super::diagnostics::{Diagnostic, Diagnostics, Place};
use super::suggest;
use super::tree::{Entry, Node, Scalar, Value};

/// The entries of one map while it is read.
pub(super) struct Fields<'n> {
    entries: &'n [Entry],
    /// What the map describes: "the suite", "`partition`".
    owner: String,
    /// Where to point when a key is missing.
    place: Place,
    allowed: Vec<&'n str>,
}

impl<'n> Fields<'n> {
    /// The map at a node; another kind of node is reported and read as an empty map by the caller's choice.
    pub(super) fn of(node: &'n Node, owner: impl Into<String>, out: &mut Diagnostics) -> Option<Self> {
        let owner = owner.into();
        match &node.value {
            Value::Map(entries) => {
                Some(Self { entries, owner, place: node.place.clone(), allowed: Vec::new() })
            }
            _ => {
                let message = format!("{owner} is a map of keys and values, not {}", node.kind());
                out.push(Diagnostic::new(node.place.clone(), message).label("expected `key: value` pairs"));
                None
            }
        }
    }

    /// Fields of a map that was left out, so that every default applies.
    pub(super) fn none(owner: impl Into<String>, place: Place) -> Self {
        Self { entries: &[], owner: owner.into(), place, allowed: Vec::new() }
    }

    /// What the map describes.
    pub(super) fn owner(&self) -> &str {
        &self.owner
    }

    /// Points at another place when a key is missing.
    pub(super) fn at(mut self, place: Place) -> Self {
        self.place = place;
        self
    }

    /// Where the map begins.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// The entry of this key, where there is one.
    pub(super) fn take(&mut self, name: &'static str) -> Option<&'n Entry> {
        self.allowed.push(name);
        self.entries.iter().find(|entry| entry.key == name)
    }

    /// The same for a name that the file itself gives.
    pub(super) fn take_any(&mut self, name: &'n str) -> Option<&'n Entry> {
        self.allowed.push(name);
        self.entries.iter().find(|entry| entry.key == name)
    }

    /// The entry of this key, which must be there.
    pub(super) fn require(
        &mut self,
        name: &'static str,
        example: &str,
        out: &mut Diagnostics,
    ) -> Option<&'n Entry> {
        let found = self.take(name);
        if found.is_none() {
            // A misspelt key is reported once, as such, and not a second time as missing.
            let misspelt = |entry: &&Entry| suggest::nearest(&entry.key, &[name]).is_some();
            if !self.entries.iter().any(|entry| misspelt(&entry)) {
                let message = format!("{} has no `{name}`", self.owner);
                out.push(
                    Diagnostic::new(self.place.clone(), message).help(format!("add for example `{example}`")),
                );
            }
        }
        found
    }

    /// Reports every key that nobody took.
    pub(super) fn finish(self, out: &mut Diagnostics) {
        for entry in self.entries.iter().filter(|entry| !self.allowed.contains(&entry.key.as_str())) {
            let message = format!("{} has no key `{}`", self.owner, entry.key);
            let given: Vec<&str> = self.entries.iter().map(|entry| entry.key.as_str()).collect();
            let free: Vec<&str> = self.allowed.iter().copied().filter(|name| !given.contains(name)).collect();
            let label = suggest::did_you_mean(&entry.key, &free).unwrap_or_else(|| "unknown key".to_owned());
            let help = match self.allowed.as_slice() {
                [] => format!("{} takes no keys", self.owner),
                allowed => format!("allowed here: {}", suggest::one_of(allowed)),
            };
            out.push(Diagnostic::new(entry.key_place.clone(), message).label(label).help(help));
        }
    }
}

/// The scalar at a node; anything else is reported.
pub(super) fn scalar<'n>(node: &'n Node, expected: &str, out: &mut Diagnostics) -> Option<&'n Scalar> {
    match &node.value {
        Value::Scalar(scalar) => Some(scalar),
        _ => {
            let message = format!("expected {expected}, not {}", node.kind());
            out.push(Diagnostic::new(node.place.clone(), message));
            None
        }
    }
}

/// The items of a list; a single value stands for a list of itself.
pub(super) fn items(node: &Node) -> &[Node] {
    match &node.value {
        Value::List(items) => items,
        _ => std::slice::from_ref(node),
    }
}
