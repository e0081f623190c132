//! Whether an expression makes sense where it stands, before any process is started.
//!
//! Invariant: an expression without a problem here can be evaluated; whether its value is known then is another matter. All
//! problems of an expression are reported, each with its range.

use std::collections::{BTreeMap, BTreeSet};

use super::expr::{Comparison, Expr, Function, Kind, Takes, Type, WORDS};
use super::parse::Trouble;

/// What names mean at one place of a choreography.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Bindings with their types.
    pub bindings: BTreeMap<String, Type>,
    /// Operations that have begun.
    pub operations: BTreeSet<String>,
    /// Those of them that take a lock, with its key.
    pub locks: BTreeMap<String, String>,
    /// Orders that have begun in the background.
    pub orders: BTreeSet<String>,
    /// Moments that have a name.
    pub labels: BTreeSet<String>,
    /// Messages that are held back under a name.
    pub messages: BTreeSet<String>,
}

/// What an expression is checked against.
#[derive(Clone, Debug)]
pub struct World<'w> {
    /// The names.
    pub names: &'w Names,
    /// How many nodes there are, spare ones counted; `None` where that could not be read.
    pub nodes: Option<u16>,
    /// The failpoints of the system; empty where it has none.
    pub points: &'w [&'static str],
    /// Whether the system tells what this function asks.
    pub tells: fn(Function) -> bool,
    /// What the system is called.
    pub system: &'w str,
}

/// The events of a trace.
pub const EVENTS: [&str; 15] = [
    "boot", "role", "term", "vote", "append", "truncate", "fsync", "ack", "commit", "apply", "state", "read",
    "transfer", "config", "snapshot",
];

/// The type of an expression, with what is wrong in it added to `out`.
pub fn check(expr: &Expr, world: &World<'_>, out: &mut Vec<Trouble>) -> Type {
    match &expr.kind {
        Kind::Number(_) => Type::Number,
        Kind::Duration(_) => Type::Duration,
        Kind::Quoted(_) => Type::Reply,
        Kind::Node(node) => {
            if let Some(last) = world.nodes.filter(|last| node.0 == 0 || node.0 > *last) {
                let label = format!("the nodes are `n1` to `n{last}`");
                out.push(Trouble::new(expr.range.clone(), format!("there is no node `{node}`")).label(label));
            }
            Type::Node
        }
        Kind::Name(name) => self::name(expr, name, world, out),
        Kind::Call { .. } => call(expr, world, out),
        Kind::At(role, term) => {
            demand(role, &[Type::Role], world, out);
            demand(term, &[Type::Number], world, out);
            Type::Role
        }
        Kind::Slash(left, right) => {
            demand(left, &[Type::Number], world, out);
            match demand(right, &[Type::Node, Type::Number, Type::Vote], world, out) {
                Type::Number => Type::Position,
                Type::Anything => Type::Anything,
                _ => Type::Vote,
            }
        }
        Kind::List(items) => {
            for item in items {
                demand(item, &[Type::Number, Type::Reply], world, out);
            }
            Type::Numbers
        }
        Kind::Set(items) => {
            for item in items {
                demand(item, &[Type::Node], world, out);
            }
            Type::Nodes
        }
        Kind::Sum(left, _, right) => {
            demand(left, &[Type::Number], world, out);
            demand(right, &[Type::Number], world, out);
            Type::Number
        }
        Kind::Compare(left, comparison, right) => compare(expr, (left, *comparison, right), world, out),
        Kind::And(parts) | Kind::Or(parts) => {
            for part in parts {
                demand(part, &[Type::Truth], world, out);
            }
            Type::Truth
        }
        Kind::Not(inner) => demand(inner, &[Type::Truth], world, out),
    }
}

/// The same, where only some types make sense.
pub fn demand(expr: &Expr, wanted: &[Type], world: &World<'_>, out: &mut Vec<Trouble>) -> Type {
    let before = out.len();
    let found = check(expr, world, out);
    if out.len() == before && found != Type::Anything && !wanted.contains(&found) {
        let nouns: Vec<&str> = wanted.iter().map(|wanted| wanted.noun()).collect();
        let message = format!("this is {}, and {} is needed here", found.noun(), nouns.join(" or "));
        out.push(Trouble::new(expr.range.clone(), message));
    }
    if out.len() == before { found } else { Type::Anything }
}

