//! The models by their names on the command line: the specifications of the checker, and transactions.
//!
//! Invariant: names and meanings come from the checker, so that a new specification has its name here without a change.

use checker::history::formats::Specification;
use clap::ValueEnum;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

/// What a history is judged against, or made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Model {
    /// Found in the history.
    Auto,
    /// Single operations.
    Of(Specification),
    /// Transactions of appends to lists and reads of them.
    ListAppend,
}

const COUNT: usize = Specification::ALL.len() + 2;
static ALL: [Model; COUNT] = {
    let mut all = [Model::Auto; COUNT];
    let mut at = 0;
    while at < Specification::ALL.len() {
        all[at + 1] = Model::Of(Specification::ALL[at]);
        at += 1;
    }
    all[COUNT - 1] = Model::ListAppend;
    all
};

impl Model {
    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Model::Auto => "auto",
            Model::Of(specification) => specification.name(),
            Model::ListAppend => "list-append",
        }
    }
}

impl ValueEnum for Model {
    fn value_variants<'a>() -> &'a [Self] {
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let about = match self {
            Model::Auto => "The narrowest one that knows all functions of the history",
            Model::Of(specification) => specification.about(),
            Model::ListAppend => "Transactions of appends to lists and reads of them",
        };
        Some(PossibleValue::new(self.name()).help(about))
    }
}

/// Reads the name of a model that a history can be made for.
pub(super) fn named() -> impl TypedValueParser<Value = Model> {
    let values = ALL[1..].iter().filter_map(Model::to_possible_value);
    PossibleValuesParser::new(values)
        .map(|name| ALL.into_iter().find(|model| model.name() == name).unwrap_or(Model::Auto))
}