fn name(expr: &Expr, name: &str, world: &World<'_>, out: &mut Vec<Trouble>) -> Type {
    if let Some(found) = world.names.bindings.get(name) {
        return *found;
    }
    match name {
        "leader" | "follower" | "candidate" | "pre_candidate" | "down" => return Type::Role,
        "none" => return Type::Vote,
        _ => {}
    }
    let mut known: Vec<&str> = world.names.bindings.keys().map(String::as_str).collect();
    known.extend(&WORDS[..6]);
    let label =
        crate::suite::did_you_mean(name, &known).unwrap_or_else(|| "nothing has this name".to_owned());
    let trouble =
        Trouble::new(expr.range.clone(), format!("`{name}` is used before it is bound")).label(label);
    out.push(trouble.help(format!("bind it in a step before: `let: {{ {name}: leader() }}`")));
    Type::Anything
}

fn call(expr: &Expr, world: &World<'_>, out: &mut Vec<Trouble>) -> Type {
    let Kind::Call { function, args, filters } = &expr.kind else { return Type::Anything };
    let name = function.name();
    if !(world.tells)(*function) {
        let message = format!("`{}` does not tell `{name}`", world.system);
        out.push(Trouble::new(expr.range.clone(), message).label("this can never hold"));
        return function.gives();
    }
    let takes = function.takes();
    let least = takes.iter().filter(|takes| **takes != Takes::Point).count();
    if args.len() < least || args.len() > takes.len() {
        let shown: Vec<&str> = takes.iter().map(|takes| example(*takes)).collect();
        let message = format!("`{name}` takes {}, and this gives {}", counted(least), counted(args.len()));
        let help = format!("write `{name}({})`", shown.join(", "));
        out.push(Trouble::new(expr.range.clone(), message).help(help));
    }
    for (arg, takes) in args.iter().zip(takes) {
        argument(arg, *takes, world, out);
    }
    for filter in filters {
        if !function.reads_trace() {
            let message = format!("`{name}` takes no conditions on fields");
            out.push(Trouble::new(filter.range.clone(), message));
        } else if filter.field == "since" {
            argument(&filter.value, Takes::Label, world, out);
        } else if !matches!(&filter.value.kind, Kind::Name(_) | Kind::Number(_) | Kind::Quoted(_)) {
            demand(&filter.value, &[Type::Node, Type::Number], world, out);
        }
    }
    function.gives()
}

fn counted(count: usize) -> String {
    match count {
        0 => "nothing".to_owned(),
        1 => "one value".to_owned(),
        count => format!("{count} values"),
    }
}

fn example(takes: Takes) -> &'static str {
    match takes {
        Takes::Node | Takes::NodeOrAny => "n1",
        Takes::Nodes => "n2",
        Takes::Operation | Takes::Begun => "w",
        Takes::Label => "label",
        Takes::Messages => "h",
        Takes::Point => "mid_apply",
        Takes::Event => "vote",
    }
}

fn own(set: &BTreeSet<String>) -> Vec<&str> {
    set.iter().map(String::as_str).collect()
}

fn argument(arg: &Expr, takes: Takes, world: &World<'_>, out: &mut Vec<Trouble>) {
    let names = world.names;
    let (known, what) = match takes {
        Takes::NodeOrAny if matches!(&arg.kind, Kind::Name(name) if name == "any") => return,
        Takes::Node | Takes::NodeOrAny => {
            demand(arg, &[Type::Node], world, out);
            return;
        }
        Takes::Nodes => {
            demand(arg, &[Type::Node, Type::Nodes], world, out);
            return;
        }
        Takes::Operation => (own(&names.operations), "operation"),
        Takes::Begun => ([own(&names.operations), own(&names.orders)].concat(), "operation or order"),
        Takes::Label => (own(&names.labels), "label"),
        Takes::Messages => (own(&names.messages), "label of held messages"),
        Takes::Point => (world.points.to_vec(), "failpoint"),
        Takes::Event => (EVENTS.to_vec(), "event"),
    };
    let given = match &arg.kind {
        Kind::Name(name) | Kind::Quoted(name) => name,
        _ => {
            return out
                .push(Trouble::new(arg.range.clone(), format!("the name of an {what} is needed here")));
        }
    };
    if known.contains(&given.as_str()) {
        return;
    }
    let label = crate::suite::did_you_mean(given, &known).unwrap_or_else(|| match takes {
        Takes::Operation if names.orders.contains(given) => "this is an order".to_owned(),
        Takes::Operation | Takes::Begun => "no step before begins it".to_owned(),
        Takes::Label | Takes::Messages => "no step before has this label".to_owned(),
        _ => format!("unknown {what}"),
    });
    let trouble = Trouble::new(arg.range.clone(), format!("there is no {what} `{given}`")).label(label);
    out.push(match takes {
        Takes::Operation if names.orders.contains(given) => {
            trouble.help("orders are acked, failed, unknown or pending, and tell no more")
        }
        Takes::Operation | Takes::Begun => {
            trouble.help(format!("name it where it begins: `put: {{ ..., as: {given} }}`"))
        }
        Takes::Label => trouble.help(format!("name the step: `label: {given}` beside its verb")),
        _ if known.is_empty() => trouble,
        _ => trouble.help(format!("there is {}", crate::suite::one_of(&known))),
    });
}

fn compare(
    whole: &Expr,
    (left, comparison, right): (&Expr, Comparison, &Expr),
    world: &World<'_>,
    out: &mut Vec<Trouble>,
) -> Type {
    let before = out.len();
    let (a, b) = (check(left, world, out), check(right, world, out));
    if out.len() > before {
        return Type::Truth;
    }
    if !comparable(a, b) {
        let message = format!("{} cannot be compared with {}", a.noun(), b.noun());
        out.push(Trouble::new(whole.range.clone(), message));
    } else if comparison.is_order() && !has_order(a) {
        let message = format!("{} is not more or less than another: use `=` or `!=`", a.noun());
        out.push(Trouble::new(whole.range.clone(), message));
    }
    Type::Truth
}

fn comparable(a: Type, b: Type) -> bool {
    let one_way = |a, b| {
        matches!(
            (a, b),
            (Type::Anything, _)
                | (Type::Vote, Type::Node)
                | (Type::Reply, Type::Number | Type::Numbers | Type::Vote | Type::Node)
        )
    };
    a == b || one_way(a, b) || one_way(b, a)
}

fn has_order(a: Type) -> bool {
    matches!(a, Type::Number | Type::Duration | Type::Anything | Type::Reply)
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::*;

    fn troubles(text: &str) -> Vec<String> {
        let mut names = Names::default();
        names.bindings.insert("L".to_owned(), Type::Node);
        names.operations.insert("w".to_owned());
        names.orders.insert("grow".to_owned());
        names.labels.insert("cut".to_owned());
        let world = World {
            names: &names,
            nodes: Some(3),
            points: &["mid_apply", "before_fsync"],
            tells: |function| function != Function::Lease,
            system: "raftkv",
        };
        let mut out = Vec::new();
        demand(&parse(text).unwrap(), &[Type::Truth], &world, &mut out);
        out.into_iter().map(|trouble| format!("{} {}", trouble.message, trouble.label)).collect()
    }

    #[test]
    fn sound_conditions_pass() {
        for text in [
            "role(L) = leader@1 and voted_for(n2) = 1/L",
            "voted_for(n2) = n1 or voted_for(n2) = none or voted_for(n2) = 1/none",
            "last_log(n1) = 3/2 and log(n1) = [1, 2]",
            "others(L) = {n1, n2} and config(n1) != nodes()",
            "acked(w) and reply(w) = 1 and elapsed(cut) >= 2s",
            "event(any, vote, to = n2, term >= 2, since = cut)",
            "held(n1, mid_apply) or held(n1)",
            "reply(w) = none",
            "pending(grow) or failed(grow)",
        ] {
            assert_eq!(troubles(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        for (text, part) in [
            ("role(n4) = leader", "`n1` to `n3`"),
            ("role(K) = leader", "before it is bound"),
            ("role(n1) = leadr", "did you mean `leader`"),
            ("term(n1) = leader", "cannot be compared"),
            ("role(n1) > leader", "not more or less"),
            ("term(n1)", "a condition is needed"),
            ("acked(open)", "no step before begins it"),
            ("reply(grow) = 1", "this is an order"),
            ("unanswered(grow)", "this is an order"),
            ("elapsed(cutt) > 1s", "did you mean `cut`"),
            ("elapsed(cut) > 1", "cannot be compared"),
            ("held(n1, mid_aply)", "did you mean `mid_apply`"),
            ("lease(n1)", "does not tell"),
            ("match(n1) = 2", "2 values"),
            ("event(n1, votes)", "did you mean `vote`"),
            ("event(n1, vote, since = healed)", "no step before has this label"),
            ("term(n1, to = n2) = 1", "takes no conditions"),
        ] {
            let found = troubles(text);
            assert!(found.iter().any(|trouble| trouble.contains(part)), "{text}: {found:?}");
        }
    }
}
